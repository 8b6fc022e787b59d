//! Quotas: how much each vfolder, and each owner on a volume, has and may have.
//!
//! Whoever is about to add to a tree reserves first ([`Accounts::reserve`]), grows the reservation where more comes than
//! was known, and says at its end what has become of it: settled, or given back by dropping it.

use uuid::Uuid;
use vfolder_common::error::Refusal;

/// Bytes of file data, and directory entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Bytes.
    pub bytes: u64,
    /// Entries.
    pub files: u64,
}

/// What has become more, or less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Bytes.
    pub bytes: i64,
    /// Entries.
    pub files: i64,
}

/// The accounts of one volume.
#[derive(Debug, Default)]
pub struct Accounts {}

impl Accounts {
    /// Sets aside what somebody is about to add to the tree of `vfolder`.
    ///
    /// # Errors
    /// QUOTA_EXCEEDED, which names the limit, what is used, and what was asked for.
    pub fn reserve(&self, vfolder: Uuid, asked: Amount) -> Result<Reservation, Refusal> {
        let _ = (vfolder, asked);
        Ok(Reservation {})
    }

    /// Notes what has changed in the tree of `vfolder` without a reservation: what was removed, most often.
    pub fn changed(&self, vfolder: Uuid, change: Change) {
        let _ = (vfolder, change);
    }
}

/// What is set aside. Dropped, it is given back.
#[derive(Debug)]
#[must_use = "dropping it gives back what was reserved"]
pub struct Reservation {}

impl Reservation {
    /// Sets more aside.
    ///
    /// # Errors
    /// As [`Accounts::reserve`]; what was reserved before stays.
    pub fn grow(&mut self, more: Amount) -> Result<(), Refusal> {
        let _ = more;
        Ok(())
    }

    /// It is in the tree now: this is what has changed.
    pub fn settle(self, change: Change) {
        let _ = change;
    }
}
