//! What tasks do. Runs on threads that may block; everything here may be repeated after a crash at any point.

use std::{os::fd::AsFd as _, thread};

use uuid::Uuid;

use super::{
    Epochs, Failure, FailureKind, Work,
    phase::{Stop, Unpublished},
    running::Running,
    spec::{Record, Totals},
};
use crate::{
    tree::{CloneTarget, Control, Progress, TreeError, clone_tree, usage},
    volume::{OpenVolume, Staging, VolumeError},
};

/// Why work ended early.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// It failed.
    Failed(Failure),
    /// It was asked to stop.
    Stopped(Stop),
    /// The journal has another task under this id.
    ArgumentsDiffer,
}

impl From<VolumeError> for Interrupted {
    fn from(error: VolumeError) -> Self {
        Self::Failed(error.into())
    }
}

/// Does the task, or what remains of it. Answers what was done in all.
pub(super) fn perform(
    volume: &OpenVolume,
    operation: Uuid,
    task: &Running,
    epochs: &Epochs,
) -> Result<Progress, Interrupted> {
    let job = Job {
        volume,
        operation,
        task,
    };
    let record = volume.read_journal::<Record>(operation)?;
    if record
        .as_ref()
        .is_some_and(|record| record.spec != task.spec)
    {
        return Err(Interrupted::ArgumentsDiffer);
    }
    job.check_epoch(epochs)?;
    if record.is_none() {
        job.write_record(None)?;
    }
    let totals = record.and_then(|record| record.totals);
    match task.spec.work {
        Work::Create { vfolder } => job.create(vfolder),
        Work::Clone { source, vfolder } => job.clone(source, vfolder, totals),
        Work::Purge { vfolder } => job.purge(vfolder),
    }
}

/// Removes what an unpublished task has left. Durable when it returns; the blocks may be given back later.
pub(super) fn discard(volume: &OpenVolume, operation: Uuid) -> Result<(), VolumeError> {
    volume.trash_staging(operation)?;
    volume.remove_journal(operation)
}

struct Job<'a> {
    volume: &'a OpenVolume,
    operation: Uuid,
    task: &'a Running,
}

impl Job<'_> {
    fn create(&self, vfolder: Uuid) -> Result<Progress, Interrupted> {
        if self.volume.tree(vfolder)?.is_none() {
            self.clear_staging()?;
            let staging = self.volume.begin_staging(self.operation)?;
            let done = staging
                .make_empty_tree(&self.volume.new_trees)
                .map_err(Interrupted::from);
            done.and_then(|()| self.publish(&staging, vfolder))
                .map_err(|why| self.clean_up_after(why))?;
        } else {
            self.found_published(vfolder)?;
        }
        self.tidy();
        self.task.control.entry_done();
        self.task.control.set_totals(1, 0);
        Ok(self.task.control.progress())
    }

    fn clone(
        &self,
        source: Uuid,
        vfolder: Uuid,
        totals: Option<Totals>,
    ) -> Result<Progress, Interrupted> {
        if self.volume.tree(vfolder)?.is_some() {
            self.found_published(vfolder)?;
            self.tidy();
            return Ok(totals.map(Progress::from).unwrap_or_default());
        }
        self.clear_staging()?;
        let staging = self.volume.begin_staging(self.operation)?;
        let done = self.copy(&staging, source).and_then(|()| {
            let Progress {
                entries_done,
                bytes_done,
                ..
            } = self.task.control.progress();
            self.task.control.set_totals(entries_done, bytes_done);
            self.volume.sync()?;
            self.write_record(Some(Totals {
                entries: entries_done,
                bytes: bytes_done,
            }))?;
            self.publish(&staging, vfolder)
        });
        done.map_err(|why| self.clean_up_after(why))?;
        self.tidy();
        Ok(self.task.control.progress())
    }

    fn copy(&self, staging: &Staging, source: Uuid) -> Result<(), Interrupted> {
        let control = &self.task.control;
        let Some(source) = self.volume.tree(source)? else {
            let message = format!("the vfolder {source} has no tree on this volume");
            return Err(Interrupted::Failed(Failure::lasting(
                FailureKind::SourceMissing,
                message,
            )));
        };
        let name = staging.tree_name();
        let target = CloneTarget {
            parent: staging.directory(),
            name: &name,
            links: staging.links(),
        };
        let scan = Control::default();
        thread::scope(|scope| {
            // The totals only serve the progress: whatever keeps them from being known, the copy
            // will meet too.
            scope.spawn(|| {
                if let Ok(all) = usage(source.as_fd(), &scan) {
                    control.set_totals(all.entries, all.bytes);
                }
            });
            let cloned = clone_tree(source.as_fd(), target, control);
            scan.stop();
            cloned
        })
        .map_err(|error| self.interrupted(error))
    }

    fn purge(&self, vfolder: Uuid) -> Result<Progress, Interrupted> {
        // Once it is out of sight the result is published, whatever remains to be destroyed.
        let hidden = self
            .task
            .phase
            .publish(|| self.volume.trash_tree(self.operation, vfolder).map(drop));
        hidden.map_err(|why| self.unpublished(why))?;
        self.volume
            .destroy_trash_of(self.operation, &self.task.control)
            .map_err(|error| match error.is_cancelled() {
                // Nothing but the end of the process stops it now.
                true => Interrupted::Stopped(Stop::Suspend),
                false => Interrupted::Failed(error.into()),
            })?;
        // The directory that the tree lay in is ours, not the vfolder's.
        let mut progress = self.task.control.progress();
        progress.entries_done = progress.entries_done.saturating_sub(1);
        Ok(progress)
    }

    fn publish(&self, staging: &Staging, vfolder: Uuid) -> Result<(), Interrupted> {
        let place = self.volume.prepare_place(vfolder)?;
        self.task
            .phase
            .publish(|| self.volume.publish(staging, &place, vfolder))
            .map_err(|why| self.unpublished(why))
    }

    /// An earlier life of this task has published, and perhaps died before that was durable.
    fn found_published(&self, vfolder: Uuid) -> Result<(), Interrupted> {
        self.task
            .phase
            .publish(|| self.volume.settle_tree(vfolder))
            .map_err(|why| self.unpublished(why))
    }

    fn check_epoch(&self, epochs: &Epochs) -> Result<(), Interrupted> {
        let spec = &self.task.spec;
        let vfolder = spec.work.vfolder();
        let known = epochs.current(self.volume, vfolder)?;
        if spec.epoch < known {
            let message = format!(
                "the vfolder {vfolder} has changed hands: this operation is of epoch {}, the last one of {known}",
                spec.epoch
            );
            return Err(Interrupted::Failed(Failure::lasting(
                FailureKind::Stale,
                message,
            )));
        }
        if spec.epoch > known && !spec.work.leaves_a_tree() {
            self.volume.note_epoch(vfolder, spec.epoch)?;
        }
        epochs.raise(vfolder, spec.epoch);
        Ok(())
    }

    fn write_record(&self, totals: Option<Totals>) -> Result<(), Interrupted> {
        let record = Record {
            spec: self.task.spec.clone(),
            totals,
        };
        Ok(self.volume.write_journal(self.operation, &record)?)
    }

    /// Destroys what an earlier life of this task has left.
    fn clear_staging(&self) -> Result<(), Interrupted> {
        if self.volume.trash_staging(self.operation)? {
            self.volume
                .destroy_trash_of(self.operation, &self.task.cleanup)
                .map_err(|error| self.interrupted(error))?;
        }
        Ok(())
    }

    /// Before a failure is told of, its space is free again. A cancel does not wait for that, and a suspended task goes
    /// on later.
    fn clean_up_after(&self, why: Interrupted) -> Interrupted {
        if !matches!(why, Interrupted::Failed(_)) {
            return why;
        }
        match self.clear_staging() {
            Ok(()) | Err(Interrupted::ArgumentsDiffer) => why,
            Err(stopped @ Interrupted::Stopped(_)) => stopped,
            Err(Interrupted::Failed(failure)) => {
                tracing::warn!(operation = %self.operation, error = failure.message, "can't remove what the failed task left");
                why
            }
        }
    }

    /// A published task's staging holds nothing that anybody misses; failing to remove it is no failure.
    fn tidy(&self) {
        if let Err(error) = self.volume.remove_staging(self.operation) {
            tracing::warn!(operation = %self.operation, %error, "can't remove the staging of a published task");
        }
    }

    fn interrupted(&self, error: TreeError) -> Interrupted {
        if error.is_cancelled() {
            return self.stopped();
        }
        Interrupted::Failed(error.into())
    }

    fn unpublished(&self, why: Unpublished<VolumeError>) -> Interrupted {
        match why {
            Unpublished::Stopped => self.stopped(),
            Unpublished::Failed(error) => error.into(),
        }
    }

    fn stopped(&self) -> Interrupted {
        Interrupted::Stopped(self.task.phase.stopping().unwrap_or(Stop::Suspend))
    }
}
