//! Destroys a tree: iterative, never through a symlink or into a mount, and harmless to repeat.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, IFlags, Mode, OFlags, SeekFrom, chmod, ftruncate, ioctl_getflags, ioctl_setflags,
        seek, statat, unlinkat,
    },
    io::Errno,
};

use super::{
    Control, Fault, FileKind, Meta, TreeError,
    descent::Descent,
    dirents::Dirents,
    error::{looking, system},
    open::{open_directory, open_entry, reopen_regular},
};
use crate::faults::at;

/// A file larger than this is truncated by steps of this size before it is unlinked: an unlink of 10 GiB takes seconds
/// on ext4, in which no stop would be heard.
const TRUNCATE_STEP: u64 = 1 << 30;
/// How often a directory that a writer keeps filling is emptied again.
const PATIENCE: usize = 16;

/// Destroys the tree `name` in `parent`, or the file of that name. Succeeds if there is none.
///
/// # Errors
/// The first fault and where. What was destroyed until then stays destroyed; calling again goes on.
pub fn remove_tree(
    parent: BorrowedFd<'_>,
    name: &CStr,
    control: &Control,
) -> Result<(), TreeError> {
    let at_root = |fault| TreeError::new(fault, Vec::new());
    let root = match open_to_empty(parent, name) {
        Ok(root) => root,
        Err(Fault::Gone) => return Ok(()),
        Err(Fault::Changed) => return unlink_root(parent, name, AtFlags::empty()).map_err(at_root),
        Err(fault) => return Err(at_root(fault)),
    };
    let mut removal = Removal {
        descent: Descent::new(root),
        frames: vec![Frame::default()],
        dirents: Dirents::default(),
        control,
    };
    removal.run()?;
    unlink_root(parent, name, AtFlags::REMOVEDIR).map_err(at_root)?;
    control.entry_done();
    Ok(())
}

struct Removal<'a> {
    descent: Descent,
    frames: Vec<Frame>,
    dirents: Dirents,
    control: &'a Control,
}

/// A directory that is being emptied.
#[derive(Default)]
struct Frame {
    /// Directories of the last batch, yet to be entered.
    pending: Vec<CString>,
    /// It has been read to its end.
    finished: bool,
    /// How many times it has been read from the start again.
    rounds: usize,
    /// Something was found in this round.
    found: bool,
}

impl Removal<'_> {
    /// Empties the root.
    fn run(&mut self) -> Result<(), TreeError> {
        while let Some(frame) = self.frames.last_mut() {
            self.control
                .check()
                .map_err(|fault| TreeError::new(fault, Vec::new()))?;
            if let Some(name) = frame.pending.pop() {
                match self.descend(&name) {
                    Ok(()) | Err(Fault::Gone) => {}
                    Err(fault) => return Err(self.error(fault, &name)),
                }
            } else if frame.finished {
                self.complete()?;
            } else {
                self.read_batch()
                    .map_err(|(fault, name)| self.error(fault, &name))?;
            }
        }
        Ok(())
    }

    fn error(&self, fault: Fault, name: &CStr) -> TreeError {
        TreeError::new(fault, self.descent.path_of(name))
    }

    fn read_batch(&mut self) -> Result<(), (Fault, CString)> {
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        let directory = match self.descent.current() {
            Err(Fault::Gone) => {
                frame.finished = true;
                return Ok(());
            }
            done => done.map_err(|fault| (fault, CString::default()))?,
        };
        let (control, pending, found) = (self.control, &mut frame.pending, &mut frame.found);
        let position = self.dirents.batch(directory, |name, kind| {
            control.check()?;
            at("remove.entry").map_err(system("unlink"))?;
            *found = true;
            if kind == FileKind::Directory || !remove_file(directory, name, kind, control)? {
                pending.push(name.to_owned());
            }
            Ok(())
        })?;
        frame.finished = position.is_none();
        Ok(())
    }

    fn descend(&mut self, name: &CStr) -> Result<(), Fault> {
        let directory = self.descent.current()?;
        let child = match open_to_empty(directory, name) {
            // Somebody has put a file in its place.
            Err(Fault::Changed) => {
                unlink(directory, name, AtFlags::empty())?;
                self.control.entry_done();
                return Ok(());
            }
            done => done?,
        };
        self.descent.enter(name.to_owned(), child)?;
        self.frames.push(Frame::default());
        Ok(())
    }

    /// Removes the current directory, if it is empty, and goes back up. The root is left to the caller.
    fn complete(&mut self) -> Result<(), TreeError> {
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        // Some filesystems skip entries of a directory that is being emptied while it is read: once more, until a round
        // finds nothing.
        if frame.found {
            if frame.rounds >= PATIENCE {
                return Err(self.error(Fault::Changed, c""));
            }
            frame.rounds += 1;
            (frame.found, frame.finished) = (false, false);
            return match self.descent.current() {
                Ok(directory) => seek(directory, SeekFrom::Start(0))
                    .map_err(system("lseek"))
                    .map(drop),
                Err(Fault::Gone) => Ok(()),
                Err(fault) => Err(fault),
            }
            .map_err(|fault| self.error(fault, c""));
        }
        self.frames.pop();
        let Some(name) = self.descent.leave() else {
            return Ok(());
        };
        let removed = self
            .descent
            .current()
            .and_then(|parent| unlink(parent, &name, AtFlags::REMOVEDIR));
        match removed {
            // Filled again or swapped: the parent's next round sees to it.
            Ok(())
            | Err(
                Fault::Gone | Fault::Changed | Fault::System(_, Errno::NOTEMPTY | Errno::EXIST),
            ) => {
                self.control.entry_done();
                Ok(())
            }
            Err(fault) => Err(self.error(fault, &name)),
        }
    }
}

/// Unlinks a file. Answers false if it is a directory.
fn remove_file(
    directory: BorrowedFd<'_>,
    name: &CStr,
    hint: FileKind,
    control: &Control,
) -> Result<bool, Fault> {
    if matches!(hint, FileKind::Regular | FileKind::Unknown) {
        match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map(Meta::from) {
            Ok(meta) if meta.kind == FileKind::Directory => return Ok(false),
            Ok(meta) if meta.kind == FileKind::Regular && meta.links == 1 => {
                if meta.disk_bytes > TRUNCATE_STEP {
                    truncate_by_steps(directory, name, control)?;
                }
                control.bytes_done(meta.size);
            }
            Ok(_) | Err(_) => {}
        }
    }
    match unlink(directory, name, AtFlags::empty()) {
        Ok(()) => {
            control.entry_done();
            Ok(true)
        }
        Err(Fault::Gone) => Ok(true),
        Err(Fault::Changed) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Gives a huge file's blocks back bit by bit. Failing is no harm: the unlink does it all at once.
fn truncate_by_steps(
    directory: BorrowedFd<'_>,
    name: &CStr,
    control: &Control,
) -> Result<(), Fault> {
    let Ok((file, meta)) = reopen_regular(directory, name, OFlags::WRONLY) else {
        return Ok(());
    };
    // Another name may be outside this tree.
    if meta.links != 1 {
        return Ok(());
    }
    let mut size = meta.size;
    while size > TRUNCATE_STEP {
        control.check()?;
        size -= TRUNCATE_STEP;
        if ftruncate(&file, size).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// [`Fault::Changed`] if it is a directory where a file was meant, or the other way round.
fn unlink(directory: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<(), Fault> {
    match unlinkat(directory, name, flags) {
        Err(Errno::PERM | Errno::ACCESS) => {
            lift(directory);
            let _ = chmod(proc_path(directory), Mode::RWXU);
            lift_entry(directory, name);
            unlinkat(directory, name, flags)
        }
        done => done,
    }
    .map_err(looking("unlinkat"))
}

/// Unlinks the tree's root, and leaves the directory that it is in as it is.
fn unlink_root(parent: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<(), Fault> {
    let unlinked = match unlinkat(parent, name, flags) {
        Err(Errno::PERM) => {
            lift_entry(parent, name);
            unlinkat(parent, name, flags)
        }
        done => done,
    };
    match unlinked.map_err(looking("unlinkat")) {
        Err(Fault::Gone) => Ok(()),
        done => done,
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

/// Opens a directory to empty it, also one whose owner (us) may not read it.
fn open_to_empty(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Fault> {
    match open_directory(parent, name) {
        Err(Errno::ACCESS) => {
            let handle = open_entry(parent, name, OFlags::PATH | OFlags::DIRECTORY)
                .map_err(looking("open"))?;
            chmod(proc_path(handle.as_fd()), Mode::RWXU).map_err(looking("chmod"))?;
            open_directory(parent, name).map_err(looking("open"))
        }
        done => done.map_err(looking("open")),
    }
}

/// A way to the very file of a handle that was opened with `O_PATH` (open(2)).
fn proc_path(handle: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&handle))
}
