//! How trees are cloned on a volume, and what that needs.

use std::os::fd::BorrowedFd;

use super::OpenVolume;
use crate::{backend::Method, tree::Usage};

impl OpenVolume {
    /// How this tree would be cloned.
    #[must_use]
    pub fn method_for(&self, tree: BorrowedFd<'_>) -> Method {
        match self.backend().capabilities().method {
            // What can be destroyed whole is what can be cloned whole.
            Method::Snapshot if !self.backend().removes_at_once(tree) => self.method_by_entries(),
            method => method,
        }
    }

    /// How a tree is cloned that can't be cloned whole.
    #[must_use]
    pub fn method_by_entries(&self) -> Method {
        match self.backend().capabilities().method {
            Method::Snapshot | Method::Reflink => Method::Reflink,
            Method::Copy => Method::Copy,
        }
    }
}

/// The bytes on disk that a clone of so much needs, what the filesystem needs to remember it not counted.
#[must_use]
pub fn disk_bytes(method: Method, source: &Usage) -> u64 {
    match method {
        Method::Snapshot | Method::Reflink => 0,
        Method::Copy => source.disk_bytes,
    }
}

/// The inodes that it needs; those of hard links are counted once for each name, so perhaps too many.
#[must_use]
pub fn inodes(method: Method, source: &Usage) -> u64 {
    match method {
        Method::Snapshot => 0,
        Method::Reflink | Method::Copy => source.entries,
    }
}
