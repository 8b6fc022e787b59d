//! Makes directories that belong to the owner of what they are in.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, Mode, fchmod, fchown, fstat, fsync, mkdirat, statat, unlinkat},
    io::Errno,
    process::geteuid,
};

use super::{
    Control, Entry, Fault, Meta, RelativePath, TreeRoot,
    dirents::Dirents,
    error::{named, system},
    open::open_directory,
};

const SETGID: u32 = 0o2000;
/// Of directories that are made on the way.
const PARENT_MODE: u32 = 0o755;

impl TreeRoot {
    /// Makes the directory at `path` with exactly `mode`, whatever the umask; in a setgid directory it is setgid as
    /// well, as mkdir(2) would make it. With `parents`, also makes what is missing above it and succeeds if it exists.
    /// Durable when it returns.
    ///
    /// # Errors
    /// [`Fault::Exists`], those of [`TreeRoot::directory`], and what mkdir(2) says.
    pub fn create_directory(
        &self,
        path: &RelativePath,
        parents: bool,
        mode: u32,
    ) -> Result<Entry, Fault> {
        self.create_directory_with(path, parents, mode, &Control::default())
    }

    /// As [`TreeRoot::create_directory`]. `control` stops it before each directory that it makes, and counts those that
    /// it has made, also if it fails.
    ///
    /// # Errors
    /// As [`TreeRoot::create_directory`], and [`Fault::Cancelled`].
    pub fn create_directory_with(
        &self,
        path: &RelativePath,
        parents: bool,
        mode: u32,
        control: &Control,
    ) -> Result<Entry, Fault> {
        let Some((above, name)) = path.split_last() else {
            let meta = Meta::from(fstat(self.as_fd()).map_err(system("fstat"))?);
            return if parents {
                Ok(entry(CString::default(), meta))
            } else {
                Err(Fault::Exists)
            };
        };
        let parent = if parents {
            self.create_above(&above, control)?
        } else {
            self.directory(&above)?
        };
        match make(parent.as_fd(), &name, mode, control) {
            Ok(meta) => Ok(entry(name, meta)),
            Err(Fault::Exists) if parents => {
                // A symlink or file in its place is no directory that exists.
                let existing = open_directory(&parent, &name).map_err(|_| Fault::Exists)?;
                Ok(entry(
                    name,
                    Meta::from(fstat(existing).map_err(system("fstat"))?),
                ))
            }
            Err(fault) => Err(fault),
        }
    }

    /// How many of the directories on the way to `path`, itself included, are not there.
    ///
    /// # Errors
    /// As [`TreeRoot::directory`].
    pub fn missing(&self, path: &RelativePath) -> Result<u64, Fault> {
        let mut directory = self.directory(&RelativePath::root())?;
        let mut components = path.components();
        while let Some(name) = components.next() {
            directory = match open_directory(&directory, &name).map_err(named("open")) {
                Err(Fault::NotFound) => {
                    return Ok(u64::try_from(components.count() + 1).unwrap_or(u64::MAX));
                }
                done => done?,
            };
        }
        Ok(0)
    }

    fn create_above(&self, path: &RelativePath, control: &Control) -> Result<OwnedFd, Fault> {
        let mut directory = self.directory(&RelativePath::root())?;
        for name in path.components() {
            directory = match open_directory(&directory, &name).map_err(named("open")) {
                Err(Fault::NotFound) => {
                    match make(directory.as_fd(), &name, PARENT_MODE, control) {
                        // Somebody else was faster, which is as good.
                        Ok(_) | Err(Fault::Exists) => {}
                        Err(fault) => return Err(fault),
                    }
                    open_directory(&directory, &name).map_err(named("open"))?
                }
                done => done?,
            };
        }
        Ok(directory)
    }
}

fn make(parent: BorrowedFd<'_>, name: &CStr, mode: u32, control: &Control) -> Result<Meta, Fault> {
    control.check()?;
    let container = Meta::from(fstat(parent).map_err(system("fstat"))?);
    let made = make_ours(parent, name)?;
    let dressed = dress(parent, made.as_fd(), &container, mode).inspect_err(|_| {
        // What was asked for failed: there must not be a directory that is nearly it.
        unmake(parent, name, made.as_fd());
    });
    dressed.inspect(|_| control.entry_done())
}

/// Makes a directory that is for nobody but us to use yet, and opens it.
///
/// # Errors
/// [`Fault::Exists`], also where somebody has put another one in its place; what mkdir(2) says.
pub(super) fn make_ours(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Fault> {
    mkdirat(parent, name, Mode::RWXU).map_err(named("mkdirat"))?;
    let made = open_directory(parent, name).inspect_err(|_| {
        // Where that fails, for want of descriptors for one, an empty one must not stay; it can be nothing else.
        let _ = unlinkat(parent, name, AtFlags::REMOVEDIR);
    });
    let made = made.map_err(named("open"))?;
    check_ours(made.as_fd())?;
    Ok(made)
}

/// Gives a new directory its owner and mode, and makes it durable.
fn dress(
    parent: BorrowedFd<'_>,
    made: BorrowedFd<'_>,
    container: &Meta,
    mode: u32,
) -> Result<Meta, Fault> {
    let (uid, gid) = container.owner();
    match fchown(made, Some(uid), Some(gid)) {
        // Not root: then it belongs to us, like all that we make.
        Ok(()) | Err(Errno::PERM) => {}
        Err(errno) => return Err(Fault::System("fchown", errno)),
    }
    let mode = mode | (container.mode & SETGID);
    fchmod(made, Mode::from_bits_truncate(mode)).map_err(system("fchmod"))?;
    fsync(made).map_err(system("fsync"))?;
    fsync(parent).map_err(system("fsync"))?;
    Ok(Meta::from(fstat(made).map_err(system("fstat"))?))
}

/// Removes a new directory, unless somebody has put another one in its place.
fn unmake(parent: BorrowedFd<'_>, name: &CStr, made: BorrowedFd<'_>) {
    let there = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| Meta::from(stat).id);
    let ours = fstat(made).map(|stat| Meta::from(stat).id);
    if ours.is_ok() && there == ours {
        let _ = unlinkat(parent, name, AtFlags::REMOVEDIR);
    }
}

/// Between mkdirat(2) and open(2) a writer may put another directory into the place: it must not be given away. Ours is
/// empty and open to nobody else.
fn check_ours(made: BorrowedFd<'_>) -> Result<(), Fault> {
    let meta = Meta::from(fstat(made).map_err(system("fstat"))?);
    let mut empty = true;
    Dirents::default()
        .batch(made, |_, _| {
            empty = false;
            Ok(())
        })
        .map_err(|(fault, _)| fault)?;
    if empty && meta.uid == geteuid().as_raw() && meta.mode & 0o777 == 0o700 {
        Ok(())
    } else {
        Err(Fault::Exists)
    }
}

fn entry(name: CString, meta: Meta) -> Entry {
    Entry {
        name,
        meta,
        target: None,
    }
}
