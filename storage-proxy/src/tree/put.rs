//! Puts single entries into a tree, each whole when it appears, and none through a symlink.
//!
//! A file is written without a name (`O_TMPFILE`, open(2)) and then linked. What takes the place of something, and all
//! files where the filesystem has no such files, is made under a hidden name next to it and renamed. Nothing is synced:
//! whoever puts many syncs once.

use std::{
    cell::RefCell,
    ffi::{CStr, CString},
    fs::File,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    rc::Rc,
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat,
        fchmod, fchown, fstat, futimens, linkat, mkdirat, mknodat, openat, renameat, statat,
        symlinkat, unlinkat, utimensat,
    },
    io::{Errno, Result as IoResult},
    path::DecInt,
};

use super::{
    Fault, FileKind, Meta, RelativePath,
    error::{named, system},
    open::{open_directory, open_path, own_handles},
};

const SETGID: u32 = 0o2000;
/// Of directories that are made on the way.
const PARENT_MODE: u32 = 0o755;

/// A directory of a tree into which entries are put. All that is made belongs to whom the directory belongs to, and what
/// it brings of setuid and setgid is dropped.
#[derive(Debug)]
pub struct Put {
    root: OwnedFd,
    owner: (Uid, Gid),
    /// Directories below have it as well, as mkdir(2) would make them.
    setgid: u32,
    /// The name of what has none yet.
    hidden: CString,
    /// The directory of the last entry: the next one is most often in it, too.
    last: RefCell<Option<(RelativePath, Rc<OwnedFd>)>>,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Directories made on the way.
    pub parents: u64,
    /// What it has taken the place of, if anything: bytes of a file that has no other name.
    pub replaced: Option<u64>,
}

impl Put {
    /// Into `root`, a directory. `hidden` is a name that nobody else uses, in any directory below.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn into(root: OwnedFd, hidden: CString) -> Result<Self, Fault> {
        let meta = Meta::from(fstat(&root).map_err(system("fstat"))?);
        Ok(Self {
            root,
            owner: meta.owner(),
            setgid: meta.mode & SETGID,
            hidden,
            last: RefCell::default(),
        })
    }

    /// What is at `path`, if anything.
    ///
    /// # Errors
    /// [`Fault::Symlink`], [`Fault::NotADirectory`], [`Fault::MountPoint`] on the way there; those of the calls.
    pub fn look(&self, path: &RelativePath) -> Result<Option<Meta>, Fault> {
        let Some((above, name)) = path.split_last() else {
            return Ok(Some(Meta::from(
                fstat(&self.root).map_err(system("fstat"))?,
            )));
        };
        let parent = match self.open(&above) {
            Err(Fault::NotFound) => return Ok(None),
            opened => opened?,
        };
        look(parent.as_fd(), &name)
    }

    /// Puts a file with what `write` writes.
    ///
    /// # Errors
    /// Those of `write`; [`Fault::Exists`] for a directory in its place; as [`Put::look`].
    pub fn file<E: From<Fault>>(
        &self,
        path: &RelativePath,
        mode: u32,
        modified: (i64, i64),
        write: impl FnOnce(&File) -> Result<(), E>,
    ) -> Result<Placed, E> {
        let (parent, name, parents) = self.parent(path)?;
        let (file, named) = self.nameless(parent.as_fd())?;
        let written = write(&file).and_then(|()| {
            self.dress(file.as_fd(), mode & 0o777, modified)?;
            Ok(())
        });
        if written.is_err() && named {
            self.discard(parent.as_fd());
        }
        written?;
        let replaced = if named {
            self.rename(parent.as_fd(), &name)?
        } else {
            let (links, link) = (own_handles()?, DecInt::from_fd(&file));
            self.appear(parent.as_fd(), &name, |name| {
                linkat(
                    links,
                    link.as_c_str(),
                    &parent,
                    name,
                    AtFlags::SYMLINK_FOLLOW,
                )
            })?
        };
        Ok(Placed { parents, replaced })
    }

    /// Makes a directory, for now only for us to use, unless it is there. Answers how many were made, those above it
    /// included.
    ///
    /// # Errors
    /// [`Fault::Exists`] for anything else in its place; as [`Put::look`].
    pub fn directory(&self, path: &RelativePath) -> Result<u64, Fault> {
        let Some((above, name)) = path.split_last() else {
            return Ok(0);
        };
        let (parent, parents) = self.make(&above)?;
        Ok(parents + u64::from(self.step(&parent, &name)?.1))
    }

    /// Gives a directory its mode and time, once nothing is put into it any more.
    ///
    /// # Errors
    /// As [`Put::look`].
    pub fn dress_directory(
        &self,
        path: &RelativePath,
        mode: u32,
        modified: (i64, i64),
    ) -> Result<(), Fault> {
        let directory = self.open(path)?;
        self.dress(directory.as_fd(), mode & 0o1777 | self.setgid, modified)
    }

    /// Puts a symlink. Where it points is nobody's business: it is never followed here.
    ///
    /// # Errors
    /// As [`Put::file`].
    pub fn symlink(
        &self,
        path: &RelativePath,
        target: &CStr,
        modified: (i64, i64),
    ) -> Result<Placed, Fault> {
        let (parent, name, parents) = self.parent(path)?;
        let replaced = self.appear(parent.as_fd(), &name, |name| {
            symlinkat(target, &parent, name)
        })?;
        self.dress_entry(parent.as_fd(), &name, modified)?;
        Ok(Placed { parents, replaced })
    }

    /// Puts a named pipe.
    ///
    /// # Errors
    /// As [`Put::file`].
    pub fn fifo(
        &self,
        path: &RelativePath,
        mode: u32,
        modified: (i64, i64),
    ) -> Result<Placed, Fault> {
        let (parent, name, parents) = self.parent(path)?;
        let mode = Mode::from_bits_truncate(mode & 0o777);
        let replaced = self.appear(parent.as_fd(), &name, |name| {
            mknodat(&parent, name, FileType::Fifo, mode, 0)
        })?;
        self.dress_entry(parent.as_fd(), &name, modified)?;
        Ok(Placed { parents, replaced })
    }

    /// Puts another name of the regular file at `target`.
    ///
    /// # Errors
    /// As [`Put::file`]; [`Fault::NotFound`] and [`Fault::Changed`] if there is none at `target`.
    pub fn hard_link(&self, path: &RelativePath, target: &RelativePath) -> Result<Placed, Fault> {
        let (above, from) = target.split_last().ok_or(Fault::Changed)?;
        let source = self.open(&above)?;
        // A symlink is linked as such and not followed; but then it is none of ours.
        match look(source.as_fd(), &from)? {
            Some(meta) if meta.kind == FileKind::Regular => {}
            Some(_) => return Err(Fault::Changed),
            None => return Err(Fault::NotFound),
        }
        let (parent, name, parents) = self.parent(path)?;
        let replaced = self.appear(parent.as_fd(), &name, |name| {
            linkat(&source, &from, &parent, name, AtFlags::empty())
        })?;
        Ok(Placed { parents, replaced })
    }

    /// Removes what a process that died has left under the hidden name in the directory of `path`.
    pub fn tidy(&self, path: &RelativePath) {
        let above = path.split_last().map(|(above, _)| above);
        if let Some(Ok(parent)) = above.map(|above| self.open(&above)) {
            self.discard(parent.as_fd());
        }
    }

    fn parent(&self, path: &RelativePath) -> Result<(Rc<OwnedFd>, CString, u64), Fault> {
        let (above, name) = path.split_last().ok_or(Fault::Exists)?;
        let (parent, made) = self.make(&above)?;
        Ok((parent, name, made))
    }

    fn open(&self, path: &RelativePath) -> Result<Rc<OwnedFd>, Fault> {
        if let Some((last, opened)) = &*self.last.borrow()
            && last == path
        {
            return Ok(Rc::clone(opened));
        }
        let opened = open_path(&self.root, path, OFlags::RDONLY | OFlags::DIRECTORY);
        Ok(self.remember(path, opened.map_err(named("open"))?))
    }

    fn remember(&self, path: &RelativePath, opened: OwnedFd) -> Rc<OwnedFd> {
        let opened = Rc::new(opened);
        *self.last.borrow_mut() = Some((path.clone(), Rc::clone(&opened)));
        opened
    }

    /// Opens the directory at `path`, and makes what is missing on the way. Answers how many that were.
    fn make(&self, path: &RelativePath) -> Result<(Rc<OwnedFd>, u64), Fault> {
        match self.open(path) {
            Err(Fault::NotFound) => {}
            opened => return opened.map(|opened| (opened, 0)),
        }
        let root = open_directory(&self.root, c".").map_err(named("open"))?;
        let (mut directory, mut made) = (root, 0);
        for name in path.components() {
            let (below, is_new) = self.step(&directory, &name)?;
            (directory, made) = (below, made + u64::from(is_new));
        }
        Ok((self.remember(path, directory), made))
    }

    /// Opens a directory in `parent`, and makes it if it is missing.
    fn step(&self, parent: &OwnedFd, name: &CStr) -> Result<(OwnedFd, bool), Fault> {
        match open_directory(parent, name).map_err(named("open")) {
            Err(Fault::NotFound) => {}
            opened => return opened.map(|opened| (opened, false)),
        }
        match mkdirat(parent, name, Mode::RWXU) {
            // Somebody else was faster, which is as good.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(named("mkdirat")(errno)),
        }
        let made = open_directory(parent, name).map_err(named("open"))?;
        let now = Timestamps {
            last_access: omitted(),
            last_modification: omitted(),
        };
        self.dress_with(made.as_fd(), PARENT_MODE | self.setgid, &now)?;
        Ok((made, true))
    }

    /// A file to write to; and whether it has the hidden name, or none.
    fn nameless(&self, parent: BorrowedFd<'_>) -> Result<(File, bool), Fault> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        match openat(parent, c".", flags | OFlags::TMPFILE, mode) {
            Ok(file) => return Ok((file.into(), false)),
            // The filesystem has none; EISDIR: the kernel.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
            Err(errno) => return Err(Fault::System("open", errno)),
        }
        let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let opened = match openat(parent, &self.hidden, flags, mode) {
            // Of an earlier life of ours.
            Err(Errno::EXIST) => {
                self.discard(parent);
                openat(parent, &self.hidden, flags, mode)
            }
            opened => opened,
        };
        Ok((opened.map_err(named("open"))?.into(), true))
    }

    /// Gives something its name by `make`, which fails if there is something of that name; then in place of that. Answers
    /// what that was.
    fn appear(
        &self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        make: impl Fn(&CStr) -> IoResult<()>,
    ) -> Result<Option<u64>, Fault> {
        match make(name) {
            Err(Errno::EXIST) => {}
            done => return done.map(|()| None).map_err(named("link")),
        }
        match make(&self.hidden) {
            Err(Errno::EXIST) => {
                self.discard(parent);
                make(&self.hidden)
            }
            done => done,
        }
        .map_err(named("link"))?;
        self.rename(parent, name)
    }

    /// Moves what has the hidden name to its place.
    fn rename(&self, parent: BorrowedFd<'_>, name: &CStr) -> Result<Option<u64>, Fault> {
        let before = look(parent, name)?;
        let renamed = renameat(parent, &self.hidden, parent, name);
        // Also when it went well: of two names of one file, rename(2) leaves both.
        self.discard(parent);
        match renamed {
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => Err(Fault::Exists),
            done => done.map_err(named("renameat")),
        }?;
        Ok(before.map(|meta| match meta.kind {
            FileKind::Regular if meta.links == 1 => meta.size,
            _ => 0,
        }))
    }

    fn discard(&self, parent: BorrowedFd<'_>) {
        let _ = unlinkat(parent, &self.hidden, AtFlags::empty());
    }

    fn dress(
        &self,
        file: BorrowedFd<'_>,
        mode: u32,
        (tv_sec, tv_nsec): (i64, i64),
    ) -> Result<(), Fault> {
        let times = Timestamps {
            last_access: omitted(),
            last_modification: Timespec { tv_sec, tv_nsec },
        };
        self.dress_with(file, mode, &times)
    }

    fn dress_with(&self, file: BorrowedFd<'_>, mode: u32, times: &Timestamps) -> Result<(), Fault> {
        let (uid, gid) = self.owner;
        match fchown(file, Some(uid), Some(gid)) {
            // Not root: then it belongs to us, like all that we make.
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(Fault::System("fchown", errno)),
        }
        fchmod(file, Mode::from_bits_truncate(mode)).map_err(system("fchmod"))?;
        futimens(file, times).map_err(system("futimens"))
    }

    /// What can't be opened.
    fn dress_entry(
        &self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        (tv_sec, tv_nsec): (i64, i64),
    ) -> Result<(), Fault> {
        let (uid, gid) = self.owner;
        match chownat(
            parent,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        ) {
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(Fault::System("fchown", errno)),
        }
        let times = Timestamps {
            last_access: omitted(),
            last_modification: Timespec { tv_sec, tv_nsec },
        };
        utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(system("utimensat"))
    }
}

fn look(parent: BorrowedFd<'_>, name: &CStr) -> Result<Option<Meta>, Fault> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat.into())),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(named("fstatat")(errno)),
    }
}

fn omitted() -> Timespec {
    Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    }
}
