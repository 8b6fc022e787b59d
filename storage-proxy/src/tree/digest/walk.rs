//! The digest of a tree as it is found.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::fstat;

use super::{
    Scratch, TreeDigest,
    file::EntryReader,
    record::PathDigest,
    worker::{DigestWorker, Digester},
};
use crate::tree::{
    Control, Fault, FileKind, Meta, TreeError, Workers,
    error::{looking, system},
    open::open_directory,
    walk::{Dir, Entered, Found, Leave, Visitor, walk},
};

/// Digests the tree below `root`, a directory. While somebody writes there, the digest is that of no moment. What it
/// opens is read as a clone reads it; `scratch` is asked for where the tree has some ten thousand hard links.
///
/// # Errors
/// The first fault and where; what vanishes meanwhile is none.
pub fn digest(
    root: BorrowedFd<'_>,
    scratch: &Scratch<'_>,
    workers: Workers,
    control: &Control,
) -> Result<TreeDigest, TreeError> {
    let at_root = |fault| TreeError::new(fault, Vec::new());
    if !Path::new("/proc/self/fd").exists() {
        return Err(at_root(Fault::NoProc));
    }
    let work = Work {
        digester: Digester::new(scratch),
        done: Arc::default(),
        control,
    };
    let root = work.root(root).map_err(at_root)?;
    walk(&work, root, workers, control)?;
    let mut done = work.done.lock().unwrap_or_else(PoisonError::into_inner);
    work.digester.finish(done.drain(..)).map_err(at_root)
}

struct Work<'a> {
    digester: Digester<'a>,
    /// Of the threads that have ended.
    done: Arc<Mutex<Vec<DigestWorker>>>,
    control: &'a Control,
}

/// A thread's. What it has added is handed over when it ends.
struct Thread {
    reader: EntryReader,
    done: Arc<Mutex<Vec<DigestWorker>>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.push(std::mem::take(&mut self.reader.worker));
    }
}

impl Work<'_> {
    fn root(&self, root: BorrowedFd<'_>) -> Result<Entered<PathDigest>, Fault> {
        let directory = open_directory(root, c".").map_err(looking("open"))?;
        let mut thread = self.worker();
        let path = thread.reader.worker.root();
        self.enter_at(&mut thread, path, directory)
    }

    fn enter_at(
        &self,
        thread: &mut Thread,
        path: PathDigest,
        directory: OwnedFd,
    ) -> Result<Entered<PathDigest>, Fault> {
        let meta = Meta::from(fstat(&directory).map_err(system("fstat"))?);
        let reader = &mut thread.reader;
        reader.add_directory(&self.digester, &path, directory.as_fd(), &meta)?;
        self.control.entry_done();
        Ok(Entered {
            directory,
            meta,
            data: path,
        })
    }
}

impl Visitor for Work<'_> {
    type Worker = Thread;
    type Data = PathDigest;

    fn worker(&self) -> Thread {
        Thread {
            reader: EntryReader::default(),
            done: Arc::clone(&self.done),
        }
    }

    fn shares_directories(&self) -> bool {
        true
    }

    fn enter(
        &self,
        thread: &mut Thread,
        parent: &Dir<PathDigest>,
        handle: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<Option<Entered<PathDigest>>, Fault> {
        match open_directory(handle, name).map_err(looking("open")) {
            Ok(directory) => {
                let path = thread.reader.worker.path(&parent.data, name);
                self.enter_at(thread, path, directory).map(Some)
            }
            // Something else by now.
            Err(Fault::Changed) => {
                match self.entry(thread, parent, handle, name, FileKind::Unknown)? {
                    Found::Done => Ok(None),
                    Found::Directory | Found::Long => Err(Fault::Changed),
                }
            }
            Err(fault) => Err(fault),
        }
    }

    fn entry(
        &self,
        thread: &mut Thread,
        dir: &Dir<PathDigest>,
        handle: BorrowedFd<'_>,
        name: &CStr,
        _: FileKind,
    ) -> Result<Found, Fault> {
        let (reader, digester) = (&mut thread.reader, &self.digester);
        match reader.add_entry(digester, &dir.data, handle, name, self.control)? {
            true => Ok(Found::Done),
            false => Ok(Found::Directory),
        }
    }

    fn leave(&self, _: &mut Thread, _: &Dir<PathDigest>) -> Result<Leave, Fault> {
        Ok(Leave::Done)
    }
}
