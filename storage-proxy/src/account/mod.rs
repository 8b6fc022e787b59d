//! Quotas: how much each vfolder, and each owner on a volume, has and may have.
//!
//! The manager keeps limits and brings them along with whatever lets somebody write ([`Accounts::learn`]); here it is
//! counted. Whoever is about to add to a tree reserves first ([`Accounts::reserve`]), grows the reservation where more
//! comes than was known, and says at its end what has become of it: settled, or given back by dropping it.
//!
//! Figures are kept in memory (`book`) and survive on the volume, one small file per vfolder that has ever had a limit
//! (`volume::AccountNote`). It says that it is clean only while nobody writes: before the first one comes in, it is marked,
//! and after a crash what is marked is counted anew before it decides anything. So nothing is written per file, and no
//! figure is believed that may be wrong. A vfolder without any limit, its own or its owner's, costs nothing and is not
//! counted.

mod accounts;
mod book;
mod count;
mod figures;
mod not_reserved;
mod notes;
mod on_disk;
mod presence;
mod reservation;
mod rest;

use std::fmt;

pub use accounts::Accounts;
pub use book::OwnerUse;
pub use count::{Count, Counting, Found};
pub use not_reserved::NotReserved;
pub(crate) use notes::of_tree;
pub use presence::Presence;
pub use reservation::Reservation;
pub use rest::{IDLE, UNHEARD};
pub use vfolder_common::error::Exceeded;

use crate::{tree::Usage, volume::Figures};

/// Bytes of file data, each hard-linked file once, and directory entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Bytes.
    pub bytes: u64,
    /// Entries, the root not counted.
    pub files: u64,
}

impl Amount {
    /// Both added; what would overflow stays at the most there can be.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            files: self.files.saturating_add(other.files),
        }
    }

    /// What is more here than there.
    #[must_use]
    pub const fn beyond(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            files: self.files.saturating_sub(other.files),
        }
    }

    /// After a change; nothing if that were less than nothing.
    #[must_use]
    pub fn changed(self, change: Change) -> Option<Self> {
        Some(Self {
            bytes: self.bytes.checked_add_signed(change.bytes)?,
            files: self.files.checked_add_signed(change.files)?,
        })
    }
}

impl From<Usage> for Amount {
    /// The root counts for the walk, and not for a limit.
    fn from(usage: Usage) -> Self {
        Self {
            bytes: usage.bytes,
            files: usage.entries.saturating_sub(1),
        }
    }
}

impl From<Figures> for Amount {
    fn from(Figures { bytes, files }: Figures) -> Self {
        Self { bytes, files }
    }
}

impl From<Amount> for Figures {
    fn from(Amount { bytes, files }: Amount) -> Self {
        Self { bytes, files }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes and {} entries", self.bytes, self.files)
    }
}

/// What has become more, or less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Bytes.
    pub bytes: i64,
    /// Entries.
    pub files: i64,
}

impl From<Amount> for Change {
    /// All of it more.
    fn from(amount: Amount) -> Self {
        Self {
            bytes: i64::try_from(amount.bytes).unwrap_or(i64::MAX),
            files: i64::try_from(amount.files).unwrap_or(i64::MAX),
        }
    }
}
