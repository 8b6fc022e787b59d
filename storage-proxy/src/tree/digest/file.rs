//! Reads what is in a tree, one entry at a time, for its digest.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, readlinkat, statat},
    io::{Errno, pread},
};

use super::{
    content::{BLOCK_SIZE, ContentHasher},
    inode::InodeReader,
    record::{Body, PathDigest},
    worker::Digester,
};
use crate::tree::{
    Control, Fault, FileKind, Meta, error::looking, extents::next_extent, open::open_regular,
    walk::Found,
};

/// Blocks read at once.
const BUFFER: usize = 4 * BLOCK_SIZE;
/// Files from here on are left to whichever thread is free.
const LARGE: u64 = 4 << 20;
/// How often an entry may turn into something else before it is given up.
const ATTEMPTS: usize = 8;

/// What one thread needs to read entries.
pub struct EntryReader<'a> {
    /// Where they go.
    pub inodes: InodeReader<'a>,
    buffer: Vec<u8>,
}

impl<'a> EntryReader<'a> {
    /// A thread's, of all those that digest the same tree.
    pub fn new(digester: &Arc<Digester<'a>>) -> Self {
        Self {
            inodes: InodeReader::new(digester),
            buffer: vec![0; BUFFER],
        }
    }

    /// Adds the entry `name` of `directory`, which is at `parent`: unless it is a directory or, but for `late`, large.
    pub fn add_entry(
        &mut self,
        parent: &PathDigest,
        directory: BorrowedFd<'_>,
        name: &CStr,
        late: bool,
        control: &Control,
    ) -> Result<Found, Fault> {
        let path = self.inodes.path(parent, name);
        for _ in 0..ATTEMPTS {
            let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
            let meta = Meta::from(stat.map_err(looking("fstatat"))?);
            if meta.kind == FileKind::Directory {
                return Ok(Found::Directory);
            }
            if !late && meta.kind == FileKind::Regular && meta.size >= LARGE {
                return Ok(Found::Long);
            }
            if self.inodes.digester().is_known(&meta) {
                self.inodes.add_link(&path, &meta)?;
                control.entry_done();
                return Ok(Found::Done);
            }
            let read = match meta.kind {
                FileKind::Regular => self.read_file(directory, name, control),
                _ => self.read_special(directory, name, meta),
            };
            // What it is now may be another inode than before.
            if !matches!(&read, Ok((_, now)) if now.id == meta.id) {
                self.inodes.digester().forget(&meta);
            }
            match read {
                Err(Fault::Changed) => {}
                read => {
                    let (body, meta) = read?;
                    self.inodes.add(&path, &meta, &body)?;
                    control.entry_done();
                    return Ok(Found::Done);
                }
            }
        }
        Err(Fault::Changed)
    }

    fn read_file(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        control: &Control,
    ) -> Result<(Body, Meta), Fault> {
        let Self { inodes, buffer } = self;
        let (file, meta) = open_regular(directory, name, control)?;
        let size = read_content(&file, meta.size, buffer, inodes.begin(), control)?;
        Ok((inodes.file(file.as_fd(), &meta, size)?, meta))
    }

    fn read_special(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        meta: Meta,
    ) -> Result<(Body, Meta), Fault> {
        self.inodes.begin();
        let target = match meta.kind {
            FileKind::Symlink => Some(readlinkat(directory, name, Vec::new()).map_err(
                |errno| match errno {
                    Errno::INVAL => Fault::Changed,
                    other => looking("readlinkat")(other),
                },
            )?),
            _ => None,
        };
        let target = target.as_ref().map(|target| target.as_bytes());
        let body = self.inodes.special(directory, name, &meta, target)?;
        Ok((body, meta))
    }
}

/// Hashes the first `size` bytes, holes passed over, and answers how many there were: a file that shrinks meanwhile is
/// read as far as it reaches.
pub(in crate::tree) fn read_content(
    file: &OwnedFd,
    size: u64,
    buffer: &mut [u8],
    hasher: &mut ContentHasher,
    control: &Control,
) -> Result<u64, Fault> {
    const BLOCK: u64 = BLOCK_SIZE as u64;
    let mut at = 0;
    while at < size {
        let extent = match size {
            // Asking where its data are costs more than reading it.
            0..=BLOCK => Some((0, size)),
            _ => next_extent(file, at, size)?,
        };
        let Some((from, to)) = extent else {
            break;
        };
        // Blocks are hashed as a whole.
        let from = (from - from % BLOCK).max(at);
        let to = to.next_multiple_of(BLOCK).min(size);
        control.bytes_done(from - at);
        at = from;
        while at < to {
            control.check()?;
            let wanted =
                usize::try_from(to - at).map_or(buffer.len(), |left| left.min(buffer.len()));
            let got = read_full(file, &mut buffer[..wanted], at)?;
            hasher.update(at, &buffer[..got]);
            control.bytes_done(got as u64);
            at += got as u64;
            if got < wanted {
                return Ok(at);
            }
        }
    }
    control.bytes_done(size - at);
    Ok(size)
}

/// As much as `buffer` has room for, less only at the end of the file.
fn read_full(file: &OwnedFd, buffer: &mut [u8], at: u64) -> Result<usize, Fault> {
    let mut got = 0;
    while got < buffer.len() {
        match pread(file, &mut buffer[got..], at + got as u64) {
            Err(Errno::INTR) => {}
            Ok(0) => break,
            more => got += more.map_err(looking("read"))?,
        }
    }
    Ok(got)
}
