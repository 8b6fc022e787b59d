//! Counting what is in a tree, before figures decide anything.
//!
//! A count can take minutes. So nobody who waits for one holds a thread of the volume's, nor a desk: whoever comes to write
//! and finds that there is something to count leaves again ([`Accounts::try_come_in`]), waits for the one right to count on
//! the volume ([`Accounts::may_count`]), and looks whether it is still to be done. Until it is, nobody comes in. A count that
//! has begun is finished, also when whoever asked has gone away: they will be back, and it would begin anew.

use std::{os::fd::AsFd as _, sync::Arc, thread::sleep, time::Duration};

use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{Accounts, Amount, Presence, accounts::lock};
use crate::{
    tree::{Control, Fault, TreeError, Workers},
    volume::{OpenVolume, VolumeError},
};

/// How often one who waits on a thread of its own looks up.
const LOOK_UP: Duration = Duration::from_millis(20);

/// The right to count trees of a volume, of which there is one.
#[derive(Debug)]
pub struct Counting {
    _permit: Option<OwnedSemaphorePermit>,
}

/// What was so when a count began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    changes: u64,
    mounted: i64,
}

/// What is in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// This.
    pub amount: Amount,
    /// And it stays so while nobody comes in by way of us.
    pub sure: bool,
}

impl Accounts {
    /// Waits for the right to count, holding no thread.
    pub async fn may_count(&self) -> Counting {
        let counting = Arc::clone(&self.counting);
        Counting {
            // It is never closed.
            _permit: counting.acquire_owned().await.ok(),
        }
    }

    /// The same on a thread that may block.
    fn wait_to_count(&self, control: &Control) -> Result<Counting, VolumeError> {
        loop {
            let stopped = |fault: Fault| TreeError::new(fault, Vec::new());
            control.check().map_err(stopped)?;
            let counting = Arc::clone(&self.counting);
            match counting.try_acquire_owned() {
                Ok(permit) => {
                    return Ok(Counting {
                        _permit: Some(permit),
                    });
                }
                Err(_) => sleep(LOOK_UP),
            }
        }
    }

    /// Whether nothing has to be counted, as far as is known, before something may be added to the tree of `vfolder`.
    #[must_use]
    pub fn is_ready(&self, vfolder: Uuid) -> bool {
        self.shared.book().to_count(vfolder).is_empty()
    }

    /// Sees to it that the figures which decide about `vfolder` are known: its own, and those of its owner's other
    /// vfolders where the owner is limited. Counts what has to be counted, on this thread, once that may be.
    ///
    /// # Errors
    /// Those of reading; of the count, if `control` is stopped. A tree that can't be counted is logged, and refuses what
    /// would be added to it ([`super::NotReserved::Uncountable`]).
    pub fn make_ready(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        control: &Control,
    ) -> Result<(), VolumeError> {
        if self.to_count(volume, vfolder)?.is_empty() {
            return Ok(());
        }
        let counting = self.wait_to_count(control)?;
        self.make_ready_now(volume, vfolder, control, &counting)
    }

    /// As [`Accounts::make_ready`], by who may count.
    ///
    /// # Errors
    /// As [`Accounts::make_ready`].
    pub fn make_ready_now(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        control: &Control,
        counting: &Counting,
    ) -> Result<(), VolumeError> {
        for one in self.to_count(volume, vfolder)? {
            match self.count(volume, one, control, counting) {
                Err(VolumeError::Tree(error)) if !error.is_cancelled() => {
                    tracing::warn!(vfolder = %one, %error, "a tree can't be counted; it is left out of its owner's sum");
                    self.shared.book().uncountable(one, error.to_string());
                }
                counted => drop(counted?),
            }
        }
        Ok(())
    }

    /// Somebody comes into the tree to change it. When it returns, the volume knows that the figures which it has may be
    /// wrong from now on. Counts first what has to be counted.
    ///
    /// # Errors
    /// Those of [`Accounts::make_ready`] and of writing.
    pub fn come_in(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        control: &Control,
    ) -> Result<Presence, VolumeError> {
        loop {
            if let Some(presence) = self.try_come_in(volume, vfolder)? {
                return Ok(presence);
            }
            self.make_ready(volume, vfolder, control)?;
        }
    }

    /// As [`Accounts::come_in`], where nothing has to be counted first; nothing where it has.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn try_come_in(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
    ) -> Result<Option<Presence>, VolumeError> {
        if !self.to_count(volume, vfolder)?.is_empty() {
            return Ok(None);
        }
        let desk = self.desk(vfolder);
        let mut file = lock(&desk);
        self.read(volume, vfolder, &mut file)?;
        // Looked at again: whoever has written a clean note since has done so at the desk.
        if !self.is_ready(vfolder) {
            return Ok(None);
        }
        self.note_unknown(volume, vfolder, &mut file)?;
        // While the desk is held: nobody takes the figures for final in between.
        self.shared.book().come_in(vfolder);
        Ok(Some(Presence {
            shared: Arc::clone(&self.shared),
            vfolder,
        }))
    }

    /// What is in the tree of `vfolder`, counted now unless that is known for sure. Nobody writes there by way of us.
    ///
    /// # Errors
    /// Those of reading and of the count.
    pub fn count_of(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        control: &Control,
    ) -> Result<Found, VolumeError> {
        self.read_one(volume, vfolder)?;
        let known = || {
            let book = self.shared.book();
            let amount = book.get(vfolder)?.final_figures()?;
            Some(Found { amount, sure: true })
        };
        if let Some(known) = known() {
            return Ok(known);
        }
        let counting = self.wait_to_count(control)?;
        // By whoever was before us.
        if let Some(known) = known() {
            return Ok(known);
        }
        let counted = self.count(volume, vfolder, control, &counting)?;
        let amount = counted.unwrap_or_default();
        Ok(Found {
            amount,
            sure: known().is_some_and(|known| known.amount == amount),
        })
    }

    /// To be asked before a count that ends with [`Accounts::end_recount`]. From here on the volume knows that the figures
    /// it has are not believed any more: a crash does not bring them back.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn begin_recount(&self, volume: &OpenVolume, vfolder: Uuid) -> Result<Count, VolumeError> {
        let desk = self.desk(vfolder);
        let mut file = lock(&desk);
        self.read(volume, vfolder, &mut file)?;
        self.note_unknown(volume, vfolder, &mut file)?;
        Ok(self.begin_count(vfolder))
    }

    /// Somebody has counted the tree of `vfolder`; for sure, if nobody was in there to change it meanwhile. Then the volume
    /// has it too, when this returns.
    ///
    /// # Errors
    /// Those of making durable and of writing.
    pub fn end_recount(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        since: Count,
        used: Amount,
        for_sure: bool,
    ) -> Result<(), VolumeError> {
        self.recounted(vfolder, since, used, for_sure);
        volume.sync()?;
        let desk = self.desk(vfolder);
        let mut file = lock(&desk);
        let now = self.begin_count(vfolder).changes;
        match now == since.changes + 1 {
            true => self.note_as_it_is(volume, vfolder, &mut file),
            // Somebody has come in since, and may have gone: what they wrote is not durable yet.
            false => Ok(()),
        }
    }

    fn begin_count(&self, vfolder: Uuid) -> Count {
        let book = self.shared.book();
        let account = book.get(vfolder);
        Count {
            changes: account.map_or(0, |account| account.changes),
            mounted: account.map_or(0, |account| account.quota.mounted),
        }
    }

    fn recounted(&self, vfolder: Uuid, since: Count, used: Amount, for_sure: bool) {
        let mut book = self.shared.book();
        let undisturbed = |changes: u64, quiet: bool| changes == since.changes && quiet;
        let exact = for_sure
            && book
                .get(vfolder)
                .is_some_and(|a| undisturbed(a.changes, a.is_quiet()));
        book.counted(vfolder, used, since.mounted, exact);
    }

    /// Reads what the volume has, and answers what has to be counted.
    fn to_count(&self, volume: &OpenVolume, vfolder: Uuid) -> Result<Vec<Uuid>, VolumeError> {
        // Its owner may only be known afterwards.
        self.read_one(volume, vfolder)?;
        if self.is_owner_limited(vfolder) {
            self.read_all(volume)?;
        }
        Ok(self.shared.book().to_count(vfolder))
    }

    fn is_owner_limited(&self, vfolder: Uuid) -> bool {
        let quota = self.shared.book().quota(vfolder);
        quota.is_some_and(|quota| quota.all.any())
    }

    /// Nothing if there is no tree.
    fn count(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        control: &Control,
        _one_at_a_time: &Counting,
    ) -> Result<Option<Amount>, VolumeError> {
        let Some(tree) = volume.tree(vfolder)? else {
            // Not there yet, or never: its limits are known, and whatever is set aside for it.
            self.shared.book().absent(vfolder);
            return Ok(None);
        };
        let since = self.begin_count(vfolder);
        let control = control.beside();
        let backend = volume.backend();
        let usage = backend.usage(tree.as_fd(), Workers::all_cores(), &control)?;
        let used = Amount::from(usage);
        if self.shared.book().get(vfolder).is_some() {
            self.recounted(vfolder, since, used, true);
        }
        Ok(Some(used))
    }
}
