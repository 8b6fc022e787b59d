//! Renames within a tree.

use std::{ffi::CStr, os::fd::AsFd as _};

use rustix::{
    fs::{AtFlags, OFlags, RenameFlags, fstat, fsync, renameat_with, statat, unlinkat},
    io::Errno,
};

use super::{
    Control, Entry, Fault, FileKind, Meta, RelativePath, TreeError, TreeRoot,
    entry::describe,
    error::{named, system},
    open::open_entry,
};

/// What a rename has done.
#[derive(Clone, Debug)]
pub struct Renamed {
    /// The entry at its new path.
    pub entry: Entry,
    /// What was there before, as it was.
    pub replaced: Option<Replaced>,
}

/// What a rename has put something else in the place of.
#[derive(Clone, Copy, Debug)]
pub struct Replaced {
    /// Bytes of file data that are gone: none if the file has another name.
    pub bytes: u64,
}

impl TreeRoot {
    /// Gives the entry at `from` the path `to`. With `replace`, what is there goes: a file for what is no directory, an
    /// empty directory for a directory. Durable when it returns.
    ///
    /// # Errors
    /// The fault and of which path: [`Fault::Exists`], also for what can't be replaced; [`Fault::Inside`]; those of
    /// [`TreeRoot::directory`], and what rename(2) says.
    pub fn rename(
        &self,
        from: &RelativePath,
        to: &RelativePath,
        replace: bool,
        control: &Control,
    ) -> Result<Renamed, TreeError> {
        let at_from = |fault| TreeError::new(fault, from.as_bytes());
        let at_to = |fault| TreeError::new(fault, to.as_bytes());
        // The root is where everything is: it has no place to be moved from, and is never free.
        let (above, name) = from.split_last().ok_or_else(|| at_from(Fault::Inside))?;
        let (new_above, new_name) = to.split_last().ok_or_else(|| at_to(Fault::Exists))?;
        let old = self.directory(&above).map_err(at_from)?;
        let new = self.directory(&new_above).map_err(at_to)?;
        let alone = self.name_lock().alone();
        let stat = statat(&old, &name, AtFlags::SYMLINK_NOFOLLOW);
        let moved = Meta::from(stat.map_err(named("fstatat")).map_err(at_from)?);
        let there = statat(&new, &new_name, AtFlags::SYMLINK_NOFOLLOW).map(Meta::from);
        // It is this very file whose names are counted afterwards, whatever its name leads to by then.
        let handle = match &there {
            Ok(meta) if replace && meta.kind == FileKind::Regular => {
                open_entry(&new, &new_name, OFlags::PATH).ok()
            }
            _ => None,
        };
        control.check().map_err(at_from)?;
        let flags = match replace {
            true => RenameFlags::empty(),
            false => RenameFlags::NOREPLACE,
        };
        renameat_with(&old, &name, &new, &new_name, flags).map_err(|errno| match errno {
            Errno::NOENT | Errno::STALE => at_from(Fault::NotFound),
            Errno::INVAL => at_to(Fault::Inside),
            Errno::BUSY => at_from(Fault::MountPoint),
            Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::NOTDIR => at_to(Fault::Exists),
            errno => at_from(named("renameat2")(errno)),
        })?;
        let mut replaced = None;
        if let Ok(there) = there
            && replace
            && from != to
        {
            if there.id == moved.id && there.kind != FileKind::Directory {
                // Two names of one file: then rename(2) does nothing.
                drop_name(old.as_fd(), &name, &moved).map_err(at_from)?;
            }
            let gone = handle.and_then(|handle| fstat(handle).ok()).map(Meta::from);
            let gone = gone.filter(|meta| meta.links == 0);
            replaced = Some(Replaced {
                bytes: gone.map_or(0, |meta| meta.size),
            });
        }
        drop(alone);
        for (directory, at) in [(&new, to), (&old, from)] {
            let synced = fsync(directory).map_err(system("fsync"));
            synced.map_err(|fault| TreeError::new(fault, at.as_bytes()))?;
        }
        let entry = describe(&new, new_name).map_err(|fault| match fault {
            // Somebody was fast to move or remove it again.
            Fault::Gone => at_to(Fault::NotFound),
            fault => at_to(fault),
        })?;
        Ok(Renamed { entry, replaced })
    }
}

/// Removes the name, if it is still there and the file's.
fn drop_name(
    directory: std::os::fd::BorrowedFd<'_>,
    name: &CStr,
    file: &Meta,
) -> Result<(), Fault> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map(Meta::from) {
        Ok(there) if there.id == file.id => {
            unlinkat(directory, name, AtFlags::empty()).map_err(named("unlinkat"))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(named("fstatat")(errno)),
    }
}
