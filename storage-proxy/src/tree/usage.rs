//! Counts a tree by walking it.

use std::{
    collections::HashSet,
    ffi::CStr,
    os::fd::BorrowedFd,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use rustix::fs::{AtFlags, fstat, statat};

use super::{
    Control, Fault, FileKind, Meta, TreeError, Workers,
    control::add,
    error::{looking, system},
    meta::FileId,
    open::open_directory,
    walk::{Dir, Entered, Found, Leave, Visitor, walk},
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
pub fn usage(
    root: BorrowedFd<'_>,
    workers: Workers,
    control: &Control,
) -> Result<Usage, TreeError> {
    let count = Count::default();
    let root = open_directory(root, c".")
        .map_err(looking("open"))
        .and_then(|directory| count.enter(directory))
        .map_err(|fault| TreeError::new(fault, Vec::new()))?;
    walk(&count, root, workers, control)?;
    Ok(count.usage())
}

#[derive(Default)]
struct Count {
    entries: AtomicU64,
    bytes: AtomicU64,
    disk_bytes: AtomicU64,
    approximate: AtomicBool,
    linked: Mutex<HashSet<FileId>>,
}

impl Count {
    fn enter(&self, directory: std::os::fd::OwnedFd) -> Result<Entered<()>, Fault> {
        let meta = Meta::from(fstat(&directory).map_err(system("fstat"))?);
        self.add(&meta);
        Ok(Entered {
            directory,
            meta,
            data: (),
        })
    }

    fn add(&self, meta: &Meta) {
        add(&self.entries, 1);
        if meta.kind != FileKind::Directory && meta.links > 1 && !self.is_first(meta.id) {
            return;
        }
        add(&self.disk_bytes, meta.disk_bytes);
        if meta.kind == FileKind::Regular {
            add(&self.bytes, meta.size);
        }
    }

    /// Whether no other name of the file was seen before, as far as that is known.
    fn is_first(&self, file: FileId) -> bool {
        let mut linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
        if linked.len() < LINKED {
            return linked.insert(file);
        }
        let first = !linked.contains(&file);
        self.approximate.fetch_or(first, Relaxed);
        first
    }

    fn usage(&self) -> Usage {
        Usage {
            entries: self.entries.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            disk_bytes: self.disk_bytes.load(Relaxed),
            approximate: self.approximate.load(Relaxed),
        }
    }
}

impl Visitor for Count {
    type Worker = ();
    type Data = ();

    fn worker(&self) {}

    fn shares_directories(&self) -> bool {
        true
    }

    fn enter(
        &self,
        (): &mut (),
        _: &Dir<()>,
        handle: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<Option<Entered<()>>, Fault> {
        match open_directory(handle, name).map_err(looking("open")) {
            Ok(directory) => self.enter(directory).map(Some),
            // Something else by now.
            Err(Fault::Changed) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    fn entry(
        &self,
        (): &mut (),
        _: &Dir<()>,
        handle: BorrowedFd<'_>,
        name: &CStr,
        _: FileKind,
    ) -> Result<Found, Fault> {
        let stat = statat(handle, name, AtFlags::SYMLINK_NOFOLLOW).map_err(looking("fstatat"))?;
        let meta = Meta::from(stat);
        if meta.kind == FileKind::Directory {
            return Ok(Found::Directory);
        }
        self.add(&meta);
        Ok(Found::Done)
    }

    fn leave(&self, (): &mut (), _: &Dir<()>) -> Result<Leave, Fault> {
        Ok(Leave::Done)
    }
}
