//! Counts a tree by walking it.

use std::{
    collections::HashSet,
    ffi::CString,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::fs::{AtFlags, SeekFrom, fstat, seek, statat};

use super::{
    Control, Fault, FileKind, Meta, TreeError,
    descent::Descent,
    dirents::Dirents,
    error::{looking, system},
    meta::FileId,
    open::open_directory,
};

/// How many files with several names are told apart. Beyond, each name counts.
const LINKED: usize = 1_000_000;

/// How much a tree holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Directory entries, the root included.
    pub entries: u64,
    /// Bytes of file data, each hard-linked file once.
    pub bytes: u64,
    /// Bytes on disk, each hard-linked file once.
    pub disk_bytes: u64,
    /// Some hard-linked files may count more than once: there were too many to remember.
    pub approximate: bool,
}

/// Counts the tree below `root`, a directory. Only the stop flag of `control` is used.
///
/// # Errors
/// The first fault and where; what vanishes meanwhile is none.
pub fn usage(root: BorrowedFd<'_>, control: &Control) -> Result<Usage, TreeError> {
    let at_root = |fault| TreeError::new(fault, Vec::new());
    let root = open_directory(root, c".")
        .map_err(looking("open"))
        .map_err(at_root)?;
    let mut count = Count::default();
    count.add(&Meta::from(
        fstat(&root).map_err(system("fstat")).map_err(at_root)?,
    ));
    let mut descent = Descent::new(root);
    let mut frames = vec![Frame::default()];
    let mut dirents = Dirents::default();
    while let Some(frame) = frames.last_mut() {
        let step = frame.step(&mut descent, &mut dirents, &mut count, control);
        match step.map_err(|(fault, name)| TreeError::new(fault, descent.path_of(&name)))? {
            Step::Stay => {}
            Step::Down => frames.push(Frame::default()),
            Step::Up => {
                frames.pop();
                descent.leave();
            }
        }
    }
    Ok(count.usage)
}

#[derive(Default)]
struct Count {
    usage: Usage,
    linked: HashSet<FileId>,
}

impl Count {
    fn add(&mut self, meta: &Meta) {
        self.usage.entries += 1;
        if meta.kind != FileKind::Directory && meta.links > 1 {
            if self.linked.contains(&meta.id) {
                return;
            }
            if self.linked.len() < LINKED {
                self.linked.insert(meta.id);
            } else {
                self.usage.approximate = true;
            }
        }
        self.usage.disk_bytes += meta.disk_bytes;
        if meta.kind == FileKind::Regular {
            self.usage.bytes += meta.size;
        }
    }
}

#[derive(Default)]
struct Frame {
    pending: Vec<CString>,
    /// Where to go on reading; nothing at the end.
    position: Option<u64>,
    finished: bool,
}

enum Step {
    Stay,
    Down,
    Up,
}

impl Frame {
    fn step(
        &mut self,
        descent: &mut Descent,
        dirents: &mut Dirents,
        count: &mut Count,
        control: &Control,
    ) -> Result<Step, (Fault, CString)> {
        let here = |fault| (fault, CString::default());
        control.check().map_err(here)?;
        if self.finished && self.pending.is_empty() {
            return Ok(Step::Up);
        }
        let directory = match descent.current() {
            Err(Fault::Gone) => return Ok(Step::Up),
            done => done.map_err(here)?,
        };
        if let Some(name) = self.pending.pop() {
            return match open_directory(directory, &name).map_err(looking("open")) {
                Ok(child) => descent
                    .enter(name, child)
                    .map(|()| Step::Down)
                    .map_err(here),
                Err(Fault::Gone | Fault::Changed) => Ok(Step::Stay),
                Err(fault) => Err((fault, name)),
            };
        }
        if let Some(position) = self.position {
            seek(directory.as_fd(), SeekFrom::Start(position))
                .map_err(system("lseek"))
                .map_err(here)?;
        }
        let pending = &mut self.pending;
        self.position = dirents.batch(directory, |name, _| {
            control.check()?;
            match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .map(Meta::from)
                .map_err(looking("fstatat"))
            {
                Ok(meta) => {
                    count.add(&meta);
                    if meta.kind == FileKind::Directory {
                        pending.push(name.to_owned());
                    }
                }
                Err(Fault::Gone) => {}
                Err(fault) => return Err(fault),
            }
            Ok(())
        })?;
        self.finished = self.position.is_none();
        Ok(Step::Stay)
    }
}
