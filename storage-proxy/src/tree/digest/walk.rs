//! The digest of a tree as it is found.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use rustix::fs::fstat;

use super::{Scratch, TreeDigest, file::EntryReader, record::PathDigest, worker::Digester};
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
        digester: Arc::new(Digester::new(scratch)),
        control,
    };
    let root = work.root(root).map_err(at_root)?;
    walk(&work, root, workers, control)?;
    work.digester.finish(control).map_err(at_root)
}

struct Work<'a> {
    digester: Arc<Digester<'a>>,
    control: &'a Control,
}

impl<'a> Work<'a> {
    fn root(&self, root: BorrowedFd<'_>) -> Result<Entered<PathDigest>, Fault> {
        let directory = open_directory(root, c".").map_err(looking("open"))?;
        let mut reader = self.worker();
        let path = reader.inodes.root();
        self.enter_at(&mut reader, path, directory)
    }

    fn enter_at(
        &self,
        reader: &mut EntryReader<'a>,
        path: PathDigest,
        directory: OwnedFd,
    ) -> Result<Entered<PathDigest>, Fault> {
        let meta = Meta::from(fstat(&directory).map_err(system("fstat"))?);
        reader
            .inodes
            .add_directory(&path, directory.as_fd(), &meta)?;
        self.control.entry_done();
        Ok(Entered {
            directory,
            meta,
            data: path,
        })
    }
}

impl<'a> Visitor for Work<'a> {
    type Worker = EntryReader<'a>;
    type Data = PathDigest;

    fn worker(&self) -> EntryReader<'a> {
        EntryReader::new(&self.digester)
    }

    fn shares_directories(&self) -> bool {
        true
    }

    fn enter(
        &self,
        reader: &mut EntryReader<'a>,
        parent: &Dir<PathDigest>,
        handle: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<Option<Entered<PathDigest>>, Fault> {
        match open_directory(handle, name).map_err(looking("open")) {
            Ok(directory) => {
                let path = reader.inodes.path(&parent.data, name);
                self.enter_at(reader, path, directory).map(Some)
            }
            // Something else by now.
            Err(Fault::Changed) => self.late(reader, parent, handle, name).map(|()| None),
            Err(fault) => Err(fault),
        }
    }

    fn entry(
        &self,
        reader: &mut EntryReader<'a>,
        dir: &Dir<PathDigest>,
        handle: BorrowedFd<'_>,
        name: &CStr,
        _: FileKind,
    ) -> Result<Found, Fault> {
        reader.add_entry(&dir.data, handle, name, false, self.control)
    }

    fn late(
        &self,
        reader: &mut EntryReader<'a>,
        dir: &Dir<PathDigest>,
        handle: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<(), Fault> {
        match reader.add_entry(&dir.data, handle, name, true, self.control)? {
            Found::Done => Ok(()),
            Found::Directory | Found::Long => Err(Fault::Changed),
        }
    }

    fn leave(&self, _: &mut EntryReader<'a>, _: &Dir<PathDigest>) -> Result<Leave, Fault> {
        Ok(Leave::Done)
    }
}
