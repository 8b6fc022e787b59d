//! The way through two trees at once.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rustix::{
    fs::{AtFlags, fstat, statat},
    io::Errno,
};

use super::{Aspect, Difference, What, entry::EntryComparer, links::Pairs};
use crate::tree::{
    Control, Fault, FileKind, Meta, TreeError, Workers,
    dirents::Dirents,
    error::{looking, system},
    open::open_directory,
    walk::{Dir, Entered, Found, Leave, Place, Visitor, walk},
};

/// How two trees compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// How many paths differ.
    pub differences: u64,
    /// Whether it is known of all hard links that they lead to the same files; there may be too many to remember.
    pub links_known: bool,
}

/// Compares the trees below `first` and `second`, and tells `report` what differs, from any thread.
///
/// # Errors
/// The first fault and where. What vanishes meanwhile is none.
pub fn diff(
    first: BorrowedFd<'_>,
    second: BorrowedFd<'_>,
    workers: Workers,
    control: &Control,
    report: &(dyn Fn(Difference) + Sync),
) -> Result<Compared, TreeError> {
    let at_root = |fault| TreeError::new(fault, Vec::new());
    if !Path::new("/proc/self/fd").exists() {
        return Err(at_root(Fault::NoProc));
    }
    let comparison = Comparison {
        control,
        report,
        pairs: Pairs::default(),
        differences: AtomicU64::new(0),
    };
    let root = comparison.root(first, second).map_err(at_root)?;
    walk(&comparison, root, workers, control)?;
    Ok(Compared {
        differences: comparison.differences.into_inner(),
        links_known: comparison.pairs.complete(),
    })
}

struct Comparison<'a> {
    control: &'a Control,
    report: &'a (dyn Fn(Difference) + Sync),
    pairs: Pairs,
    differences: AtomicU64,
}

/// A directory's counterpart in the second tree.
#[derive(Debug)]
struct Other {
    place: Arc<Place>,
    /// How many entries both have.
    common: AtomicU64,
}

impl Comparison<'_> {
    fn root(&self, first: BorrowedFd<'_>, second: BorrowedFd<'_>) -> Result<Entered<Other>, Fault> {
        let open = |root| open_directory(root, c".").map_err(system("open"));
        let (first, second) = (open(first)?, open(second)?);
        let (meta, other) = (describe(&first)?, describe(&second)?);
        let mut comparer = EntryComparer::default();
        let aspects = comparer.compare_open((first.as_fd(), &meta), (second.as_fd(), &other))?;
        self.tell(Vec::new, aspects);
        Ok(Entered {
            directory: first,
            meta,
            data: Other {
                place: Place::root(second).map_err(system("fstat"))?,
                common: AtomicU64::new(0),
            },
        })
    }

    fn tell(&self, path: impl FnOnce() -> Vec<u8>, aspects: Vec<Aspect>) {
        if !aspects.is_empty() {
            self.tell_what(path(), What::Aspects(aspects));
        }
    }

    fn tell_what(&self, path: Vec<u8>, what: What) {
        self.differences.fetch_add(1, Relaxed);
        (self.report)(Difference { path, what });
    }
}

impl Visitor for Comparison<'_> {
    type Worker = EntryComparer;
    type Data = Other;

    fn worker(&self) -> EntryComparer {
        EntryComparer::default()
    }

    fn may_repeat(&self) -> bool {
        true
    }

    fn enter(
        &self,
        comparer: &mut EntryComparer,
        parent: &Dir<Other>,
        handle: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<Option<Entered<Other>>, Fault> {
        let first = open_directory(handle, name).map_err(looking("open"))?;
        let meta = describe(&first)?;
        let path = || parent.place.path_of(name);
        let beside = parent.data.place.open()?;
        let Some(other) = look_up(beside.as_fd(), name)? else {
            self.tell_what(path(), What::OnlyFirst);
            return Ok(None);
        };
        parent.data.common.fetch_add(1, Relaxed);
        if other.kind != FileKind::Directory {
            self.tell(path, vec![Aspect::Kind(meta.kind, other.kind)]);
            return Ok(None);
        }
        let second = open_directory(&beside, name).map_err(looking("open"))?;
        let other = describe(&second)?;
        let aspects = comparer.compare_open((first.as_fd(), &meta), (second.as_fd(), &other))?;
        self.tell(path, aspects);
        Ok(Some(Entered {
            directory: first,
            meta,
            data: Other {
                place: parent.data.place.child(name, other.id, second),
                common: AtomicU64::new(0),
            },
        }))
    }

    fn entry(
        &self,
        comparer: &mut EntryComparer,
        dir: &Dir<Other>,
        handle: BorrowedFd<'_>,
        name: &CStr,
        _hint: FileKind,
    ) -> Result<Found, Fault> {
        let Some(meta) = look_up(handle, name)? else {
            return Err(Fault::Gone);
        };
        if meta.kind == FileKind::Directory {
            return Ok(Found::Directory);
        }
        let beside = dir.data.place.open()?;
        let path = || dir.place.path_of(name);
        self.control.entry_done();
        let Some(other) = look_up(beside.as_fd(), name)? else {
            self.tell_what(path(), What::OnlyFirst);
            return Ok(Found::Done);
        };
        dir.data.common.fetch_add(1, Relaxed);
        let (first, second) = ((handle, &meta), (beside.as_fd(), &other));
        let aspects = comparer.compare(first, second, name, &self.pairs, self.control)?;
        self.tell(path, aspects);
        Ok(Found::Done)
    }

    /// Looks for what only the second tree has, if it has more entries than both.
    fn leave(&self, _: &mut EntryComparer, dir: &Dir<Other>) -> Result<Leave, Fault> {
        self.control.entry_done();
        let beside = dir.data.place.open()?;
        let mut entries = 0;
        each(&beside, self.control, |_| {
            entries += 1;
            Ok(())
        })?;
        if entries > dir.data.common.load(Relaxed) {
            let first = dir.place.open()?;
            each(&beside, self.control, |name| {
                if look_up(first.as_fd(), name)?.is_none() {
                    self.tell_what(dir.place.path_of(name), What::OnlySecond);
                }
                Ok(())
            })?;
        }
        Ok(Leave::Done)
    }
}

/// Visits the names in a directory.
fn each(
    directory: &OwnedFd,
    control: &Control,
    mut visit: impl FnMut(&CStr) -> Result<(), Fault>,
) -> Result<(), Fault> {
    // A handle of its own: the shared one's position is everybody's.
    let own = open_directory(directory, c".").map_err(looking("open"))?;
    let mut dirents = Dirents::default();
    let mut more = true;
    while more {
        let batch = dirents.batch(own.as_fd(), |name, _| {
            control.check()?;
            visit(name)
        });
        more = batch.map_err(|(fault, _)| fault)?.is_some();
    }
    Ok(())
}

fn look_up(directory: BorrowedFd<'_>, name: &CStr) -> Result<Option<Meta>, Fault> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        found => Ok(Some(found.map(Meta::from).map_err(looking("fstatat"))?)),
    }
}

fn describe(directory: &OwnedFd) -> Result<Meta, Fault> {
    fstat(directory).map(Meta::from).map_err(looking("fstat"))
}
