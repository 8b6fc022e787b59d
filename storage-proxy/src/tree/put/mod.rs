//! Puts single entries into a tree, each whole when it appears, and none through a symlink.
//!
//! A file is written without a name (`O_TMPFILE`, open(2)) and then linked. What takes the place of something, and all
//! files where the filesystem has no such files, is made under a hidden name next to it and renamed. Nothing is synced:
//! whoever puts many syncs once.
//!
//! Whatever has come and gone is on the [`Tally`], also where putting an entry has failed half-way.

mod dress;
mod hidden;

use std::{
    cell::{Cell, RefCell},
    ffi::{CStr, CString},
    fs::File,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    rc::Rc,
    sync::Arc,
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Uid, chmod, fstat, linkat, mknodat, statat, symlinkat,
    },
    io::Errno,
    path::DecInt,
};

use super::{
    Fault, FileKind, Meta, NameLock, RelativePath,
    error::{named, system},
    mkdir::make_ours,
    open::{open_directory, open_entry, open_path, own_handles},
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
    tally: Cell<Tally>,
    name_lock: Arc<NameLock>,
    /// Where it is noted in which directory the hidden name is, and which one is noted there.
    note: Option<File>,
    noted: RefCell<Option<RelativePath>>,
}

/// What has come and gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Directory entries made: directories on the way, and what has not taken the place of anything.
    pub made: u64,
    /// Bytes of files that were replaced and had no other name.
    pub freed: u64,
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
            tally: Cell::default(),
            name_lock: Arc::default(),
            note: None,
            noted: RefCell::default(),
        })
    }

    /// In a tree with that lock.
    #[must_use]
    pub fn among(mut self, name_lock: &Arc<NameLock>) -> Self {
        self.name_lock = Arc::clone(name_lock);
        self
    }

    /// With `note`, a file in which is noted where the hidden name is, whenever that changes: see [`Put::clear`].
    #[must_use]
    pub fn noting(mut self, note: File) -> Self {
        self.note = Some(note);
        self
    }

    /// What has come and gone since it was last asked.
    pub fn tally(&self) -> Tally {
        self.tally.take()
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
    ) -> Result<(), E> {
        let (parent, name) = self.parent(path)?;
        let (file, named) = self.nameless(parent.as_fd())?;
        let written = write(&file).and_then(|()| {
            self.dress(file.as_fd(), mode & 0o777, modified)?;
            Ok(())
        });
        if written.is_err() && named {
            self.discard(parent.as_fd());
        }
        written?;
        if named {
            return Ok(self.rename(parent.as_fd(), &name)?);
        }
        let (links, link) = (own_handles()?, DecInt::from_fd(&file));
        self.appear(parent.as_fd(), &name, |name| {
            linkat(
                links,
                link.as_c_str(),
                &parent,
                name,
                AtFlags::SYMLINK_FOLLOW,
            )
        })?;
        Ok(())
    }

    /// Makes a directory, and those above it, unless it is there. Until [`Put::dress_directory`] its mode is 0755.
    ///
    /// # Errors
    /// [`Fault::Exists`] for anything else in its place; as [`Put::look`].
    pub fn directory(&self, path: &RelativePath) -> Result<(), Fault> {
        let Some((above, name)) = path.split_last() else {
            return Ok(());
        };
        let parent = self.make(&above)?;
        self.step(&parent, &name).map(drop)
    }

    /// Sees to it that entries can be put into a directory of ours: an earlier life may have given it a mode that forbids
    /// this to whoever is not root. What is not there, or no directory, stays as it is.
    ///
    /// # Errors
    /// Those of open(2) and chmod(2).
    pub fn open_up(&self, path: &RelativePath) -> Result<(), Fault> {
        let Some((above, name)) = path.split_last() else {
            return Ok(());
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let opened = self
            .open(&above)
            .and_then(|parent| open_entry(parent.as_fd(), &name, flags).map_err(named("open")));
        let directory = match opened {
            Err(Fault::NotFound | Fault::NotADirectory | Fault::Symlink) => return Ok(()),
            opened => opened?,
        };
        let mode = Meta::from(fstat(&directory).map_err(system("fstat"))?).mode & 0o7777;
        if mode & 0o700 == 0o700 {
            return Ok(());
        }
        // fchmod(2) takes no handle of O_PATH.
        let way = format!("/proc/self/fd/{}", directory.as_raw_fd());
        chmod(way, Mode::from_bits_truncate(mode | 0o700)).map_err(system("chmod"))
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
    ) -> Result<(), Fault> {
        let (parent, name) = self.parent(path)?;
        self.appear(parent.as_fd(), &name, |name| {
            symlinkat(target, &parent, name)
        })?;
        self.dress_entry(parent.as_fd(), &name, FileKind::Symlink, modified)
    }

    /// Puts a named pipe.
    ///
    /// # Errors
    /// As [`Put::file`].
    pub fn fifo(&self, path: &RelativePath, mode: u32, modified: (i64, i64)) -> Result<(), Fault> {
        let (parent, name) = self.parent(path)?;
        let mode = Mode::from_bits_truncate(mode & 0o777);
        self.appear(parent.as_fd(), &name, |name| {
            mknodat(&parent, name, FileType::Fifo, mode, 0)
        })?;
        self.dress_entry(parent.as_fd(), &name, FileKind::Fifo, modified)
    }

    /// Puts another name of the regular file at `target`.
    ///
    /// # Errors
    /// As [`Put::file`]; [`Fault::NotFound`] and [`Fault::Changed`] if there is none at `target`.
    pub fn hard_link(&self, path: &RelativePath, target: &RelativePath) -> Result<(), Fault> {
        let (above, from) = target.split_last().ok_or(Fault::Changed)?;
        let source = self.open(&above)?;
        // A symlink is linked as such and not followed; but then it is none of ours.
        match look(source.as_fd(), &from)? {
            Some(meta) if meta.kind == FileKind::Regular => {}
            Some(_) => return Err(Fault::Changed),
            None => return Err(Fault::NotFound),
        }
        let (parent, name) = self.parent(path)?;
        self.appear(parent.as_fd(), &name, |name| {
            linkat(&source, &from, &parent, name, AtFlags::empty())
        })
    }

    fn parent(&self, path: &RelativePath) -> Result<(Rc<OwnedFd>, CString), Fault> {
        let (above, name) = path.split_last().ok_or(Fault::Exists)?;
        Ok((self.make(&above)?, name))
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

    /// Opens the directory at `path`, and makes what is missing on the way.
    fn make(&self, path: &RelativePath) -> Result<Rc<OwnedFd>, Fault> {
        match self.open(path) {
            Err(Fault::NotFound) => {}
            opened => return opened,
        }
        let mut directory = open_directory(&self.root, c".").map_err(named("open"))?;
        for name in path.components() {
            directory = self.step(&directory, &name)?;
        }
        Ok(self.remember(path, directory))
    }

    /// Opens a directory in `parent`, and makes it if it is missing.
    fn step(&self, parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Fault> {
        let open = || open_directory(parent, name).map_err(named("open"));
        match open() {
            Err(Fault::NotFound) => {}
            opened => return opened,
        }
        let made = match make_ours(parent.as_fd(), name) {
            // Somebody else was faster, which is as good.
            Err(Fault::Exists) => return open(),
            made => made?,
        };
        self.came(1);
        self.dress_new(made.as_fd(), PARENT_MODE | self.setgid)?;
        Ok(made)
    }

    fn came(&self, made: u64) {
        let mut tally = self.tally.get();
        tally.made += made;
        self.tally.set(tally);
    }
}

fn look(parent: BorrowedFd<'_>, name: &CStr) -> Result<Option<Meta>, Fault> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat.into())),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(named("fstatat")(errno)),
    }
}
