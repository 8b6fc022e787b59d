//! Renames within a tree.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd},
};

use rustix::{
    fs::{
        AtFlags, Mode, OFlags, RenameFlags, fstat, fsync, linkat, mkdirat, renameat, renameat_with,
        statat, unlinkat,
    },
    io::Errno,
};

use super::{
    Control, Entry, Fault, FileKind, Meta, RelativePath, TreeError, TreeRoot,
    entry::describe,
    error::{named, system},
    open::open_entry,
};
use crate::faults::at;

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
        let renamed = match replace {
            true => renameat(&old, &name, &new, &new_name),
            false => {
                let (old, new) = (old.as_fd(), new.as_fd());
                match rename_to_free((old, &name), (new, &new_name)) {
                    Err(Errno::INVAL | Errno::NOSYS) if !to.is_below(from) => {
                        rename_by_steps((old, &name), (new, &new_name), &moved)
                    }
                    done => done,
                }
            }
        };
        renamed.map_err(|errno| match errno {
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
            // Not where capitals and small letters are the same name: that would be the only one.
            let has_both = there.id == moved.id && there.kind != FileKind::Directory;
            if has_both && moved.links > 1 {
                // Two names of one file: then rename(2) does nothing.
                let dropped = drop_name((old.as_fd(), &name), &moved);
                dropped.map_err(|errno| at_from(named("unlinkat")(errno)))?;
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

/// A directory, and a name in it.
type Spot<'a> = (BorrowedFd<'a>, &'a CStr);

fn rename_to_free(old: Spot<'_>, new: Spot<'_>) -> Result<(), Errno> {
    at("files.moving")?;
    renameat_with(old.0, old.1, new.0, new.1, RenameFlags::NOREPLACE)
}

/// The same where a filesystem has no such rename, NFS for one. It is not one step: a crash may leave a file with both names,
/// or an empty directory at the new one.
fn rename_by_steps(old: Spot<'_>, new: Spot<'_>, moved: &Meta) -> Result<(), Errno> {
    if moved.kind == FileKind::Directory {
        // Takes the place of an empty directory, and of none that somebody has put something into.
        mkdirat(new.0, new.1, Mode::RWXU)?;
        return renameat(old.0, old.1, new.0, new.1).inspect_err(|_| {
            let _ = unlinkat(new.0, new.1, AtFlags::REMOVEDIR);
        });
    }
    linkat(old.0, old.1, new.0, new.1, AtFlags::empty())?;
    // Should it fail, both names stay: neither may be the only one.
    drop_name(old, moved)
}

/// Removes the name, if it is still there and the file's.
fn drop_name((directory, name): Spot<'_>, file: &Meta) -> Result<(), Errno> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map(Meta::from) {
        Ok(there) if there.id == file.id => match unlinkat(directory, name, AtFlags::empty()) {
            // NFS says so of what it has done, if it has to ask again.
            Err(Errno::NOENT) => Ok(()),
            done => done,
        },
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
