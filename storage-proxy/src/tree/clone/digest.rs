//! The digest of a copy, while it is made: of the bytes that are written, and of the attributes that the copy has got.

use std::{
    ffi::CStr,
    fmt,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::{AtFlags, fstat, statat};

use crate::tree::{
    Fault, Meta,
    attributes::AttributeReader,
    digest::{ContentHasher, DigestWorker, Digester, PathDigest},
    error::system,
};

/// What threads have digested that have ended.
pub type Digested = Arc<Mutex<Vec<DigestWorker>>>;

/// One thread's part of it, which is handed over when the thread ends.
pub struct CopyDigest {
    worker: DigestWorker,
    attributes: AttributeReader,
    done: Digested,
}

impl fmt::Debug for CopyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyDigest").finish_non_exhaustive()
    }
}

impl Drop for CopyDigest {
    fn drop(&mut self) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.push(std::mem::take(&mut self.worker));
    }
}

impl CopyDigest {
    pub fn new(done: &Digested) -> Self {
        Self {
            worker: DigestWorker::default(),
            attributes: AttributeReader::default(),
            done: Arc::clone(done),
        }
    }

    /// Where the entry `name` of the directory at `parent` is.
    pub fn path(&mut self, parent: &PathDigest, name: &CStr) -> PathDigest {
        self.worker.path(parent, name)
    }

    /// The next file's content is to go there.
    pub fn content(&mut self) -> &mut ContentHasher {
        self.worker.begin();
        &mut self.worker.content
    }

    /// The file whose content has come is complete: `copy`, whose source has so many `links`.
    pub fn add_file(
        &mut self,
        digester: &Digester<'_>,
        path: &PathDigest,
        copy: &OwnedFd,
        links: u64,
    ) -> Result<(), Fault> {
        let Self {
            worker, attributes, ..
        } = self;
        let meta = Meta::from(fstat(copy).map_err(system("fstat"))?);
        attributes.read_open(copy.as_fd(), |name, value| worker.attribute(name, value))?;
        let body = worker.file(&meta, meta.size);
        worker.add(digester, path, &linked(meta, links), &body)
    }

    /// The entry `name` of `to`, which can't be opened, is complete. `target` is a symlink's.
    pub fn add_special(
        &mut self,
        digester: &Digester<'_>,
        path: &PathDigest,
        (to, name): (BorrowedFd<'_>, &CStr),
        target: Option<&[u8]>,
        links: u64,
    ) -> Result<(), Fault> {
        let Self {
            worker, attributes, ..
        } = self;
        worker.begin();
        let meta = meta_of(to, name)?;
        attributes.read_entry(to, name, |name, value| worker.attribute(name, value))?;
        let body = match target {
            Some(target) => worker.symlink(&meta, target),
            None => worker.other(&meta),
        };
        worker.add(digester, path, &linked(meta, links), &body)
    }

    /// The entry `name` of `to` is one more name of what was added.
    pub fn add_link(
        &mut self,
        digester: &Digester<'_>,
        path: &PathDigest,
        (to, name): (BorrowedFd<'_>, &CStr),
    ) -> Result<(), Fault> {
        let meta = meta_of(to, name)?;
        self.worker.add_link(digester, path, meta.id)
    }

    /// A directory has got its attributes.
    pub fn add_directory(
        &mut self,
        digester: &Digester<'_>,
        path: &PathDigest,
        directory: &OwnedFd,
    ) -> Result<(), Fault> {
        let Self {
            worker, attributes, ..
        } = self;
        worker.begin();
        let meta = Meta::from(fstat(directory).map_err(system("fstat"))?);
        attributes.read_open(directory.as_fd(), |name, value| {
            worker.attribute(name, value);
        })?;
        let body = worker.other(&meta);
        worker.add(digester, path, &meta, &body)
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
