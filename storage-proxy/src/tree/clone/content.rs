//! Copies a regular file's bytes: by sharing blocks where the filesystem can, else extent by extent, holes kept.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{copy_file_range, fstat, ftruncate, ioctl_ficlone},
    io::{Errno, pread, pwrite},
};

use vfolder_ioctl::clone_range::clone_range;

use super::{
    direct::{DirectWriter, Written},
    entry::Copying,
    pair::Pair,
};
use crate::tree::{
    Control, Fault, Meta,
    digest::{ContentHasher, read_content},
    error::{looking, system},
    extents::next_extent,
};

/// Below this, reading and writing beats copy_file_range(2).
const SMALL: u64 = 4096;
/// Data without a hole from here on is written past the page cache, where that is the filesystem's habit: each write waits
/// for the disk, which pieces would pay for.
const DIRECT: u64 = 16 << 20;
/// Copied between two looks at the stop flag.
const STEP: u64 = 1024 * 1024;
const BUFFER: usize = 256 * 1024;
/// Shared between two looks at the stop flag: milliseconds, unless the file is in very many pieces.
const SHARED_STEP: u64 = 4 << 30;

/// Copies contents; remembers what the filesystems have refused.
#[derive(Debug)]
pub struct ContentCopier {
    reflink: bool,
    copy_range: bool,
    direct: DirectWriter,
    buffer: Vec<u8>,
    /// Of what is compared with `buffer`; empty until needed.
    other: Vec<u8>,
}

impl Default for ContentCopier {
    fn default() -> Self {
        Self {
            reflink: true,
            copy_range: true,
            direct: DirectWriter::default(),
            buffer: vec![0; BUFFER],
            other: Vec::new(),
        }
    }
}

impl ContentCopier {
    /// Copies what `source` holds, up to the size in `meta`, into `target`, which is empty. A file that shrinks
    /// meanwhile is copied as far as it reaches. `hasher` takes in what is copied; then `target` is open for reading, too.
    pub fn copy(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        meta: &Meta,
        hasher: Option<&mut ContentHasher>,
        job: &Copying<'_>,
    ) -> Result<(), Fault> {
        if meta.size == 0 {
            return Ok(());
        }
        // Small ones, too: on XFS, writing them is quicker only until it has to be on disk. But not where they are read anyway.
        if (hasher.is_none() || meta.size > SMALL)
            && self.share_blocks(source, target, meta.size, job.control)?
        {
            match hasher {
                // The copy, as large as it is: the source may have been another by then, and another by now.
                Some(hasher) => {
                    let size = Meta::from(fstat(target).map_err(system("fstat"))?).size;
                    read_content(target, size, &mut self.buffer, hasher, job.control)?;
                }
                None => job.control.bytes_done(meta.size),
            }
            return Ok(());
        }
        let mut pair = Pair::new(source, target, meta, job)?;
        pair.hasher = hasher;
        self.copy_from(0, pair, meta)
    }

    /// As [`ContentCopier::copy`], into a `target` that has been begun: its first `trusted` bytes are as they should be,
    /// and of what follows, what is as in `source`.
    pub fn go_on(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        meta: &Meta,
        trusted: u64,
        job: &Copying<'_>,
    ) -> Result<(), Fault> {
        if self.share_blocks(source, target, meta.size, job.control)? {
            let copied = Meta::from(fstat(target).map_err(system("fstat"))?).size;
            if copied > meta.size {
                ftruncate(target, meta.size).map_err(system("ftruncate"))?;
            }
            job.control.bytes_done(meta.size);
            return Ok(());
        }
        let trusted = trusted.min(meta.size);
        let from = self.same_until(source, target, trusted, meta.size, job.control)?;
        // What is wrong beyond may be where the source has a hole, which nothing is written to.
        ftruncate(target, from).map_err(system("ftruncate"))?;
        job.control.bytes_done(from);
        self.copy_from(from, Pair::new(source, target, meta, job)?, meta)
    }

    /// Where, from `at` on and before `end`, the contents of the two begin to differ; `end`, if they don't.
    pub fn same_until(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        mut at: u64,
        end: u64,
        control: &Control,
    ) -> Result<u64, Fault> {
        self.other.resize(BUFFER, 0);
        while at < end {
            control.check()?;
            let wanted = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
            let got = read_at(source, &mut self.buffer[..wanted], at)?;
            let there = read_at(target, &mut self.other[..got], at)?;
            let same = self.buffer[..got]
                .iter()
                .zip(&self.other[..there])
                .take_while(|(one, other)| one == other)
                .count();
            at += same as u64;
            if same < wanted {
                break;
            }
        }
        Ok(at)
    }

    fn copy_from(&mut self, mut at: u64, mut pair: Pair<'_>, meta: &Meta) -> Result<(), Fault> {
        let (source, target, control) = (pair.source, pair.target, pair.control);
        // Of a small file its blocks tell. Of others not: attributes have blocks as well, and so has what is allocated and
        // not written.
        let sparse = meta.size > SMALL || meta.disk_bytes < meta.size;
        let mut end = meta.size;
        while at < end {
            let extent = if sparse {
                next_extent(source, at, end)?
            } else {
                Some((at, end))
            };
            let Some((from, to)) = extent else {
                // A hole up to the end, which may be nearer than it was.
                let now = Meta::from(fstat(source).map_err(looking("fstat"))?).size;
                end = end.min(now).max(at);
                control.bytes_done(end - at);
                break;
            };
            // A hole is done as soon as it is passed, as the totals count it too.
            control.bytes_done(from - at);
            let reached = self.copy_extent(&mut pair, from, to)?;
            if reached < to {
                end = reached;
            }
            at = reached;
        }
        pair.direct.switch(false)?;
        if at < end {
            // What remains is a hole. Not done otherwise: on ext4 it costs as much as the mode and the times together, also
            // where the size is so already.
            ftruncate(target, end).map_err(system("ftruncate"))?;
        }
        Ok(())
    }

    /// Makes `target` have the blocks of `source`. Answers false where that can't be; then `target` is as it was.
    pub fn share_blocks(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        size: u64,
        control: &Control,
    ) -> Result<bool, Fault> {
        if !self.reflink {
            return Ok(false);
        }
        match share(source, target, size, control)? {
            Ok(()) => Ok(true),
            Err(
                Errno::OPNOTSUPP
                | Errno::NOTTY
                | Errno::XDEV
                | Errno::NOSYS
                | Errno::PERM
                | Errno::ACCESS,
            ) => {
                self.reflink = false;
                Ok(false)
            }
            // This file can't (a swap file, other flags, …); others may.
            Err(Errno::INVAL | Errno::TXTBSY | Errno::ISDIR) => Ok(false),
            Err(errno) => Err(Fault::System("ioctl FICLONE", errno)),
        }
    }

    /// Answers how far it got: `to`, or where the file ends by now.
    fn copy_extent(&mut self, pair: &mut Pair<'_>, from: u64, to: u64) -> Result<u64, Fault> {
        let mut at = from;
        // What is taken in is read.
        let by_kernel = to - from >= SMALL && pair.hasher.is_none();
        let directly = to - from >= DIRECT;
        if !directly {
            pair.direct.switch(false)?;
        }
        while at < to {
            pair.control.check()?;
            let copied = if directly && pair.writes_directly {
                self.copy_directly(pair, at, to - at)?
            } else if self.copy_range && by_kernel {
                match self.copy_by_kernel(pair, at, to - at)? {
                    Some(copied) => copied,
                    None => self.copy_by_hand(pair, at, to - at)?,
                }
            } else {
                self.copy_by_hand(pair, at, to - at)?
            };
            if copied == 0 {
                break;
            }
            pair.control.bytes_done(copied);
            at += copied;
            pair.reached(at);
        }
        Ok(at)
    }

    /// What can't be written past the page cache, before and after that, goes through it.
    fn copy_directly(&mut self, pair: &mut Pair<'_>, at: u64, length: u64) -> Result<u64, Fault> {
        let before = DirectWriter::before(at).min(length);
        if before == 0 {
            let hasher = pair.hasher.as_deref_mut();
            let see = |bytes: &[u8]| {
                if let Some(hasher) = hasher {
                    hasher.update(at, bytes);
                }
            };
            match self
                .direct
                .step(pair.source, &pair.direct, at, length, see)?
            {
                Written::Bytes(copied) => return Ok(copied as u64),
                Written::Refused => pair.writes_directly = false,
                Written::Nothing => {}
            }
        }
        pair.direct.switch(false)?;
        let length = if before > 0 { before } else { length };
        self.copy_by_hand(pair, at, length)
    }

    /// Nothing, if it must be done by hand.
    fn copy_by_kernel(
        &mut self,
        pair: &Pair<'_>,
        at: u64,
        length: u64,
    ) -> Result<Option<u64>, Fault> {
        let (mut from, mut to) = (at, at);
        let length = usize::try_from(length.min(STEP)).unwrap_or(BUFFER);
        let copied = copy_file_range(
            pair.source,
            Some(&mut from),
            pair.target,
            Some(&mut to),
            length,
        );
        match copied {
            // Some filesystems answer 0 where there is more (copy_file_range(2), BUGS): a read decides.
            Ok(0) | Err(Errno::INVAL | Errno::TXTBSY | Errno::INTR) => Ok(None),
            Ok(copied) => Ok(Some(copied as u64)),
            Err(Errno::NOSYS | Errno::XDEV | Errno::OPNOTSUPP | Errno::PERM) => {
                self.copy_range = false;
                Ok(None)
            }
            Err(errno) => Err(Fault::System("copy_file_range", errno)),
        }
    }

    fn copy_by_hand(&mut self, pair: &mut Pair<'_>, at: u64, length: u64) -> Result<u64, Fault> {
        let wanted = usize::try_from(length).unwrap_or(BUFFER).min(BUFFER);
        let buffer = &mut self.buffer[..wanted];
        let got = read_once(pair.source, buffer, at)?;
        let mut written = 0;
        while written < got {
            let to = at + written as u64;
            match pwrite(pair.target.as_fd(), &buffer[written..got], to) {
                Err(Errno::INTR) => {}
                Ok(0) => return Err(Fault::System("write", Errno::IO)),
                done => written += done.map_err(system("write"))?,
            }
        }
        if let Some(hasher) = &mut pair.hasher {
            hasher.update(at, &buffer[..got]);
        }
        Ok(got as u64)
    }
}

/// FICLONE; for a huge file in steps, so that a wish to stop is heard in between.
fn share(
    source: &OwnedFd,
    target: &OwnedFd,
    size: u64,
    control: &Control,
) -> Result<Result<(), Errno>, Fault> {
    if size <= SHARED_STEP {
        return Ok(ioctl_ficlone(target, source));
    }
    let mut at = 0;
    // The last step is what remains, however much that is by now.
    while size - at > SHARED_STEP {
        control.check()?;
        if let Err(errno) = clone_range(target, at, source, at, SHARED_STEP) {
            return Ok(Err(errno));
        }
        at += SHARED_STEP;
    }
    Ok(clone_range(target, at, source, at, 0))
}

/// Reads as much as there is, at most as much as fits.
pub(super) fn read_at(file: &OwnedFd, buffer: &mut [u8], at: u64) -> Result<usize, Fault> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_once(file, &mut buffer[filled..], at + filled as u64)? {
            0 => break,
            got => filled += got,
        }
    }
    Ok(filled)
}

fn read_once(file: &OwnedFd, buffer: &mut [u8], at: u64) -> Result<usize, Fault> {
    loop {
        match pread(file, &mut *buffer, at) {
            Err(Errno::INTR) => {}
            done => return done.map_err(system("read")),
        }
    }
}
