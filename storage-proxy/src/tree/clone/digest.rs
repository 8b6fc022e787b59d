//! The digest of a copy, while it is made: of the bytes that are written, and of the attributes that the copy has got.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::fs::{AtFlags, fstat, statat};

use crate::tree::{
    Fault, Meta,
    digest::{ContentHasher, Digester, InodeReader, PathDigest},
    error::system,
};

/// One thread's part of it.
#[derive(Debug)]
pub struct CopyDigest<'a>(InodeReader<'a>);

impl<'a> CopyDigest<'a> {
    pub fn new(digester: &Arc<Digester<'a>>) -> Self {
        Self(InodeReader::new(digester))
    }

    /// Where the copy's root is.
    pub fn root(&mut self) -> PathDigest {
        self.0.root()
    }

    /// Where the entry `name` of the directory at `parent` is.
    pub fn path(&mut self, parent: &PathDigest, name: &CStr) -> PathDigest {
        self.0.path(parent, name)
    }

    /// The next file's content is to go there.
    pub fn content(&mut self) -> &mut ContentHasher {
        self.0.begin()
    }

    /// The file whose content has come is complete: `copy`, whose source has so many `links`.
    pub fn add_file(&mut self, path: &PathDigest, copy: &OwnedFd, links: u64) -> Result<(), Fault> {
        let meta = Meta::from(fstat(copy).map_err(system("fstat"))?);
        let body = self.0.file(copy.as_fd(), &meta, meta.size)?;
        self.0.add(path, &linked(meta, links), &body)
    }

    /// The entry `name` of `to`, which can't be opened, is complete. `target` is a symlink's.
    pub fn add_special(
        &mut self,
        path: &PathDigest,
        (to, name): (BorrowedFd<'_>, &CStr),
        target: Option<&[u8]>,
        links: u64,
    ) -> Result<(), Fault> {
        self.0.begin();
        let meta = meta_of(to, name)?;
        let body = self.0.special(to, name, &meta, target)?;
        self.0.add(path, &linked(meta, links), &body)
    }

    /// The entry `name` of `to` is one more name of what was added.
    pub fn add_link(
        &mut self,
        path: &PathDigest,
        (to, name): (BorrowedFd<'_>, &CStr),
    ) -> Result<(), Fault> {
        self.0.add_link(path, &meta_of(to, name)?)
    }

    /// A directory has got its attributes.
    pub fn add_directory(&mut self, path: &PathDigest, directory: &OwnedFd) -> Result<(), Fault> {
        let meta = Meta::from(fstat(directory).map_err(system("fstat"))?);
        self.0.add_directory(path, directory.as_fd(), &meta)
    }
}

/// As it will be, once it has as many names as its source may give it.
fn linked(meta: Meta, links: u64) -> Meta {
    Meta {
        links: meta.links.max(links),
        ..meta
    }
}

/// Nobody but us changes it.
fn meta_of(to: BorrowedFd<'_>, name: &CStr) -> Result<Meta, Fault> {
    let stat = statat(to, name, AtFlags::SYMLINK_NOFOLLOW).map_err(system("fstatat"))?;
    Ok(Meta::from(stat))
}
