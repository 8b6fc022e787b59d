//! What does better on which filesystem, as measured (docs/benchmarks.md). Everything works everywhere.

use std::os::fd::BorrowedFd;

use crate::tree::Filesystem;

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
        let filesystem = Filesystem::of(directory).unwrap_or_default();
        Self {
            shares_directories: !filesystem.is_xfs(),
            writes_directly: filesystem.is_ext4() || filesystem.is_xfs(),
        }
    }
}
