//! Hard links: the names of one inode in the source become names of one inode in the copy.
//!
//! What has been copied is remembered in a directory, as a further name of the copy, and not in memory: the links of one
//! file may lie millions of entries and thousands of levels apart.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{AtFlags, SeekFrom, linkat, renameat, seek, statat, unlinkat},
    io::{Errno, fcntl_dupfd_cloexec},
};

use crate::tree::{Control, Fault, Meta, dirents::Dirents, error::system, meta::FileId};

/// More than there are threads, so that those with different files seldom meet.
const LOCKS: usize = 64;

/// The names that the copies of files with several links have meanwhile.
#[derive(Debug)]
pub struct Links {
    directory: OwnedFd,
    locks: [Mutex<()>; LOCKS],
}

/// Whether a file was copied before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It wasn't.
    No,
    /// It was, and its copy has got one more name.
    Linked,
    /// It was, and there is something of this name already.
    Already,
}

/// What a name in the copy, which was there before, is among those of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The first that was looked at.
    First,
    /// One more.
    Further,
    /// It leads elsewhere.
    Other,
}

/// While it is held, nobody else copies another name of the same file.
#[derive(Debug)]
pub struct Turn<'a>(#[allow(dead_code, reason = "held, not read")] MutexGuard<'a, ()>);

impl Links {
    /// Keeps them in `directory`, which is empty and on the filesystem of the copy.
    pub fn new(directory: BorrowedFd<'_>) -> Result<Self, Fault> {
        Ok(Self {
            directory: fcntl_dupfd_cloexec(directory, 0).map_err(system("dup"))?,
            locks: [const { Mutex::new(()) }; LOCKS],
        })
    }

    /// Waits for whoever copies another name of `source`; nothing if it has only one.
    pub fn turn(&self, source: &Meta) -> Option<Turn<'_>> {
        #[allow(clippy::cast_possible_truncation, reason = "any lock will do")]
        let lock = &self.locks[source.id.ino as usize % LOCKS];
        (source.links > 1).then(|| Turn(lock.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// If `source` was copied before: gives the copy one more name.
    pub fn link_known(
        &self,
        source: &Meta,
        to: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<Known, Fault> {
        if source.links < 2 {
            return Ok(Known::No);
        }
        let key = key(source.id);
        match linkat(&self.directory, &key, to, name, AtFlags::empty()) {
            Ok(()) => Ok(Known::Linked),
            Err(Errno::NOENT) => Ok(Known::No),
            Err(Errno::EXIST) => Ok(Known::Already),
            // Ours is the one name too many: it becomes the entry.
            Err(Errno::MLINK) => renameat(&self.directory, &key, to, name)
                .map(|()| Known::Linked)
                .map_err(system("renameat")),
            Err(errno) => Err(Fault::System("linkat", errno)),
        }
    }

    /// Whether `copy`, which is `name` in `at`, is the one that the other names of `source` lead to.
    pub fn standing(
        &self,
        source: &Meta,
        copy: &Meta,
        at: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<Standing, Fault> {
        if source.links < 2 {
            return Ok(match copy.links {
                0 | 1 => Standing::First,
                _ => Standing::Other,
            });
        }
        match statat(&self.directory, key(source.id), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(known) if Meta::from(known).id == copy.id => Ok(Standing::Further),
            Ok(_) => Ok(Standing::Other),
            Err(Errno::NOENT) => self.remember(source, at, name).map(|()| Standing::First),
            Err(errno) => Err(Fault::System("fstatat", errno)),
        }
    }

    /// Remembers that `source` has been copied to `name` in `at`.
    pub fn remember(&self, source: &Meta, at: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
        if source.links < 2 {
            return Ok(());
        }
        match linkat(at, name, &self.directory, key(source.id), AtFlags::empty()) {
            // Known already; or the filesystem has no hard links beyond this one, which then are copies.
            Ok(()) | Err(Errno::EXIST | Errno::MLINK) => Ok(()),
            Err(errno) => Err(Fault::System("linkat", errno)),
        }
    }

    /// Forgets all: the copies keep their real names only.
    pub fn forget(&self, control: &Control) -> Result<(), Fault> {
        let mut dirents = Dirents::default();
        loop {
            let mut found = false;
            seek(&self.directory, SeekFrom::Start(0)).map_err(system("lseek"))?;
            let mut more = true;
            while more {
                more = dirents
                    .batch(self.directory.as_fd(), |name, _| {
                        found = true;
                        control.check()?;
                        unlinkat(&self.directory, name, AtFlags::empty())
                            .map_err(system("unlinkat"))
                    })
                    .map_err(|(fault, _)| fault)?
                    .is_some();
            }
            if !found {
                return Ok(());
            }
        }
    }
}

fn key(id: FileId) -> CString {
    // Digits and a dash: never a NUL.
    CString::new(format!("{:x}-{:x}", id.dev, id.ino)).unwrap_or_default()
}
