//! The way through the source: depth first, one batch of a directory at a time, directories finished after their last
//! child.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{Mode, SeekFrom, fstat, mkdirat, seek},
    io::Errno,
};

use super::{
    entry::{Copied, EntryCopier},
    links::Links,
};
use crate::{
    faults::at,
    tree::{
        Control, Fault, FileKind, Meta, TreeError,
        descent::{Descent, duplicate},
        dirents::Dirents,
        error::{looking, system},
        open::open_directory,
    },
};

/// Where a copy goes. Nobody but the caller may have access to either directory until the copy is complete.
#[derive(Clone, Copy, Debug)]
pub struct CloneTarget<'a> {
    /// The directory that will contain the copy.
    pub parent: BorrowedFd<'a>,
    /// The copy's name in it; must be free.
    pub name: &'a CStr,
    /// An empty directory on the same filesystem, for the names that hard-linked files have meanwhile. Empty again
    /// after success. Open for reading.
    pub links: BorrowedFd<'a>,
    /// The copy's root, open, if it has been made already; empty but for `links`, where that is in it.
    pub root: Option<BorrowedFd<'a>>,
}

/// Copies the tree below `source`, a directory open for reading, to `target`. Nothing is synced.
///
/// # Errors
/// The first fault and where. What was copied until then stays for the caller to remove.
pub fn clone_tree(
    source: BorrowedFd<'_>,
    target: CloneTarget<'_>,
    control: &Control,
) -> Result<(), TreeError> {
    let at_root = |fault| TreeError::new(fault, Vec::new());
    if !Path::new("/proc/self/fd").exists() {
        return Err(at_root(Fault::NoProc));
    }
    let links = duplicate(target.links)
        .map_err(system("dup"))
        .map_err(at_root)?;
    let made = match target.root {
        Some(root) => duplicate(root).map_err(system("dup")),
        None => mkdirat(target.parent, target.name, Mode::RWXU)
            .map_err(system("mkdirat"))
            .and_then(|()| open_directory(target.parent, target.name).map_err(system("open"))),
    }
    .map_err(at_root)?;
    let source = open_directory(source, c".")
        .map_err(system("open"))
        .map_err(at_root)?;
    let mut walk = Walk {
        source: Descent::new(source),
        target: Descent::new(made),
        frames: Vec::new(),
        copier: EntryCopier::new(Links::new(links)),
        dirents: Dirents::default(),
        control,
    };
    walk.run()?;
    walk.copier.finish().map_err(at_root)
}

struct Walk<'a> {
    source: Descent,
    target: Descent,
    frames: Vec<Frame>,
    copier: EntryCopier,
    dirents: Dirents,
    control: &'a Control,
}

/// A directory that is being copied.
struct Frame {
    /// As it was before anything was read: reading changes the access time.
    meta: Meta,
    /// Directories of the last batch, yet to be entered.
    pending: Vec<CString>,
    reading: Reading,
}

enum Reading {
    /// From where the handle stands.
    On,
    /// From here: other directories were visited since, and the handle may be a new one.
    From(u64),
    Finished,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), TreeError> {
        let root = self
            .source
            .current()
            .and_then(|directory| describe(directory));
        let root = root.map_err(|fault| self.error(fault, c""))?;
        self.frames.push(Frame::new(root));
        while let Some(frame) = self.frames.last_mut() {
            self.control
                .check()
                .map_err(|fault| TreeError::new(fault, Vec::new()))?;
            if let Some(name) = frame.pending.pop() {
                match self.descend(&name) {
                    Ok(()) | Err(Fault::Gone) => {}
                    Err(fault) => return Err(self.error(fault, &name)),
                }
            } else if matches!(frame.reading, Reading::Finished) {
                self.complete().map_err(|fault| self.error(fault, c""))?;
            } else {
                self.read_batch()
                    .map_err(|(fault, name)| self.error(fault, &name))?;
            }
        }
        Ok(())
    }

    fn error(&self, fault: Fault, name: &CStr) -> TreeError {
        TreeError::new(fault, self.source.path_of(name))
    }

    /// Copies what is no directory in the next batch of the current one, and notes the directories.
    fn read_batch(&mut self) -> Result<(), (Fault, CString)> {
        let here = |fault| (fault, CString::default());
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        let from = match self.source.current() {
            // Removed while we were further down: it has no more entries.
            Err(Fault::Gone) => {
                frame.reading = Reading::Finished;
                return Ok(());
            }
            done => done.map_err(here)?,
        };
        let to = self.target.current().map_err(here)?;
        if let Reading::From(position) = frame.reading {
            seek(from, SeekFrom::Start(position))
                .map_err(system("lseek"))
                .map_err(here)?;
        }
        let (copier, control, pending) = (&mut self.copier, self.control, &mut frame.pending);
        let position = self.dirents.batch(from, |name, kind| {
            control.check()?;
            at("clone.copying").map_err(system("write"))?;
            if kind == FileKind::Directory {
                pending.push(name.to_owned());
                return Ok(());
            }
            match copier.copy(from, to, name, kind, control) {
                Ok(Copied::Done) => control.entry_done(),
                Ok(Copied::Directory(_)) => pending.push(name.to_owned()),
                Err(Fault::Gone) => {}
                Err(fault) => return Err(fault),
            }
            Ok(())
        })?;
        frame.reading = match position {
            None => Reading::Finished,
            Some(_) if frame.pending.is_empty() => Reading::On,
            Some(position) => Reading::From(position),
        };
        Ok(())
    }

    /// Makes the copy of the directory `name` and goes into both.
    fn descend(&mut self, name: &CStr) -> Result<(), Fault> {
        let (from, to) = (self.source.current()?, self.target.current()?);
        let source = match self
            .copier
            .copy(from, to, name, FileKind::Directory, self.control)?
        {
            Copied::Done => {
                self.control.entry_done();
                return Ok(());
            }
            Copied::Directory(source) => source,
        };
        match mkdirat(to, name, Mode::RWXU) {
            // A directory that a writer changes may show a name twice.
            Err(Errno::EXIST) => return Ok(()),
            done => done.map_err(system("mkdirat"))?,
        }
        let target = open_directory(to, name).map_err(system("open"))?;
        let meta = describe(source.as_fd())?;
        self.enter(name, source, target, meta)
    }

    fn enter(
        &mut self,
        name: &CStr,
        source: OwnedFd,
        target: OwnedFd,
        meta: Meta,
    ) -> Result<(), Fault> {
        self.source.enter(name.to_owned(), source)?;
        self.target.enter(name.to_owned(), target)?;
        self.frames.push(Frame::new(meta));
        Ok(())
    }

    /// Nothing will be made in the current directory any more: it gets its owner, mode and times.
    fn complete(&mut self) -> Result<(), Fault> {
        if let Some(frame) = self.frames.pop() {
            let source = match self.source.current() {
                // Removed meanwhile.
                Err(Fault::Gone) => None,
                found => Some(found?),
            };
            let target = self.target.current()?;
            self.copier
                .attributes
                .copy_open(source, target, &frame.meta)?;
            self.control.entry_done();
        }
        self.source.leave();
        self.target.leave();
        Ok(())
    }
}

impl Frame {
    fn new(meta: Meta) -> Self {
        Self {
            meta,
            pending: Vec::new(),
            reading: Reading::On,
        }
    }
}

fn describe(directory: BorrowedFd<'_>) -> Result<Meta, Fault> {
    fstat(directory).map(Meta::from).map_err(looking("fstat"))
}
