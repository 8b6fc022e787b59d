//! What a volume has of uploads: files that arrive in pieces, outside of all trees until they are whole.
//!
//! ```text
//! uploads/<vfolder>/<upload>/
//!   upload.json   what it is, how it ends, and which bytes survive a power cut ([`UploadRecord`])
//!   data          the bytes, each where it will be in the file
//!   ranges        which bytes have arrived ([`Arrivals`]): counts until the next boot or mount
//! ```
//!
//! One without an upload.json is of nobody who could come back for it.

mod arrivals;
mod cache;
mod ranges;
mod record;

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, fsync, mkdirat, openat, unlinkat},
    io::Errno,
};
use uuid::Uuid;

pub use self::{
    arrivals::Arrivals,
    ranges::{RangeSet, TooManyRanges},
    record::{Committed, KnownDigests, LandedFile, Landing, UploadRecord},
};
use super::{
    OpenVolume, VolumeError,
    contents::parse_id,
    durable::{make_directory, rename_to_free},
    error::on,
    layout::{TRASH, UPLOADS},
};
use crate::tree::{Control, Fault, dirents::Dirents, open::open_directory};

/// The bytes.
const DATA: &CStr = c"data";

/// The directory of one upload.
#[derive(Debug)]
pub struct UploadFolder(OwnedFd);

impl UploadFolder {
    /// Opens the file with the bytes, or makes it.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn data(&self, make: bool) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let flags = if make {
            flags | OFlags::CREATE | OFlags::EXCL
        } else {
            flags
        };
        openat(&self.0, DATA, flags, Mode::RUSR | Mode::WUSR)
    }

    /// The name of the file with the bytes in here.
    #[must_use]
    pub fn data_name() -> &'static CStr {
        DATA
    }

    /// Removes the bytes and the list of them, for a file that is in its tree.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn remove_data(&self) -> Result<(), Errno> {
        for name in [DATA, arrivals::NAME] {
            match unlinkat(&self.0, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Makes durable what is in it.
    ///
    /// # Errors
    /// Those of fsync(2).
    pub fn sync(&self) -> Result<(), Errno> {
        fsync(&self.0)
    }
}

impl AsFd for UploadFolder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl OpenVolume {
    /// Makes the directory of a new upload; durable, if that is asked for.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn make_upload(
        &self,
        vfolder: Uuid,
        upload: Uuid,
        durable: bool,
    ) -> Result<UploadFolder, VolumeError> {
        /// How often the directory of the vfolder may be swept away in between.
        const ATTEMPTS: usize = 16;
        let failed = on(UPLOADS, "mkdir");
        let (outer, inner) = (name(vfolder), name(upload));
        let uploads = self.uploads()?;
        let mut last = Errno::NOENT;
        for _ in 0..ATTEMPTS {
            let of_vfolder = if durable {
                make_directory(uploads, &outer, 0o700)
            } else {
                match mkdirat(uploads, &outer, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => open_directory(uploads, &outer),
                    Err(errno) => Err(errno),
                }
            };
            let made = of_vfolder.and_then(|of_vfolder| {
                mkdirat(&of_vfolder, &inner, Mode::RWXU)?;
                if durable {
                    fsync(&of_vfolder)?;
                }
                open_directory(&of_vfolder, &inner)
            });
            match made {
                Err(Errno::NOENT) => last = Errno::NOENT,
                done => return done.map(UploadFolder).map_err(failed),
            }
        }
        Err(failed(last))
    }

    /// The directory of an upload, if there is one.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn upload(&self, vfolder: Uuid, upload: Uuid) -> Result<Option<UploadFolder>, VolumeError> {
        let opened = self
            .uploads_of(vfolder)
            .and_then(|of_vfolder| open_directory(of_vfolder, &name(upload)));
        match opened {
            Ok(folder) => Ok(Some(UploadFolder(folder))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(on(UPLOADS, "open")(errno)),
        }
    }

    /// Destroys an upload, and the directory of its vfolder if it was the last. Succeeds if there is none.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn remove_upload(&self, vfolder: Uuid, upload: Uuid) -> Result<(), VolumeError> {
        let of_vfolder = match self.uploads_of(vfolder) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened.map_err(on(UPLOADS, "open"))?,
        };
        self.backend
            .remove(of_vfolder.as_fd(), &name(upload), &Control::default())?;
        let uploads = self.uploads()?;
        match unlinkat(uploads, name(vfolder).as_c_str(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(errno) => Err(on(UPLOADS, "rmdir")(errno)),
        }
    }

    /// All uploads on the volume, as (vfolder, upload). What has another name is none.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn all_uploads(&self) -> Result<Vec<(Uuid, Uuid)>, VolumeError> {
        let mut all = Vec::new();
        let Some(uploads) = &self.uploads else {
            return Ok(all);
        };
        for vfolder in ids_in(uploads.as_fd())? {
            match self.uploads_of(vfolder) {
                Ok(directory) => {
                    let uploads = ids_in(directory.as_fd())?;
                    all.extend(uploads.into_iter().map(|upload| (vfolder, upload)));
                }
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(on(UPLOADS, "open")(errno)),
            }
        }
        Ok(all)
    }

    /// Removes the directories of vfolders that have no uploads any more, as a crash leaves them.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn remove_empty_uploads(&self) -> Result<(), VolumeError> {
        let uploads = self.uploads()?;
        for vfolder in ids_in(uploads)? {
            match unlinkat(uploads, name(vfolder).as_c_str(), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                Err(errno) => return Err(on(UPLOADS, "rmdir")(errno)),
            }
        }
        Ok(())
    }

    /// Moves the uploads of `vfolder`, whose tree is gone, into the trash of `operation`.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn trash_uploads(&self, operation: Uuid, vfolder: Uuid) -> Result<(), VolumeError> {
        let Some(uploads) = &self.uploads else {
            return Ok(());
        };
        // A name that no tree of the operation has.
        let trashed = format!("{operation}.{}", u32::MAX);
        match rename_to_free(uploads, &vfolder.to_string(), &self.trash, &trashed) {
            Ok(()) => fsync(&self.trash)
                .and_then(|()| fsync(uploads))
                .map_err(on(TRASH, "fsync")),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(on(UPLOADS, "rename")(errno)),
        }
    }

    fn uploads(&self) -> Result<BorrowedFd<'_>, VolumeError> {
        let uploads = self.uploads.as_ref().map(AsFd::as_fd);
        // Only a volume that was opened read-only may be without.
        uploads.ok_or_else(|| on(UPLOADS, "open")(Errno::ROFS))
    }

    fn uploads_of(&self, vfolder: Uuid) -> Result<OwnedFd, Errno> {
        let uploads = self.uploads.as_ref().ok_or(Errno::NOENT)?;
        open_directory(uploads, &name(vfolder))
    }
}

fn name(id: Uuid) -> CString {
    CString::new(id.to_string()).unwrap_or_default()
}

fn ids_in(directory: BorrowedFd<'_>) -> Result<Vec<Uuid>, VolumeError> {
    // A handle of its own: the shared one's position is everybody's.
    let directory = open_directory(directory, c".").map_err(on(UPLOADS, "open"))?;
    let (mut dirents, mut ids) = (Dirents::default(), Vec::new());
    loop {
        let batch = dirents.batch(directory.as_fd(), |name, _| {
            ids.extend(parse_id(name));
            Ok(())
        });
        match batch {
            Ok(Some(_)) => {}
            Err((Fault::System(call, errno), _)) => return Err(on(UPLOADS, call)(errno)),
            Ok(None) | Err(_) => return Ok(ids),
        }
    }
}
