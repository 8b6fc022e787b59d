//! Hard links: the names of one inode in the source become names of one inode in the copy.
//!
//! What has been copied is remembered in a directory, as a further name of the copy, and not in memory: the links of one
//! file may lie millions of entries and thousands of levels apart.

use std::{ffi::CString, os::fd::OwnedFd};

use rustix::{
    fd::BorrowedFd,
    fs::{AtFlags, linkat, renameat, unlinkat},
    io::Errno,
};

use crate::tree::{Fault, Meta, dirents::Dirents, error::system, meta::FileId};

/// The names that the copies of files with several links have meanwhile.
#[derive(Debug)]
pub struct Links {
    directory: OwnedFd,
}

impl Links {
    /// Keeps them in `directory`, which is empty and on the filesystem of the copy.
    pub fn new(directory: OwnedFd) -> Self {
        Self { directory }
    }

    /// If `source` was copied before: gives the copy one more name. Answers whether it was.
    pub fn link_known(
        &self,
        source: &Meta,
        to: BorrowedFd<'_>,
        name: &std::ffi::CStr,
    ) -> Result<bool, Fault> {
        if source.links < 2 {
            return Ok(false);
        }
        let key = key(source.id);
        match linkat(&self.directory, &key, to, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            // A directory that a writer changes may show a name twice.
            Err(Errno::EXIST) => Ok(true),
            // Ours is the one name too many: it becomes the entry.
            Err(Errno::MLINK) => renameat(&self.directory, &key, to, name)
                .map(|()| true)
                .map_err(system("renameat")),
            Err(errno) => Err(Fault::System("linkat", errno)),
        }
    }

    /// Remembers that `source` has been copied to `name` in `at`.
    pub fn remember(
        &self,
        source: &Meta,
        at: BorrowedFd<'_>,
        name: &std::ffi::CStr,
    ) -> Result<(), Fault> {
        if source.links < 2 {
            return Ok(());
        }
        match linkat(at, name, &self.directory, key(source.id), AtFlags::empty()) {
            // Another of its names was faster; or the filesystem has no hard links beyond this one, which then are copies.
            Ok(()) | Err(Errno::EXIST | Errno::MLINK) => Ok(()),
            Err(errno) => Err(Fault::System("linkat", errno)),
        }
    }

    /// Forgets all: the copies keep their real names only.
    pub fn forget(self) -> Result<(), Fault> {
        let mut dirents = Dirents::default();
        loop {
            let mut found = false;
            rustix::fs::seek(&self.directory, rustix::fs::SeekFrom::Start(0))
                .map_err(system("lseek"))?;
            let mut more = true;
            while more {
                more = dirents
                    .batch(rustix::fd::AsFd::as_fd(&self.directory), |name, _| {
                        found = true;
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
