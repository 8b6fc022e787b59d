//! One inode at a time for a digest: what it has besides its content, and its place among the others.

use std::{ffi::CStr, fmt, os::fd::BorrowedFd, sync::Arc};

use super::{
    content::ContentHasher,
    record::{Body, PathDigest},
    worker::{DigestWorker, Digester},
};
use crate::tree::{Fault, Meta, attributes::AttributeReader};

/// What one thread needs to digest inodes; what it has added counts once it is dropped.
pub struct InodeReader<'a> {
    worker: DigestWorker,
    attributes: AttributeReader,
    digester: Arc<Digester<'a>>,
}

impl fmt::Debug for InodeReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InodeReader").finish_non_exhaustive()
    }
}

impl Drop for InodeReader<'_> {
    fn drop(&mut self) {
        self.digester.take(&self.worker);
    }
}

impl<'a> InodeReader<'a> {
    /// A thread's, of all those that digest the same tree.
    pub fn new(digester: &Arc<Digester<'a>>) -> Self {
        Self {
            worker: DigestWorker::default(),
            attributes: AttributeReader::default(),
            digester: Arc::clone(digester),
        }
    }

    /// What all threads share.
    pub fn digester(&self) -> &Digester<'a> {
        &self.digester
    }

    /// The path of the tree's root.
    pub fn root(&mut self) -> PathDigest {
        self.worker.root()
    }

    /// The path of the entry `name` of the directory at `parent`.
    pub fn path(&mut self, parent: &PathDigest, name: &CStr) -> PathDigest {
        self.worker.path(parent, name)
    }

    /// Another inode comes to hand: what was taken in of one that was not added is forgotten. Its content, if it has any,
    /// goes where the answer is.
    pub fn begin(&mut self) -> &mut ContentHasher {
        self.worker.begin();
        &mut self.worker.content
    }

    /// The inode at hand: an open file, whose first `size` bytes were taken in.
    pub fn file(&mut self, file: BorrowedFd<'_>, meta: &Meta, size: u64) -> Result<Body, Fault> {
        let Self {
            worker, attributes, ..
        } = self;
        attributes.read_open(file, |name, value| worker.attribute(name, value))?;
        Ok(worker.file(meta, size))
    }

    /// The inode at hand: the entry `name` of `directory`, which can't be opened. `target` is a symlink's.
    pub fn special(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        meta: &Meta,
        target: Option<&[u8]>,
    ) -> Result<Body, Fault> {
        let Self {
            worker, attributes, ..
        } = self;
        attributes.read_entry(directory, name, |name, value| worker.attribute(name, value))?;
        Ok(match target {
            Some(target) => worker.symlink(meta, target),
            None => worker.other(meta),
        })
    }

    /// Adds an inode with this name.
    pub fn add(&mut self, path: &PathDigest, meta: &Meta, body: &Body) -> Result<(), Fault> {
        self.worker.add(&self.digester, path, meta, body)
    }

    /// Adds a further name of an inode that was added.
    pub fn add_link(&mut self, path: &PathDigest, meta: &Meta) -> Result<(), Fault> {
        self.worker.add_link(&self.digester, path, meta.id)
    }

    /// Adds an open directory.
    pub fn add_directory(
        &mut self,
        path: &PathDigest,
        directory: BorrowedFd<'_>,
        meta: &Meta,
    ) -> Result<(), Fault> {
        self.begin();
        let Self {
            worker, attributes, ..
        } = self;
        attributes.read_open(directory, |name, value| worker.attribute(name, value))?;
        let body = worker.other(meta);
        self.add(path, meta, &body)
    }
}
