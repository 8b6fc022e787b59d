//! What the volume keeps of a vfolder's account: one small file per vfolder that is limited, `journal/quotas/<uuid>`.

use std::{
    ffi::CString,
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::{fs::syncfs, io::Errno};
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
        let read = read_file(directory, &vfolder.to_string()).map_err(on(QUOTAS, "read"))?;
        Ok(read.and_then(|content| {
            let parsed = serde_json::from_slice(&content);
            parsed
                .inspect_err(|error| {
                    tracing::warn!(%vfolder, %error, "the note of what is in a tree is broken; it is counted");
                })
                .ok()
        }))
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
                noted.extend(name.to_str().ok().and_then(|n| Uuid::parse_str(n).ok()));
                Ok(())
            });
            match batch {
                Ok(Some(_)) => {}
                Err((Fault::System(call, errno), _)) => return Err(on(QUOTAS, call)(errno)),
                Ok(None) | Err(_) => return Ok(noted),
            }
        }
    }

    /// Writes the note about `vfolder`. Durable when it returns.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn note_account(&self, vfolder: Uuid, note: &AccountNote) -> Result<(), VolumeError> {
        let directory =
            make_directory(&self.journal, &directory_name(), 0o700).map_err(on(QUOTAS, "mkdir"))?;
        let content = serde_json::to_vec(note).unwrap_or_default();
        replace_file(directory, &vfolder.to_string(), &content).map_err(on(QUOTAS, "write"))
    }

    /// Removes the note about `vfolder`.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn forget_account(&self, vfolder: Uuid) -> Result<(), VolumeError> {
        match self.account_notes()? {
            None => Ok(()),
            Some(directory) => remove_file(directory, &vfolder.to_string())
                .map(drop)
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

fn directory_name() -> CString {
    CString::new(QUOTAS).unwrap_or_default()
}
