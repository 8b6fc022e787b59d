//! Out of sight by one rename, then destroyed in peace.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    fs::{AtFlags, fsync, statat},
    io::Errno,
};
use uuid::Uuid;

use super::{
    OpenVolume, VolumeError,
    durable::{make_directory, rename_to_free},
    error::on,
    layout::TRASH,
};
use crate::tree::{Control, TreeError, dirents::Dirents, remove_tree};

impl OpenVolume {
    /// Moves the tree of `vfolder` into the trash of `operation`. Answers whether there was one. Durable when it returns.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn trash_tree(&self, operation: Uuid, vfolder: Uuid) -> Result<bool, VolumeError> {
        let Some(parent) = self.tree_parent(vfolder)? else {
            return Ok(false);
        };
        self.move_to_trash(operation, parent.as_fd(), &vfolder.to_string())
    }

    /// Moves what `operation` has staged into its trash. Answers whether there was anything. Durable when it returns.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn trash_staging(&self, operation: Uuid) -> Result<bool, VolumeError> {
        self.move_to_trash(operation, self.staging.as_fd(), &operation.to_string())
    }

    /// Removes what `operation` has staged, which is small: a published tree's surroundings.
    ///
    /// # Errors
    /// The first fault and where.
    pub fn remove_staging(&self, operation: Uuid) -> Result<(), TreeError> {
        let name = CString::new(operation.to_string()).unwrap_or_default();
        remove_tree(self.staging.as_fd(), &name, &Control::default())
    }

    /// Destroys the trash of `operation`. Harmless to repeat.
    ///
    /// # Errors
    /// The first fault and where.
    pub fn destroy_trash_of(&self, operation: Uuid, control: &Control) -> Result<(), TreeError> {
        self.destroy_trash(
            &CString::new(operation.to_string()).unwrap_or_default(),
            control,
        )
    }

    /// Whether `operation` has anything in the trash.
    ///
    /// # Errors
    /// Those of stat(2).
    pub fn has_trash(&self, operation: Uuid) -> Result<bool, VolumeError> {
        match statat(
            &self.trash,
            operation.to_string(),
            AtFlags::SYMLINK_NOFOLLOW,
        ) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(on(TRASH, "stat")(errno)),
        }
    }

    /// Destroys what is under `name` in the trash. Harmless to repeat.
    ///
    /// # Errors
    /// The first fault and where.
    pub fn destroy_trash(&self, name: &CStr, control: &Control) -> Result<(), TreeError> {
        remove_tree(self.trash.as_fd(), name, control)
    }

    /// The names in the trash, a few hundred at most.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn some_trash(&self) -> Result<Vec<CString>, VolumeError> {
        let failed = on(TRASH, "getdents64");
        let directory = crate::tree::open::open_directory(&self.trash, c".").map_err(&failed)?;
        let mut names = Vec::new();
        let batch = Dirents::default().batch(directory.as_fd(), |name, _| {
            names.push(name.to_owned());
            Ok(())
        });
        match batch {
            Ok(_) => Ok(names),
            Err((crate::tree::Fault::System(_, errno), _)) => Err(failed(errno)),
            Err(_) => Ok(names),
        }
    }

    fn move_to_trash(
        &self,
        operation: Uuid,
        from: BorrowedFd<'_>,
        name: &str,
    ) -> Result<bool, VolumeError> {
        let id = CString::new(operation.to_string()).unwrap_or_default();
        let mut number = 0_u32;
        loop {
            match statat(from, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => return Ok(false),
                done => done.map_err(on(name, "stat"))?,
            };
            let own = make_directory(&self.trash, &id, 0o700).map_err(on(TRASH, "mkdir"))?;
            match rename_to_free(from, name, &own, &number.to_string()) {
                Ok(()) => {
                    fsync(&own)
                        .and_then(|()| fsync(from))
                        .map_err(on(TRASH, "fsync"))?;
                    return Ok(true);
                }
                // What an earlier attempt has left is still there.
                Err(Errno::EXIST | Errno::NOTEMPTY) => number += 1,
                // The reclaimer was just done with the directory: make it again.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(on(name, "rename")(errno)),
            }
        }
    }
}
