//! The hidden name of what is not whole yet, or not in its place.

use std::{
    ffi::CStr,
    fs::File,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::FileExt as _,
    },
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat},
    io::{Errno, Result as IoResult},
};

use super::{Put, look};
use crate::{
    faults::pass,
    tree::{Fault, RelativePath, error::named},
};

impl Put {
    /// Removes what a process that died has left under the hidden name, as it has noted.
    pub fn clear(&self, note: &[u8]) {
        let length = note.get(..2).and_then(|length| length.try_into().ok());
        let length = length.map_or(0, u16::from_le_bytes);
        let path = note
            .get(2..2 + usize::from(length))
            .map(RelativePath::parse);
        if let Some(Ok(path)) = path
            && let Ok(directory) = self.open(&path)
        {
            self.discard(directory.as_fd());
        }
    }

    /// Before the hidden name is used in the directory that was opened last. Its path is shorter than a page, and what a
    /// process has written it has written, however it dies.
    pub(super) fn note_place(&self) -> Result<(), Fault> {
        let (Some(note), Some((path, _))) = (&self.note, &*self.last.borrow()) else {
            return Ok(());
        };
        if self.noted.borrow().as_ref() == Some(path) {
            return Ok(());
        }
        let text = path.as_bytes();
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes();
        let written = note.write_all_at(&[&length[..], text].concat(), 0);
        written.map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Fault::System("write", errno)
        })?;
        *self.noted.borrow_mut() = Some(path.clone());
        Ok(())
    }

    /// A file to write to; and whether it has the hidden name, or none.
    pub(super) fn nameless(&self, parent: BorrowedFd<'_>) -> Result<(File, bool), Fault> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        match openat(parent, c".", flags | OFlags::TMPFILE, mode) {
            Ok(file) => return Ok((file.into(), false)),
            // The filesystem has none; EISDIR: the kernel.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
            Err(errno) => return Err(Fault::System("open", errno)),
        }
        self.note_place()?;
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

    /// Gives something its name by `make`, which fails if there is something of that name; then in place of that.
    pub(super) fn appear(
        &self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        make: impl Fn(&CStr) -> IoResult<()>,
    ) -> Result<(), Fault> {
        match make(name) {
            Err(Errno::EXIST) => {}
            done => return done.map(|()| self.came(1)).map_err(named("link")),
        }
        self.note_place()?;
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
    pub(super) fn rename(&self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
        let alone = self.name_lock.alone();
        let before = look(parent, name)?;
        pass("put.hidden");
        let renamed = renameat(parent, &self.hidden, parent, name);
        drop(alone);
        // Also when it went well: of two names of one file, rename(2) leaves both.
        self.discard(parent);
        match renamed {
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => Err(Fault::Exists),
            done => done.map_err(named("renameat")),
        }?;
        let mut tally = self.tally.get();
        match before {
            None => tally.made += 1,
            Some(meta) => tally.freed += meta.bytes_of_its_own(),
        }
        self.tally.set(tally);
        Ok(())
    }

    pub(super) fn discard(&self, parent: BorrowedFd<'_>) {
        let _ = unlinkat(parent, &self.hidden, AtFlags::empty());
    }
}
