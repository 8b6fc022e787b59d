//! What is set aside for somebody.

use std::{sync::Arc, thread::panicking};

use uuid::Uuid;
use vfolder_common::error::Refusal;

use super::{Amount, Change, NotReserved, accounts::Shared};

/// What is set aside. Dropped, it is given back.
#[derive(Debug)]
#[must_use = "dropping it gives back what was reserved"]
pub struct Reservation {
    pub(super) shared: Arc<Shared>,
    pub(super) vfolder: Uuid,
    pub(super) amount: Amount,
}

impl Reservation {
    /// What is set aside.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// Sets more aside.
    ///
    /// # Errors
    /// As [`super::Accounts::reserve`]; what was reserved before stays.
    pub fn grow(&mut self, more: Amount) -> Result<(), Refusal> {
        Ok(self.try_grow(more)?)
    }

    /// As [`Reservation::grow`].
    ///
    /// # Errors
    /// See [`NotReserved`]; what was reserved before stays.
    pub fn try_grow(&mut self, more: Amount) -> Result<(), NotReserved> {
        self.shared.book().reserve(self.vfolder, more)?;
        self.amount = self.amount.plus(more);
        Ok(())
    }

    /// It is in the tree now: this is what has changed.
    pub fn settle(mut self, change: Change) {
        let amount = std::mem::take(&mut self.amount);
        // One step: in between, somebody else might be let in.
        self.shared.book().settle(self.vfolder, amount, change);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut book = self.shared.book();
        book.give_back(self.vfolder, self.amount);
        if panicking() {
            // Some of it may be in the tree.
            book.unsure(self.vfolder);
        }
    }
}
