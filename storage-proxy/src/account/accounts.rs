//! The accounts of one volume: what others say to them and ask of them. How trees are counted is in `count`, what the
//! volume has of it in `notes`.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Semaphore;
use uuid::Uuid;
use vfolder_common::{
    error::Refusal,
    token::{Limits, Quota},
};

use super::{Amount, Change, NotReserved, OwnerUse, Reservation, book::Book, notes::File};
use crate::{
    tree::Control,
    volume::{OpenVolume, VolumeError},
};

/// The accounts of one volume.
#[derive(Debug)]
pub struct Accounts {
    pub(super) shared: Arc<Shared>,
    desks: Mutex<HashMap<Uuid, Arc<Desk>>>,
    /// At which opening of the volume all notes were read.
    pub(super) all_read: Mutex<Option<u64>>,
    /// Of which the volume is not told all, since it was full.
    pub(super) unwritten: Mutex<HashSet<Uuid>>,
    /// Held by who counts trees: one at a time on a volume.
    pub(super) counting: Arc<Semaphore>,
    /// Of the counts that requests have begun.
    control: Control,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            shared: Arc::default(),
            desks: Mutex::default(),
            all_read: Mutex::default(),
            unwritten: Mutex::default(),
            counting: Arc::new(Semaphore::new(1)),
            control: Control::default(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Book>);

impl Shared {
    pub fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.0)
    }
}

/// What belongs to one account besides its figures. Locked while its note is read or written, and never while a tree is
/// counted.
pub(super) type Desk = Mutex<File>;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Accounts {
    /// Takes note of the limits of a vfolder and its owner, unless newer ones are known. Blocks nothing.
    pub fn learn(&self, vfolder: Uuid, quota: &Quota) {
        self.shared.book().learn(vfolder, quota);
    }

    /// As [`Accounts::learn`], but of a vfolder that is neither known nor `there`, only its owner's limits.
    pub fn learn_if(&self, vfolder: Uuid, quota: &Quota, there: bool) {
        let mut book = self.shared.book();
        match there || book.get(vfolder).is_some() {
            true => book.learn(vfolder, quota),
            false => book.learn_owner(quota),
        }
    }

    /// As [`Accounts::learn`], of one that is about to be copied. Where sessions are `writing` into it, no count of it holds
    /// for longer than a moment.
    pub fn learn_source(&self, vfolder: Uuid, quota: &Quota, writing: bool) {
        let mut book = self.shared.book();
        book.learn(vfolder, quota);
        book.sessions(vfolder, writing);
    }

    /// Sets aside what somebody is about to add to the tree of `vfolder`, into which it has come as a writer.
    ///
    /// # Errors
    /// QUOTA_EXCEEDED, which names the limit, what is used, and what was asked for.
    pub fn reserve(&self, vfolder: Uuid, asked: Amount) -> Result<Reservation, Refusal> {
        Ok(self.try_reserve(vfolder, asked)?)
    }

    /// As [`Accounts::reserve`].
    ///
    /// # Errors
    /// See [`NotReserved`].
    pub fn try_reserve(&self, vfolder: Uuid, asked: Amount) -> Result<Reservation, NotReserved> {
        self.shared.book().reserve(vfolder, asked)?;
        Ok(self.reservation(vfolder, asked))
    }

    /// Sets aside what was admitted before and is there: limits that were lowered since don't take it away. They hold for
    /// what it grows by.
    pub fn reserve_again(&self, vfolder: Uuid, amount: Amount) -> Reservation {
        self.shared.book().reserve_anyway(vfolder, amount);
        self.reservation(vfolder, amount)
    }

    fn reservation(&self, vfolder: Uuid, amount: Amount) -> Reservation {
        Reservation {
            shared: Arc::clone(&self.shared),
            vfolder,
            amount,
        }
    }

    /// Notes what has changed in the tree of `vfolder` without a reservation: what was removed, most often.
    pub fn changed(&self, vfolder: Uuid, change: Change) {
        self.shared
            .book()
            .settle(vfolder, Amount::default(), change);
    }

    /// Something may have changed in the tree of `vfolder` and nobody can say what: it is counted again.
    pub fn unsure(&self, vfolder: Uuid) {
        self.shared.book().unsure(vfolder);
    }

    /// Something is about to change in the tree of `vfolder` that nobody will tell of: the volume knows that its figures do
    /// not hold, when this returns, and it is counted again.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn disturb(&self, volume: &OpenVolume, vfolder: Uuid) -> Result<(), VolumeError> {
        self.begin_recount(volume, vfolder)?;
        self.unsure(vfolder);
        Ok(())
    }

    /// What an owner's vfolders hold. Reads all notes of the volume, once.
    ///
    /// # Errors
    /// Those of reading.
    pub fn owner_use(&self, volume: &OpenVolume, owner: &str) -> Result<OwnerUse, VolumeError> {
        self.read_all(volume)?;
        Ok(self.shared.book().owner_use(owner))
    }

    /// The vfolder's own limits, as far as they are known.
    #[must_use]
    pub fn limits(&self, vfolder: Uuid) -> Limits {
        let quota = self.shared.book().quota(vfolder);
        quota.unwrap_or_default().vfolder
    }

    /// Whether there is a limit that `vfolder` counts for.
    #[must_use]
    pub fn is_limited(&self, vfolder: Uuid) -> bool {
        self.shared.book().is_limited(vfolder)
    }

    /// Of the counts that requests have begun, which outlive them.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The process ends: nobody counts any more.
    pub fn stop(&self) {
        self.control.stop();
    }

    pub(super) fn desk(&self, vfolder: Uuid) -> Arc<Desk> {
        Arc::clone(lock(&self.desks).entry(vfolder).or_default())
    }

    /// Lets go of a desk that nobody else has.
    pub(super) fn drop_desk(&self, vfolder: Uuid, desk: &Arc<Desk>) {
        let mut desks = lock(&self.desks);
        // Ours, and the map's. Nobody can come to hold it meanwhile: that takes this lock.
        if Arc::strong_count(desk) == 2 {
            desks.remove(&vfolder);
        }
    }
}
