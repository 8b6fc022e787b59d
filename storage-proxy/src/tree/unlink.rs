//! Removes what a user names.

use std::os::fd::AsFd as _;

use rustix::{
    fs::{AtFlags, statat, unlinkat},
    io::Errno,
};

use super::{
    Control, Fault, FileKind, Meta, RelativePath, TreeError, TreeRoot, Workers,
    error::named,
    remove::{Force, remove_file, remove_tree_by},
};

impl TreeRoot {
    /// Removes the entry at `path`; with `recursive`, also a directory with what is in it. What forbids it stands: flags
    /// and permissions. `control` counts what goes: entries, and bytes of files whose last name goes.
    ///
    /// # Errors
    /// The first fault and where: [`Fault::NotFound`], [`Fault::NotEmpty`], those of [`TreeRoot::directory`] and what
    /// unlink(2) says. What was removed until then stays removed.
    pub fn remove(
        &self,
        path: &RelativePath,
        recursive: bool,
        control: &Control,
    ) -> Result<(), TreeError> {
        // One thread: the others serve others.
        self.remove_with(path, recursive, Workers::ONE, control)
    }

    /// As [`TreeRoot::remove`], with so many threads where a directory goes with what is in it.
    ///
    /// # Errors
    /// As [`TreeRoot::remove`].
    pub fn remove_with(
        &self,
        path: &RelativePath,
        recursive: bool,
        workers: Workers,
        control: &Control,
    ) -> Result<(), TreeError> {
        let here = |fault| TreeError::new(fault, path.as_bytes());
        // The root is no entry of the tree.
        let (above, name) = path.split_last().ok_or_else(|| here(Fault::NotFound))?;
        control.check().map_err(here)?;
        let parent = self.directory(&above).map_err(here)?;
        let stat = statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW);
        let kind = Meta::from(stat.map_err(named("fstatat")).map_err(here)?).kind;
        if kind != FileKind::Directory {
            let (force, name_lock) = (Force::Respect, self.name_lock());
            let removed = remove_file(force, parent.as_fd(), &name, kind, name_lock, control);
            return match removed.map_err(here)? {
                true => Ok(()),
                false => Err(here(Fault::Changed)),
            };
        }
        if recursive {
            let (force, parent) = (Force::Respect, parent.as_fd());
            return remove_tree_by(force, parent, &name, self.name_lock(), workers, control)
                .map_err(|error| error.below(path));
        }
        unlinkat(&parent, &name, AtFlags::REMOVEDIR).map_err(|errno| match errno {
            Errno::NOTEMPTY | Errno::EXIST => here(Fault::NotEmpty),
            Errno::BUSY => here(Fault::MountPoint),
            errno => here(named("unlinkat")(errno)),
        })?;
        control.entry_done();
        Ok(())
    }
}
