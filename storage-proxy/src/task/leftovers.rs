//! What is on disk of a task that doesn't run, or has stopped.

use uuid::Uuid;

use super::{
    Done, Failure, FailureKind, RaiseError, Work,
    lane::Ledger,
    spec::{Record, TaskSpec},
    work::clear_hidden,
};
use crate::{
    faults::{at, pass},
    tree::Control,
    volume::{Fence, OpenVolume, VolumeError, on},
};

/// What a task is, as far as its journal doesn't tell.
#[derive(Clone, Debug)]
pub(super) enum Hint {
    /// All of it.
    Spec(TaskSpec),
    /// The tree that it would publish, and its epoch; 0 if that isn't known.
    Publishes(Uuid, i64),
    /// The tree that it would work in, and its epoch; 0 if that isn't known.
    WorksIn(Uuid, i64),
    /// It only reads.
    Reads,
}

/// A task and where it left something.
pub(super) struct Leftovers<'a> {
    pub volume: &'a OpenVolume,
    pub ledger: &'a Ledger,
    pub operation: Uuid,
    pub control: &'a Control,
}

impl Leftovers<'_> {
    /// If the task's result is published: makes that durable and answers what was done. Otherwise discards the task, so
    /// that it is never done again.
    pub fn cancel(&self, hint: Hint) -> Result<Option<Done>, RaiseError> {
        let record = self.record()?;

        let spec = match (&record, hint) {
            (Some(record), _) => Ok(record.spec.clone()),
            // It leaves nothing, and may as well be done again.
            (None, Hint::Reads) => return Ok(None),
            (None, Hint::Spec(spec)) if !spec.work.publishes() => return Ok(None),
            (None, Hint::Spec(spec)) => Ok(spec),
            (None, Hint::Publishes(vfolder, epoch)) => Err((vfolder, epoch, false)),
            (None, Hint::WorksIn(vfolder, epoch)) => Err((vfolder, epoch, true)),
        };
        let (vfolder, epoch) = match &spec {
            Ok(spec) => (spec.work.vfolder(), spec.epoch),
            Err((vfolder, epoch, _)) => (*vfolder, *epoch),
        };
        let published = match &spec {
            Ok(spec) if spec.work.is_in_place() => is_done(record.as_ref()),
            Err((.., true)) => false,
            Ok(spec) => self.volume.tree(vfolder)?.is_some() == spec.work.leaves_a_tree(),
            Err((.., false)) => self.volume.tree(vfolder)?.is_some(),
        };
        if published {
            self.volume.settle_tree(vfolder)?;
            let has_made = |work: &Work| work.leaves_a_tree() && !work.is_in_place();
            if spec.as_ref().is_ok_and(|spec| has_made(&spec.work)) {
                // Its task may have died before it could say so.
                self.ledger.accounts.appeared(self.volume, vfolder, None)?;
            }
            self.tidy();
            let totals = record.and_then(|record| record.totals);
            return Ok(Some(totals.map(Done::from).unwrap_or_default()));
        }
        at("cancel.begin").map_err(on("fault point", "cancel"))?;
        if let Ok(spec) = &spec {
            self.clear_hidden(&spec.work)?;
        }
        self.volume.clear_staging(self.operation, self.control)?;
        at("cancel.cleared").map_err(on("fault point", "cancel"))?;
        match (self.retire(vfolder, epoch), spec) {
            // What could be noted elsewhere can be noted here: the wish is granted even on a full volume. Both notes are
            // in memory, and on disk as soon as there is space.
            (Err(RaiseError::Volume(error)), Ok(spec)) if error.is_for_want_of_space() => {
                tracing::warn!(operation = %self.operation, %error, "cancelled without a note of it: the volume is full");
                let mut record = record.unwrap_or_else(|| Record::new(&spec));
                record.verdict = Some((&Failure::cancelled()).into());
                self.ledger
                    .verdicts
                    .note(self.volume, self.operation, record);
                Ok(None)
            }
            (retired, _) => {
                retired?;
                at("cancel.retired").map_err(on("fault point", "cancel"))?;
                self.drop_journal()?;
                Ok(None)
            }
        }
    }

    /// Removes what is left of a task that is never asked for again. Where that is not because it has made or taken away a
    /// tree, it is first seen to it that it can't be done again, however late somebody asks.
    pub fn forget(&self, known: Option<&TaskSpec>, succeeded: bool) -> Result<(), RaiseError> {
        at("forget.begin").map_err(on("fault point", "forget"))?;
        let record = self.record()?;
        let spec = record.as_ref().map(|record| &record.spec).or(known);
        if let Some(spec) = spec.filter(|spec| spec.work.publishes()) {
            let vfolder = spec.work.vfolder();
            let failed = record.as_ref().is_some_and(|r| r.verdict.is_some());
            let published = match spec.work.is_in_place() {
                true => is_done(record.as_ref()),
                false => self.volume.tree(vfolder)?.is_some() == spec.work.leaves_a_tree(),
            };
            // One that has made a tree needs no fence: asked for late, it finds the tree, or what has fenced it since. And
            // it must have none: the vfolder lives by the task's epoch. After a restart, its tree tells that it has. Of work
            // in a tree only the journal told; without it, a late request would do it all again, to what others have put
            // there since. The vfolder's epoch has risen with its end.
            if spec.work.is_in_place() || (!succeeded && (failed || !published)) {
                if !succeeded {
                    self.clear_hidden(&spec.work)?;
                }
                self.volume.clear_staging(self.operation, self.control)?;
                self.retire(vfolder, spec.epoch)?;
                at("forget.retired").map_err(on("fault point", "forget"))?;
            }
        }
        self.volume.clear_staging(self.operation, self.control)?;
        at("forget.cleared").map_err(on("fault point", "forget"))?;
        Ok(self.drop_journal()?)
    }

    /// Removes what is not whole from a tree that was worked in.
    fn clear_hidden(&self, work: &Work) -> Result<(), VolumeError> {
        let accounts = &self.ledger.accounts;
        clear_hidden(self.volume, accounts, self.operation, work)
    }

    /// A published task's staging holds nothing that anybody misses; failing to remove it is no failure.
    pub fn tidy(&self) {
        let (volume, operation) = (self.volume, self.operation);
        if let Err(error) = volume.remove_staging(operation, &Control::default()) {
            tracing::warn!(%operation, %error, "can't remove the staging of a published task");
        }
    }

    /// Sees to it, durably, that no task of this epoch makes the tree of `vfolder` appear or disappear any more.
    fn retire(&self, vfolder: Uuid, epoch: i64) -> Result<(), RaiseError> {
        if epoch == 0 {
            return Ok(());
        }
        let fence = Fence::for_writers(epoch.saturating_add(1));
        let raise = || self.ledger.fences.raise(self.volume, vfolder, fence);
        match raise() {
            // What was staged takes its space until it is destroyed.
            Err(RaiseError::Volume(error)) if error.is_for_want_of_space() => {
                let destroyed = self.volume.destroy_trash_of(self.operation, self.control);
                destroyed.map_err(VolumeError::from)?;
                raise()
            }
            raised => raised,
        }
    }

    fn record(&self) -> Result<Option<Record>, VolumeError> {
        let operation = self.operation;
        if let Some(record) = self.ledger.verdicts.unwritten(operation) {
            return Ok(Some(record));
        }
        match self.volume.read_journal(operation) {
            Err(error @ VolumeError::Journal(..)) => {
                tracing::warn!(%operation, %error, "deciding without the journal what became of the task");
                Ok(None)
            }
            read => read,
        }
    }

    fn drop_journal(&self) -> Result<(), VolumeError> {
        self.ledger.verdicts.forget(self.operation);
        self.volume.remove_journal(self.operation)
    }
}

/// Of what works in place: its totals are written when all of it is durable.
fn is_done(record: Option<&Record>) -> bool {
    record.is_some_and(|record| record.totals.is_some() && record.verdict.is_none())
}

/// Writes into the journal that a task has failed for good, before that is told.
pub(super) fn note_failure(
    volume: &OpenVolume,
    ledger: &Ledger,
    operation: Uuid,
    spec: &TaskSpec,
    failure: &Failure,
) {
    let mut record = match volume.read_journal::<Record>(operation) {
        Ok(Some(record)) => record,
        // The fence says the same again, and whoever comes that late will not ask to forget it.
        Ok(None) if failure.kind == FailureKind::Stale => return,
        // It fails again, until somebody has looked at it.
        Err(VolumeError::Journal(..)) => return,
        Ok(None) | Err(_) => Record::new(spec),
    };
    record.verdict = Some(failure.into());
    pass("verdict.note");
    ledger.verdicts.note(volume, operation, record);
    pass("verdict.noted");
}
