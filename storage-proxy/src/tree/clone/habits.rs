//! What does better on which filesystem, as measured (docs/benchmarks.md). Everything works everywhere.

use std::os::fd::BorrowedFd;

use rustix::fs::fstatfs;

/// Magic numbers: linux/magic.h.
const XFS_SUPER_MAGIC: u64 = 0x5846_5342;
const EXT4_SUPER_MAGIC: u64 = 0xEF53;

/// How to copy to a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Threads that make files in one directory wait for each other while they are made, and not while those are filled.
    /// On XFS the waiting costs more than it brings.
    pub shares_directories: bool,
    /// Large files are written past the page cache: with the sync, that takes a third of the time. Elsewhere it was not
    /// measured; over a network each write would wait for its answer.
    pub writes_directly: bool,
}

impl Habits {
    /// Of the filesystem that `directory` is on.
    pub fn on(directory: BorrowedFd<'_>) -> Self {
        #[allow(
            clippy::cast_sign_loss,
            clippy::unnecessary_cast,
            reason = "the type differs between architectures"
        )]
        let magic =
            fstatfs(directory).map_or(0, |filesystem| filesystem.f_type as u64 & 0xffff_ffff);
        Self {
            shares_directories: magic != XFS_SUPER_MAGIC,
            writes_directly: matches!(magic, EXT4_SUPER_MAGIC | XFS_SUPER_MAGIC),
        }
    }
}
