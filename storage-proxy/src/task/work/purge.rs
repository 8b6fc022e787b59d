//! A tree's end: out of sight for good, by one rename. Its space comes back later (`reclaim`).

use uuid::Uuid;

use super::{Interrupted, Job, Record, Step};
use crate::{
    faults::pass,
    task::{Done, RaiseError},
    volume::Fence,
};

impl Job<'_> {
    pub(super) fn purge(&self, vfolder: Uuid) -> Result<Step, Interrupted> {
        self.at("purge.begin")?;
        if self.volume.tree(vfolder)?.is_none() {
            // Whoever is about to make it is waited for, and then it is there; the others are too late.
            self.empty(vfolder)?;
        }
        if !self.is_published(vfolder)? {
            drop(self.take_target()?);
            self.note_purge()?;
            self.at("purge.journalled")?;
            self.empty(vfolder)?;
            self.at("purge.fenced")?;
            self.publish(|| {
                self.volume.trash_tree(self.operation, vfolder)?;
                // What is left of them without a tree is swept some time, all the same.
                if let Err(error) = self.volume.trash_uploads(self.operation, vfolder) {
                    tracing::warn!(%vfolder, %error, "the uploads of a purged vfolder stay for a while");
                }
                Ok(())
            })?;
            pass("purge.hidden");
        }
        self.close_account(vfolder);
        Ok(Step::Done(Done::default()))
    }

    /// Takes the tree away from everybody else. On a full volume this is noted later (it is what makes space): until then
    /// this process knows, and after a crash nothing is lost but that; how far the purge is, the tree and the trash tell.
    fn empty(&self, vfolder: Uuid) -> Result<(), Interrupted> {
        let fence = Fence::for_all(self.task.spec.epoch);
        match self.ledger.fences.raise(self.volume, vfolder, fence) {
            Err(RaiseError::Volume(error)) if error.is_for_want_of_space() => {
                tracing::warn!(operation = %self.operation, %error, "purging without a note of the epoch: the volume is full");
                Ok(())
            }
            raised => Ok(raised?),
        }
    }

    /// Notes in the journal that the purge has begun; on a full volume it goes on without.
    fn note_purge(&self) -> Result<(), Interrupted> {
        let note = || match self.volume.read_journal::<Record>(self.operation)? {
            Some(_) => Ok(()),
            None => self.write_record(None),
        };
        match note() {
            Err(error) if error.is_for_want_of_space() => {
                tracing::warn!(operation = %self.operation, %error, "purging without a note of it: the volume is full");
                Ok(())
            }
            noted => Ok(noted?),
        }
    }
}
