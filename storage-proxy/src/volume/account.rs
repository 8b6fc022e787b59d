//! What the volume keeps of a vfolder's account: one small file per vfolder that is limited, `journal/quotas/<uuid>`.

use std::{
    ffi::CString,
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::{
    fs::{fsync, renameat, syncfs},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vfolder_common::token::Quota;

use super::{
    OpenVolume, VolumeError,
    durable::{make_directory, read_file, remove_file, replace_file},
    error::on,
    layout::QUOTAS,
};
use crate::tree::{Fault, dirents::Dirents, open::open_directory};

/// Of a note whose figures do not hold any more.
const DOUBTED: &str = ".unknown";

/// A vfolder's account on its volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountNote {
    /// The limits, as they were known.
    pub quota: Quota,
    /// What is in the tree; unset while somebody may be changing it.
    pub used: Option<Figures>,
}

/// What is in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Bytes of file data.
    pub bytes: u64,
    /// Directory entries, the root not counted.
    pub files: u64,
}

impl OpenVolume {
    /// The note about `vfolder`. One that can't be read says as little as none.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn noted_account(&self, vfolder: Uuid) -> Result<Option<AccountNote>, VolumeError> {
        let Some(directory) = self.account_notes()? else {
            return Ok(None);
        };
        let read = |name: &str| read_file(&directory, name).map_err(on(QUOTAS, "read"));
        let parse = |content: Vec<u8>| {
            let parsed = serde_json::from_slice::<AccountNote>(&content);
            parsed
                .inspect_err(|error| {
                    tracing::warn!(%vfolder, %error, "the note of what is in a tree is broken; it is counted");
                })
                .ok()
        };
        // Where there are both, this one is newer.
        if let Some(content) = read(&vfolder.to_string())? {
            return Ok(parse(content));
        }
        let doubted = read(&doubted_name(vfolder))?.and_then(parse);
        Ok(doubted.map(|note| AccountNote { used: None, ..note }))
    }

    /// The vfolders that there are notes about.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn noted_accounts(&self) -> Result<Vec<Uuid>, VolumeError> {
        let mut noted = Vec::new();
        let Some(directory) = self.account_notes()? else {
            return Ok(noted);
        };
        let mut dirents = Dirents::default();
        loop {
            let batch = dirents.batch(directory.as_fd(), |name, _| {
                let name = name.to_str().ok();
                let name = name.map(|name| name.strip_suffix(DOUBTED).unwrap_or(name));
                noted.extend(name.and_then(|name| Uuid::parse_str(name).ok()));
                Ok(())
            });
            match batch {
                Ok(Some(_)) => {}
                Err((Fault::System(call, errno), _)) => return Err(on(QUOTAS, call)(errno)),
                Ok(None) | Err(_) => break,
            }
        }
        noted.sort_unstable();
        noted.dedup();
        Ok(noted)
    }

    /// Writes the note about `vfolder`. Durable when it returns.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn note_account(&self, vfolder: Uuid, note: &AccountNote) -> Result<(), VolumeError> {
        let directory =
            make_directory(&self.journal, &directory_name(), 0o700).map_err(on(QUOTAS, "mkdir"))?;
        let content = serde_json::to_vec(note).unwrap_or_default();
        replace_file(&directory, &vfolder.to_string(), &content).map_err(on(QUOTAS, "write"))?;
        // One that stays says less, and is passed over.
        let _ = remove_file(&directory, &doubted_name(vfolder));
        Ok(())
    }

    /// Says that the figures of the note about `vfolder` do not hold any more, durably, and without needing space. False:
    /// there is none, or there is none now, since not even its name could be changed.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn doubt_account(&self, vfolder: Uuid) -> Result<bool, VolumeError> {
        let Some(directory) = self.account_notes()? else {
            return Ok(false);
        };
        match renameat(
            &directory,
            vfolder.to_string(),
            &directory,
            doubted_name(vfolder),
        ) {
            Ok(()) => fsync(&directory)
                .map(|()| true)
                .map_err(on(QUOTAS, "fsync")),
            Err(Errno::NOENT) => Ok(false),
            Err(Errno::NOSPC | Errno::DQUOT) => self.forget_account(vfolder).map(|()| false),
            Err(errno) => Err(on(QUOTAS, "renameat")(errno)),
        }
    }

    /// Removes the note about `vfolder`.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn forget_account(&self, vfolder: Uuid) -> Result<(), VolumeError> {
        match self.account_notes()? {
            None => Ok(()),
            Some(directory) => [vfolder.to_string(), doubted_name(vfolder)]
                .iter()
                .try_for_each(|name| remove_file(&directory, name).map(drop))
                .map_err(on(QUOTAS, "unlink")),
        }
    }

    /// Makes durable whatever was written on the volume until now.
    ///
    /// # Errors
    /// Those of syncfs(2).
    pub fn sync(&self) -> Result<(), VolumeError> {
        syncfs(&self.root).map_err(on(QUOTAS, "syncfs"))
    }

    fn account_notes(&self) -> Result<Option<OwnedFd>, VolumeError> {
        match open_directory(&self.journal, &directory_name()) {
            Err(Errno::NOENT) => Ok(None),
            opened => opened.map(Some).map_err(on(QUOTAS, "open")),
        }
    }
}

fn doubted_name(vfolder: Uuid) -> String {
    format!("{vfolder}{DOUBTED}")
}

fn directory_name() -> CString {
    CString::new(QUOTAS).unwrap_or_default()
}
