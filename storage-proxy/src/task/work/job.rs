//! A task at work, and what all kinds of tasks do alike.

use std::sync::Arc;

use uuid::Uuid;

use super::{Interrupted, Record};
use crate::{
    faults,
    task::{
        Guard, Stay,
        lane::Ledger,
        leftovers::Leftovers,
        phase::{Stop, Unpublished},
        running::Running,
        spec::Totals,
    },
    tree::{Control, TreeError},
    volume::{OpenVolume, Volume, VolumeError, on},
};

pub(in crate::task) struct Job<'a> {
    pub configured: &'a Volume,
    pub volume: &'a OpenVolume,
    pub ledger: &'a Ledger,
    pub operation: Uuid,
    pub task: &'a Running,
}

impl Job<'_> {
    /// Comes into the tree that is to appear or disappear, unless it belongs to a newer epoch than the task. Until the
    /// answer is dropped, nobody succeeds in fencing this task off.
    pub(super) fn take_target(&self) -> Result<Guard, Interrupted> {
        let spec = &self.task.spec;
        let (vfolder, control) = (spec.work.vfolder(), Arc::default());
        let fences = &self.ledger.fences;
        Ok(fences.enter(self.volume, vfolder, Stay::Publishing, spec.epoch, control)?)
    }

    /// Makes the result visible by `rename`: unless a wish to stop, or whoever has the tree now, came first.
    pub(super) fn publish(
        &self,
        rename: impl FnOnce() -> Result<(), Interrupted>,
    ) -> Result<(), Interrupted> {
        let published = self.task.phase.publish(|| {
            // What is raised meanwhile waits until the rename is durable.
            let _target = self.take_target()?;
            self.is_still_there()?;
            rename()
        });
        published.map_err(|why| self.unpublished(why))
    }

    /// Whether the tree is there already, or gone, as the task is to see to: an earlier life did it, and has perhaps died
    /// before that was durable.
    pub(super) fn is_published(&self, vfolder: Uuid) -> Result<bool, Interrupted> {
        let wanted = self.task.spec.work.leaves_a_tree();
        if self.volume.tree(vfolder)?.is_some() != wanted {
            return Ok(false);
        }
        self.task
            .phase
            .publish(|| Ok(self.volume.settle_tree(vfolder)?))
            .map_err(|why| self.unpublished(why))?;
        self.tidy();
        Ok(true)
    }

    /// Handles outlive an unmount: nothing is published on a volume that is no longer in its place, or not ours.
    fn is_still_there(&self) -> Result<(), VolumeError> {
        let now = self.configured.get()?;
        if now.opening() == self.volume.opening() {
            return Ok(());
        }
        Err(VolumeError::Unavailable {
            name: self.configured.name().to_owned(),
            why: "it went away while it was worked on, and is back now".into(),
        })
    }

    /// Stands at a fault point between two steps.
    pub(super) fn at(&self, point: &'static str) -> Result<(), VolumeError> {
        faults::at(point).map_err(on(point, "fault point"))
    }

    pub(super) fn write_record(&self, totals: Option<Totals>) -> Result<(), VolumeError> {
        let mut record = Record::new(&self.task.spec);
        record.totals = totals;
        self.volume.write_journal(self.operation, &record)
    }

    pub(super) fn tidy(&self) {
        let left = Leftovers {
            volume: self.volume,
            ledger: self.ledger,
            operation: self.operation,
            control: &Control::default(),
        };
        left.tidy();
    }

    /// Destroys what an earlier life of this task has left: the task needs its space.
    pub(super) fn clear_staging(&self) -> Result<(), Interrupted> {
        self.trash_staging()?;
        // Also what an earlier attempt to clear has left.
        self.volume
            .destroy_trash_of(self.operation, &self.task.control.beside())
            .map_err(|error| self.interrupted(error))
    }

    /// Before a failure is told of, what was staged is out of the way, and its space about to come back. A suspended
    /// task goes on later.
    pub(super) fn clean_up_after(&self, why: Interrupted) -> Interrupted {
        let Interrupted::Failed(failure) = &why else {
            return why;
        };
        // What works in place goes on by what it has kept there, when it is tried again.
        if failure.retryable && self.task.spec.work.is_in_place() {
            return why;
        }
        match self.trash_staging() {
            Ok(()) | Err(Interrupted::ArgumentsDiffer | Interrupted::FailedBefore(_)) => why,
            Err(stopped @ Interrupted::Stopped(_)) => stopped,
            Err(Interrupted::Failed(failure)) => {
                tracing::warn!(operation = %self.operation, error = failure.message, "can't clear away what the failed task left");
                why
            }
        }
    }

    fn trash_staging(&self) -> Result<(), Interrupted> {
        match self
            .volume
            .clear_staging(self.operation, &self.task.cleanup)
        {
            Err(VolumeError::Tree(error)) => Err(self.interrupted(error)),
            cleared => Ok(cleared.map(drop)?),
        }
    }

    pub(super) fn interrupted(&self, error: TreeError) -> Interrupted {
        if error.is_cancelled() {
            return self.stopped();
        }
        error.into()
    }

    /// Where a volume's error may be that it was asked to stop.
    pub(super) fn interrupted_by(&self, error: VolumeError) -> Interrupted {
        match error {
            VolumeError::Tree(error) => self.interrupted(error),
            error => error.into(),
        }
    }

    fn unpublished(&self, why: Unpublished<Interrupted>) -> Interrupted {
        match why {
            Unpublished::Stopped => self.stopped(),
            Unpublished::Failed(why) => why,
        }
    }

    fn stopped(&self) -> Interrupted {
        Interrupted::Stopped(self.task.phase.stopping().unwrap_or(Stop::Suspend))
    }
}
