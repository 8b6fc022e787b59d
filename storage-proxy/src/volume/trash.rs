//! Out of sight by one rename, then destroyed in peace.
//!
//! What an operation throws away is renamed to `trash/<operation>`, or to `trash/<operation>.<n>` where that is taken.
//! Nothing is made for it, so that a volume without space or inodes can still be cleared. (Earlier versions made a
//! directory `trash/<operation>` and numbered what they put into it; it is destroyed like any other.)

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
    durable::move_tree,
    error::on,
    layout::{STAGING, TRASH, TREE},
};
use crate::{
    faults::at,
    tree::{Control, Fault, TreeError, Usage, Workers, dirents::Dirents, open::open_directory},
};

impl OpenVolume {
    /// Moves the tree of `vfolder` into the trash of `operation`. Answers whether it is there now. Durable when it returns,
    /// also if an earlier attempt has moved it. Where even a rename needs space that is lacking (on btrfs), the tree is
    /// destroyed where it is: nobody can come into it any more, and it is what makes space.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn trash_tree(&self, operation: Uuid, vfolder: Uuid) -> Result<bool, VolumeError> {
        let Some(parent) = self.tree_parent(vfolder)? else {
            return Ok(false);
        };
        let name = vfolder.to_string();
        match self.move_to_trash(operation, parent.as_fd(), &name) {
            Err(error) if error.is_for_want_of_space() => {
                let name = CString::new(name).unwrap_or_default();
                self.backend
                    .remove(parent.as_fd(), &name, &Control::default())?;
                fsync(parent).map_err(on(TREE, "fsync"))?;
                Ok(false)
            }
            done => done,
        }
    }

    fn trash_staging(&self, operation: Uuid) -> Result<bool, VolumeError> {
        self.move_to_trash(operation, self.staging.as_fd(), &operation.to_string())
    }

    /// Gets what `operation` has staged out of the way. Answers whether it is in the trash now. Durable when it returns.
    ///
    /// # Errors
    /// Those of the calls; where even a rename needs space that is lacking, those of removing it in place.
    pub fn clear_staging(&self, operation: Uuid, control: &Control) -> Result<bool, VolumeError> {
        match self.trash_staging(operation) {
            Err(error) if error.is_for_want_of_space() => {
                self.remove_staging(operation, control)?;
                fsync(&self.staging).map_err(on(STAGING, "fsync"))?;
                Ok(false)
            }
            done => done,
        }
    }

    /// Removes what `operation` has staged where it is.
    ///
    /// # Errors
    /// The first fault and where.
    pub fn remove_staging(&self, operation: Uuid, control: &Control) -> Result<(), TreeError> {
        let name = CString::new(operation.to_string()).unwrap_or_default();
        self.backend.remove(self.staging.as_fd(), &name, control)
    }

    /// Destroys the trash of `operation`. Harmless to repeat.
    ///
    /// # Errors
    /// The first fault and where.
    pub fn destroy_trash_of(&self, operation: Uuid, control: &Control) -> Result<(), TreeError> {
        let mut own = Vec::new();
        // Read, not guessed: the reclaimer leaves gaps in the numbers.
        self.each_in_trash(|name| {
            if operation_of(name) == Some(operation) {
                own.push(name.to_owned());
            }
            true
        })
        .map_err(|fault| TreeError::new(fault, Vec::new()))?;
        own.iter()
            .try_for_each(|name| self.destroy_trash(name, control))
    }

    /// Destroys what is under `name` in the trash. Harmless to repeat.
    ///
    /// # Errors
    /// The first fault and where.
    pub fn destroy_trash(&self, name: &CStr, control: &Control) -> Result<(), TreeError> {
        self.backend.remove(self.trash.as_fd(), name, control)
    }

    /// Counts what is under `name` in the trash, unless that is no directory, or one that is destroyed faster than it can
    /// be counted.
    ///
    /// # Errors
    /// The first fault and where.
    pub fn count_trash(&self, name: &CStr, control: &Control) -> Result<Option<Usage>, TreeError> {
        let Ok(tree) = open_directory(&self.trash, name) else {
            return Ok(None);
        };
        if self.backend.removes_at_once(tree.as_fd()) {
            return Ok(None);
        }
        self.backend
            .usage(tree.as_fd(), Workers::ONE, control)
            .map(Some)
    }

    /// Shows `visit` the names in the trash, until it answers false. It may destroy what it is shown.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn each_in_trash(&self, mut visit: impl FnMut(&CStr) -> bool) -> Result<(), Fault> {
        let failed = |errno| Fault::System("open", errno);
        // A handle of its own: the shared one's position is everybody's.
        let directory = open_directory(&self.trash, c".").map_err(failed)?;
        let mut dirents = Dirents::default();
        let (mut on, mut more) = (true, true);
        while on && more {
            let batch = dirents.batch(directory.as_fd(), |name, _| {
                on = on && visit(name);
                Ok(())
            });
            more = batch.map_err(|(fault, _)| fault)?.is_some();
        }
        Ok(())
    }

    fn move_to_trash(
        &self,
        operation: Uuid,
        from: BorrowedFd<'_>,
        name: &str,
    ) -> Result<bool, VolumeError> {
        let durable = || {
            at("trash.renamed")
                .and_then(|()| fsync(&self.trash))
                .and_then(|()| fsync(from))
                .and_then(|()| at("trash.synced"))
                .map_err(on(TRASH, "fsync"))
        };
        let mut number = 0_u32;
        loop {
            match statat(from, name, AtFlags::SYMLINK_NOFOLLOW) {
                // Perhaps moved by an earlier attempt, which only memory knows of.
                Err(Errno::NOENT) => return durable().map(|()| false),
                done => done.map_err(on(name, "stat"))?,
            };
            let renamed = at("trash.begin")
                .and_then(|()| move_tree(from, name, &self.trash, &trash_name(operation, number)));
            match renamed {
                Ok(()) => return durable().map(|()| true),
                // What an earlier attempt has left is still there.
                Err(Errno::EXIST | Errno::NOTEMPTY) => number += 1,
                // Another attempt was faster.
                Err(Errno::NOENT) => {}
                // Its owner has made it read-only, which keeps nobody from destroying it.
                Err(Errno::ROFS) if self.make_movable(from, name).map_err(on(name, "open"))? => {}
                Err(errno) => return Err(on(name, "rename")(errno)),
            }
        }
    }

    fn make_movable(&self, parent: BorrowedFd<'_>, name: &str) -> Result<bool, Errno> {
        let name = CString::new(name).unwrap_or_default();
        let tree = open_directory(parent, &name)?;
        self.backend.make_movable(tree.as_fd())
    }
}

fn trash_name(operation: Uuid, number: u32) -> String {
    match number {
        0 => operation.to_string(),
        more => format!("{operation}.{more}"),
    }
}

/// The operation that has thrown away what is under `name` in the trash.
#[must_use]
pub fn operation_of(name: &CStr) -> Option<Uuid> {
    let text = name.to_str().ok()?;
    let id = match text.split_once('.') {
        Some((id, number)) if number.parse::<u32>().is_ok_and(|n| n > 0) => id,
        Some(_) => return None,
        None => text,
    };
    // Uuid also reads other spellings; on disk there is one.
    Uuid::parse_str(id)
        .ok()
        .filter(|read| read.to_string() == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_in_the_trash_tell_whose_they_are() {
        let id = Uuid::from_u128(7);
        for number in [0, 1, 23] {
            let name = CString::new(trash_name(id, number)).unwrap_or_default();
            assert_eq!(operation_of(&name), Some(id));
        }
        for name in [
            c"x",
            c".1",
            c"00000000-0000-0000-0000-000000000007.x",
            c"lost+found",
        ] {
            assert_eq!(operation_of(name), None, "{name:?}");
        }
    }
}
