//! Destroys a tree: never through a symlink or into a mount, and harmless to repeat.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use rustix::{
    fs::{
        AtFlags, IFlags, Mode, OFlags, chmod, fstat, ftruncate, ioctl_getflags, ioctl_setflags,
        statat, unlinkat,
    },
    io::Errno,
};

use super::{
    Control, Fault, FileKind, Meta, NameLock, TreeError, Workers,
    error::{looking, system},
    open::{open_directory, open_entry, reopen_regular, way_to},
    walk::{Dir, Entered, Found, Leave, Visitor, walk},
};
use crate::faults::{at, pass};

/// The space of a file larger than this is given back by steps of this size where nobody else can have it open: on ext4, an
/// unlink of 10 GiB takes seconds, in which no stop would be heard, and one of 256 MiB about 50 ms.
const TRUNCATE_STEP: u64 = 256 << 20;

/// Of those that are closed at the end of a removal, threads at most that do it.
const MOST_CLOSING: usize = 16;

/// How often a directory that a writer keeps filling is emptied again.
const PATIENCE: usize = 16;

/// Whether what forbids the removal is overcome: the flags "immutable" and "append only", and missing permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It is: all of it is to go, and nobody else sees it. So the space of huge files comes back before their names go, and
    /// whoever goes on after a crash finds them.
    Overcome,
    /// It stands. Sessions may be in the tree, and what they have open keeps all its bytes.
    Respect,
    /// None is used, as by rm(1): it stands, and what anybody has open keeps all its bytes.
    None,
}

/// Destroys the tree `name` in `parent`, or the file of that name, whatever forbids it. Succeeds if there is none.
///
/// # Errors
/// The first fault and where. What was destroyed until then stays destroyed; calling again goes on.
pub fn remove_tree(
    parent: BorrowedFd<'_>,
    name: &CStr,
    workers: Workers,
    control: &Control,
) -> Result<(), TreeError> {
    let name_lock = NameLock::default();
    remove_tree_by(Force::Overcome, parent, name, &name_lock, workers, control)
}

/// As [`remove_tree`], by that much force, in a tree with that lock.
///
/// # Errors
/// As [`remove_tree`].
pub fn remove_tree_by(
    force: Force,
    parent: BorrowedFd<'_>,
    name: &CStr,
    name_lock: &NameLock,
    workers: Workers,
    control: &Control,
) -> Result<(), TreeError> {
    let at_root = |fault| TreeError::new(fault, Vec::new());
    let removal = Removal {
        parent,
        name,
        force,
        name_lock,
        control,
    };
    let root = match force.open_to_empty(parent, name) {
        Ok(root) => root,
        Err(Fault::Gone) => return Ok(()),
        Err(Fault::Changed) => return removal.remove_root_file().map_err(at_root),
        Err(fault) => return Err(at_root(fault)),
    };
    walk(&removal, entered(root).map_err(at_root)?, workers, control)
}

struct Removal<'a> {
    /// What contains the tree.
    parent: BorrowedFd<'a>,
    /// The tree's name in it.
    name: &'a CStr,
    force: Force,
    name_lock: &'a NameLock,
    control: &'a Control,
}

/// How many times a directory has been read from its start again.
type Rounds = AtomicUsize;

impl Visitor for Removal<'_> {
    type Worker = ();
    type Data = Rounds;

    fn worker(&self) {}

    fn may_repeat(&self) -> bool {
        true
    }

    // An unlink changes the inode: 200,000 files in one directory on ext4 take a fifth less processor time.
    fn sorts_wide_directories(&self) -> bool {
        true
    }

    fn enter(
        &self,
        (): &mut (),
        _: &Dir<Rounds>,
        handle: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<Option<Entered<Rounds>>, Fault> {
        at("remove.entry").map_err(system("unlink"))?;
        match self.force.open_to_empty(handle, name) {
            // Somebody has put a file in its place.
            Err(Fault::Changed) => {
                self.force.unlink(handle, name, AtFlags::empty())?;
                self.control.entry_done();
                Ok(None)
            }
            done => done.and_then(entered).map(Some),
        }
    }

    fn entry(
        &self,
        (): &mut (),
        _: &Dir<Rounds>,
        handle: BorrowedFd<'_>,
        name: &CStr,
        hint: FileKind,
    ) -> Result<Found, Fault> {
        at("remove.entry").map_err(system("unlink"))?;
        if remove_file(self.force, handle, name, hint, self.name_lock, self.control)? {
            Ok(Found::Done)
        } else {
            Ok(Found::Directory)
        }
    }

    fn leave(&self, (): &mut (), dir: &Dir<Rounds>) -> Result<Leave, Fault> {
        let removed = match dir.place.parent() {
            Some(parent) => parent.open().and_then(|parent| {
                let name = dir.place.name();
                self.force.unlink(parent.as_fd(), name, AtFlags::REMOVEDIR)
            }),
            None => self.unlink_root(AtFlags::REMOVEDIR),
        };
        match removed {
            // Some filesystems skip entries of a directory that is being emptied while it is read; or a writer has filled
            // it again.
            Err(Fault::System(_, Errno::NOTEMPTY | Errno::EXIST)) => {
                if dir.data.fetch_add(1, Relaxed) >= PATIENCE {
                    return Err(Fault::Changed);
                }
                Ok(Leave::Again)
            }
            // Swapped by a writer: then what contains it isn't empty, and is read again.
            Err(Fault::Changed) if !dir.is_root() => Ok(Leave::Done),
            done => {
                done?;
                self.control.entry_done();
                Ok(Leave::Done)
            }
        }
    }
}

fn entered(directory: OwnedFd) -> Result<Entered<Rounds>, Fault> {
    let meta = Meta::from(fstat(&directory).map_err(system("fstat"))?);
    Ok(Entered {
        directory,
        meta,
        data: Rounds::default(),
    })
}

/// Unlinks a file. Answers false if it is a directory. Bytes are counted where its last name goes.
pub(super) fn remove_file(
    force: Force,
    directory: BorrowedFd<'_>,
    name: &CStr,
    hint: FileKind,
    name_lock: &NameLock,
    control: &Control,
) -> Result<bool, Fault> {
    let (mut last, mut alone) = (Last::default(), None);
    // The lock is for those who work in one vfolder's tree at once: elsewhere nobody else of this process does.
    let mut beside_others = (force == Force::Respect).then(|| name_lock.beside_others());
    if matches!(hint, FileKind::Regular | FileKind::Unknown) {
        let look = || statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map(Meta::from);
        let mut found = look();
        if found.is_ok_and(|meta| meta.kind == FileKind::Regular && meta.links > 1) {
            drop(beside_others.take());
            alone = Some(name_lock.alone());
            found = look();
        }
        match found {
            Ok(meta) if meta.kind == FileKind::Directory => return Ok(false),
            Ok(meta) => last = Last::of(force, directory, name, &meta),
            Err(_) => {}
        }
    }
    last.shrink(control)?;
    let unlinked = force.unlink(directory, name, AtFlags::empty());
    drop((alone, beside_others));
    match unlinked {
        Ok(()) => {
            last.count(control);
            Ok(true)
        }
        Err(Fault::Gone) => Ok(true),
        Err(Fault::Changed) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// What goes with the last name of a file.
#[derive(Debug, Default)]
struct Last {
    bytes: u64,
    /// It is huge, and to be made small before its name goes.
    to_shrink: Option<OwnedFd>,
    /// It is huge, and somebody else may have it open.
    to_let_go: Option<OwnedFd>,
}

impl Last {
    /// Nothing, unless it is a regular file with this name only.
    fn of(force: Force, directory: BorrowedFd<'_>, name: &CStr, meta: &Meta) -> Self {
        let mut last = Self::default();
        if meta.kind != FileKind::Regular || meta.links != 1 {
            return last;
        }
        last.bytes = meta.size;
        if meta.disk_bytes > TRUNCATE_STEP {
            match force {
                Force::Overcome => last.to_shrink = open_huge(directory, name),
                Force::Respect | Force::None => {
                    last.to_let_go = open_entry(directory, name, OFlags::PATH).ok();
                }
            }
        }
        last
    }

    fn shrink(&self, control: &Control) -> Result<(), Fault> {
        match &self.to_shrink {
            Some(file) => truncate_by_steps(file, control),
            None => Ok(()),
        }
    }

    /// Once the name is gone.
    fn count(self, control: &Control) {
        if let Some(file) = self.to_let_go {
            let_go(file);
        }
        control.bytes_done(self.bytes);
        control.entry_done();
    }
}

/// Nothing: failing is no harm, the unlink does it all at once. Another name may be outside this tree.
fn open_huge(directory: BorrowedFd<'_>, name: &CStr) -> Option<OwnedFd> {
    let opened = reopen_regular(directory, name, OFlags::WRONLY).ok();
    opened.and_then(|(file, meta)| (meta.links == 1).then_some(file))
}

/// Gives a huge file's blocks back bit by bit, before its name goes: of a tree that nobody else has.
fn truncate_by_steps(file: &OwnedFd, control: &Control) -> Result<(), Fault> {
    let Ok(meta) = fstat(file).map(Meta::from) else {
        return Ok(());
    };
    // Of a sparse file, steps that hold about as much.
    let step = meta
        .size
        .div_ceil(meta.disk_bytes.div_ceil(TRUNCATE_STEP).max(1));
    let mut size = meta.size;
    while size > step {
        control.check()?;
        pass("remove.step");
        size -= step;
        if ftruncate(file, size).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Closes what may be the last that holds a huge file whose name is gone: its blocks go with that, all at once, for seconds
/// in which nobody could stop us. Never truncated: a session may have it open, and goes on reading what it had.
fn let_go(file: OwnedFd) {
    static CLOSING: AtomicUsize = AtomicUsize::new(0);
    if CLOSING.fetch_add(1, Relaxed) < MOST_CLOSING {
        let closing = thread::Builder::new().name("let-go".into());
        let begun = closing.spawn(move || {
            drop(file);
            CLOSING.fetch_sub(1, Relaxed);
        });
        if begun.is_ok() {
            return;
        }
    }
    // Closed here, by whatever became of it.
    CLOSING.fetch_sub(1, Relaxed);
}

impl Force {
    /// [`Fault::Changed`] if it is a directory where a file was meant, or the other way round.
    fn unlink(self, directory: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<(), Fault> {
        match unlinkat(directory, name, flags) {
            Err(Errno::PERM | Errno::ACCESS) if self == Self::Overcome => {
                lift(directory);
                let _ = chmod(way_to(directory), Mode::RWXU);
                lift_entry(directory, name);
                unlinkat(directory, name, flags)
            }
            done => done,
        }
        .map_err(looking("unlinkat"))
    }

    /// Opens a directory to empty it, also one whose owner (us) may not read it.
    fn open_to_empty(self, parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Fault> {
        match open_directory(parent, name) {
            Err(Errno::ACCESS) if self == Self::Overcome => {
                let handle = open_entry(parent, name, OFlags::PATH | OFlags::DIRECTORY)
                    .map_err(looking("open"))?;
                chmod(way_to(handle.as_fd()), Mode::RWXU).map_err(looking("chmod"))?;
                open_directory(parent, name).map_err(looking("open"))
            }
            done => done.map_err(looking("open")),
        }
    }
}

impl Removal<'_> {
    /// A root that is no directory.
    fn remove_root_file(&self) -> Result<(), Fault> {
        self.control.check()?;
        let found = statat(self.parent, self.name, AtFlags::SYMLINK_NOFOLLOW).map(Meta::from);
        let last = found.map(|meta| Last::of(self.force, self.parent, self.name, &meta));
        let last = last.unwrap_or_default();
        last.shrink(self.control)?;
        self.unlink_root(AtFlags::empty())?;
        last.count(self.control);
        Ok(())
    }

    /// Unlinks the tree's root, and leaves the directory that it is in as it is.
    fn unlink_root(&self, flags: AtFlags) -> Result<(), Fault> {
        let unlinked = match unlinkat(self.parent, self.name, flags) {
            Err(Errno::PERM) if self.force == Force::Overcome => {
                lift_entry(self.parent, self.name);
                unlinkat(self.parent, self.name, flags)
            }
            done => done,
        };
        match unlinked.map_err(looking("unlinkat")) {
            Err(Fault::Gone) => Ok(()),
            done => done,
        }
    }
}

/// Lifts the flags that keep even root from unlinking. What can't be lifted, the unlink will tell.
fn lift(file: BorrowedFd<'_>) {
    let forget = IFlags::IMMUTABLE | IFlags::APPEND;
    if let Ok(flags) = ioctl_getflags(file)
        && flags.intersects(forget)
    {
        let _ = ioctl_setflags(file, flags - forget);
    }
}

fn lift_entry(directory: BorrowedFd<'_>, name: &CStr) {
    // Nothing else can be opened without being heard.
    if let Ok(opened) = open_directory(directory, name) {
        lift(opened.as_fd());
    } else if let Ok((file, _)) = reopen_regular(directory, name, OFlags::RDONLY) {
        lift(file.as_fd());
    }
}
