//! Writes past the page cache (`O_DIRECT`, open(2)): large files, where that has been measured to be faster once they have to
//! be on disk. What is shorter than a block goes through the page cache.

use std::{
    cell::Cell,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl},
    io::{Errno, pwrite},
};

use super::content::read_at;
use crate::tree::{Fault, error::system};

/// Offsets, lengths and memory are multiples of this: of every block size that disks have.
const BLOCK: usize = 4096;
/// Written at once. Less is slower, more not much faster.
const STEP: usize = 1 << 20;

/// The buffer, once it is needed, and room to align it.
#[derive(Debug, Default)]
pub(super) struct DirectWriter(Vec<u8>);

/// What came of one step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// So many bytes; none: the source ends there.
    Bytes(usize),
    /// Nothing: what remains is shorter than a block.
    Nothing,
    /// Nothing, and the filesystem will refuse the next one, too.
    Refused,
}

impl DirectWriter {
    /// How many bytes there are from `at` to the next place where it may begin.
    pub fn before(at: u64) -> u64 {
        at.next_multiple_of(BLOCK as u64) - at
    }

    /// Copies up to `length` bytes at `at`, a multiple of a block, and shows them to `see`.
    pub fn step(
        &mut self,
        source: &OwnedFd,
        target: &Direct<'_>,
        at: u64,
        length: u64,
        see: impl FnOnce(&[u8]),
    ) -> Result<Written, Fault> {
        let wanted = usize::try_from(length).unwrap_or(STEP).min(STEP) / BLOCK * BLOCK;
        if wanted == 0 {
            return Ok(Written::Nothing);
        }
        let buffer = &mut self.aligned()[..wanted];
        let got = read_at(source, buffer, at)?;
        if got == 0 {
            return Ok(Written::Bytes(0));
        }
        let whole = got / BLOCK * BLOCK;
        // What is read next comes while this is written.
        let next = at + got as u64;
        let _ = fadvise(
            source,
            next,
            (STEP as u64).try_into().ok(),
            Advice::WillNeed,
        );
        let mut written = 0;
        while written < whole {
            target.switch(written.is_multiple_of(BLOCK))?;
            match pwrite(target.file, &buffer[written..whole], at + written as u64) {
                Err(Errno::INTR) => {}
                Err(Errno::INVAL | Errno::OPNOTSUPP) if written == 0 => break,
                Ok(0) => return Err(Fault::System("write", Errno::IO)),
                done => written += done.map_err(system("write"))?,
            }
        }
        match written {
            0 if whole > 0 => Ok(Written::Refused),
            0 => Ok(Written::Nothing),
            written => {
                see(&buffer[..written]);
                Ok(Written::Bytes(written))
            }
        }
    }

    fn aligned(&mut self) -> &mut [u8] {
        if self.0.is_empty() {
            self.0 = vec![0; STEP + BLOCK];
        }
        let skipped = self.0.as_ptr().align_offset(BLOCK).min(BLOCK);
        &mut self.0[skipped..skipped + STEP]
    }
}

/// A file whose writes go past the page cache or through it.
#[derive(Debug)]
pub(super) struct Direct<'a> {
    file: BorrowedFd<'a>,
    on: Cell<bool>,
}

impl<'a> Direct<'a> {
    /// Through it, so far.
    pub fn new(file: &'a OwnedFd) -> Self {
        Self {
            file: file.as_fd(),
            on: Cell::new(false),
        }
    }

    /// Past it, if `on`. Where that can't be, the write will tell.
    pub fn switch(&self, on: bool) -> Result<(), Fault> {
        if self.on.get() == on {
            return Ok(());
        }
        let mut flags = fcntl_getfl(self.file).map_err(system("fcntl"))?;
        flags.set(OFlags::DIRECT, on);
        match fcntl_setfl(self.file, flags) {
            // Neither past it nor at all: then through it.
            Err(Errno::INVAL) if on => Ok(()),
            done => done.map(|()| self.on.set(on)).map_err(system("fcntl")),
        }
    }
}
