//! How clones are made on a volume.

use super::OpenVolume;
use crate::tree::Usage;

/// The rungs of the ladder, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloneMethod {
    /// The filesystem takes a snapshot of the whole tree at once.
    Snapshot,
    /// Entry by entry; files share their blocks until one is changed.
    Reflink,
    /// Entry by entry and byte by byte.
    Copy,
}

impl CloneMethod {
    /// The bytes on disk that a clone of so much needs, but for what the filesystem itself needs to remember it.
    #[must_use]
    pub fn disk_bytes(self, source: &Usage) -> u64 {
        match self {
            Self::Snapshot | Self::Reflink => 0,
            Self::Copy => source.disk_bytes,
        }
    }

    /// The inodes that it needs; those of hard links are counted too often, so a few too many.
    #[must_use]
    pub fn inodes(self, source: &Usage) -> u64 {
        match self {
            Self::Snapshot => 0,
            Self::Reflink | Self::Copy => source.entries,
        }
    }
}

impl OpenVolume {
    /// How clones are made here.
    #[must_use]
    pub fn clone_method(&self) -> CloneMethod {
        match self.reflink {
            true => CloneMethod::Reflink,
            false => CloneMethod::Copy,
        }
    }
}
