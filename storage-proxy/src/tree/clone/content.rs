//! Copies a regular file's bytes: by sharing blocks where the filesystem can, else extent by extent, holes kept.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{copy_file_range, fstat, ftruncate, ioctl_ficlone},
    io::{Errno, pread, pwrite},
};

use crate::tree::{
    Control, Fault, Meta,
    error::{looking, system},
    extents::next_extent,
};

/// Below this, reading and writing beats asking for shared blocks or for copy_file_range(2).
const SMALL: u64 = 4096;
/// Copied between two looks at the stop flag.
const STEP: u64 = 1024 * 1024;
const BUFFER: usize = 256 * 1024;

/// Copies contents; remembers what the filesystems have refused.
#[derive(Debug)]
pub struct ContentCopier {
    reflink: bool,
    copy_range: bool,
    buffer: Vec<u8>,
}

impl Default for ContentCopier {
    fn default() -> Self {
        Self {
            reflink: true,
            copy_range: true,
            buffer: vec![0; BUFFER],
        }
    }
}

impl ContentCopier {
    /// Copies what `source` holds, up to the size in `meta`, into `target`, which is empty. A file that shrinks
    /// meanwhile is copied as far as it reaches.
    pub fn copy(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        meta: &Meta,
        control: &Control,
    ) -> Result<(), Fault> {
        if meta.size == 0 {
            return Ok(());
        }
        if self.reflink && meta.size >= SMALL && self.share_blocks(source, target)? {
            control.bytes_done(meta.size);
            return Ok(());
        }
        // Of a small file its blocks tell. Of others not: attributes have blocks as well, and so has what is allocated and
        // not written.
        let sparse = meta.size > SMALL || meta.disk_bytes < meta.size;
        let mut at = 0;
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
            let reached = self.copy_extent(source, target, from, to, control)?;
            if reached < to {
                end = reached;
            }
            at = reached;
        }
        if at < end || sparse {
            // What remains is a hole.
            ftruncate(target, end).map_err(system("ftruncate"))?;
        }
        Ok(())
    }

    fn share_blocks(&mut self, source: &OwnedFd, target: &OwnedFd) -> Result<bool, Fault> {
        match ioctl_ficlone(target, source) {
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
    fn copy_extent(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        from: u64,
        to: u64,
        control: &Control,
    ) -> Result<u64, Fault> {
        let mut at = from;
        while at < to {
            control.check()?;
            let copied = if self.copy_range && to - from >= SMALL {
                match self.copy_by_kernel(source, target, at, to - at)? {
                    Some(copied) => copied,
                    None => self.copy_by_hand(source, target, at, to - at)?,
                }
            } else {
                self.copy_by_hand(source, target, at, to - at)?
            };
            if copied == 0 {
                break;
            }
            control.bytes_done(copied);
            at += copied;
        }
        Ok(at)
    }

    /// Nothing, if it must be done by hand.
    fn copy_by_kernel(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        at: u64,
        length: u64,
    ) -> Result<Option<u64>, Fault> {
        let (mut from, mut to) = (at, at);
        let length = usize::try_from(length.min(STEP)).unwrap_or(BUFFER);
        match copy_file_range(source, Some(&mut from), target, Some(&mut to), length) {
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

    fn copy_by_hand(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        at: u64,
        length: u64,
    ) -> Result<u64, Fault> {
        let wanted = usize::try_from(length).unwrap_or(BUFFER).min(BUFFER);
        let buffer = &mut self.buffer[..wanted];
        let got = loop {
            match pread(source, &mut *buffer, at) {
                Err(Errno::INTR) => {}
                done => break done.map_err(system("read"))?,
            }
        };
        let mut written = 0;
        while written < got {
            match pwrite(target.as_fd(), &buffer[written..got], at + written as u64) {
                Err(Errno::INTR) => {}
                Ok(0) => return Err(Fault::System("write", Errno::IO)),
                done => written += done.map_err(system("write"))?,
            }
        }
        Ok(got as u64)
    }
}
