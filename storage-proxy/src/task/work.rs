//! What tasks do. Runs on threads that may block; everything here may be repeated after a crash at any point.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    thread,
};

use uuid::Uuid;

use super::{
    Epochs, Failure, FailureKind, Work,
    lane::Long,
    leftovers::tidy,
    phase::{Stop, Unpublished},
    running::Running,
    spec::{Record, Totals},
};
use crate::{
    tree::{CloneTarget, Control, Progress, TreeError, clone_tree, usage},
    volume::{OpenVolume, Staging, VolumeError},
};

/// How far a task is.
#[derive(Debug)]
pub(super) enum Step {
    /// It is done; this was done in all.
    Done(Progress),
    /// What remains takes long.
    Long(Long),
}

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

/// Does what is quick of the task, or what remains of that.
pub(super) fn begin(
    volume: &OpenVolume,
    operation: Uuid,
    task: &Running,
    epochs: &Epochs,
) -> Result<Step, Interrupted> {
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
    if task.spec.work.leaves_a_tree() {
        if record.is_none() {
            job.write_record(None)?;
        }
    } else {
        job.note_purge()?;
    }
    epochs.raise(task.spec.work.vfolder(), task.spec.epoch);
    let totals = record.and_then(|record| record.totals);
    match task.spec.work {
        Work::Create { vfolder } => job.create(vfolder).map(Step::Done),
        Work::Clone { vfolder, .. } => Ok(match job.is_published(vfolder)? {
            true => Step::Done(totals.map(Progress::from).unwrap_or_default()),
            false => Step::Long(Long::Copy),
        }),
        Work::Purge { vfolder } => job.hide(vfolder).map(|()| Step::Long(Long::Destroy)),
    }
}

/// Does what takes long, after [`begin`] and with a turn.
pub(super) fn go_on(
    volume: &OpenVolume,
    operation: Uuid,
    task: &Running,
) -> Result<Step, Interrupted> {
    let job = Job {
        volume,
        operation,
        task,
    };
    match task.spec.work {
        Work::Create { vfolder } => job.create(vfolder),
        Work::Clone { source, vfolder } => job.copy_and_publish(source, vfolder),
        Work::Purge { .. } => job.destroy(),
    }
    .map(Step::Done)
}

struct Job<'a> {
    volume: &'a OpenVolume,
    operation: Uuid,
    task: &'a Running,
}

impl Job<'_> {
    fn create(&self, vfolder: Uuid) -> Result<Progress, Interrupted> {
        if !self.is_published(vfolder)? {
            self.clear_staging()?;
            let make = || {
                let staging = self.volume.begin_staging(self.operation)?;
                staging.make_empty_tree(&self.volume.new_trees)?;
                let place = self.volume.prepare_place(vfolder)?;
                self.publish(&staging, &place, vfolder)
            };
            make().map_err(|why| self.clean_up_after(why))?;
            tidy(self.volume, self.operation);
        }
        self.task.control.entry_done();
        self.task.control.set_totals(1, 0);
        Ok(self.task.control.progress())
    }

    fn copy_and_publish(&self, source: Uuid, vfolder: Uuid) -> Result<Progress, Interrupted> {
        self.clear_staging()?;
        let copy = || {
            let staging = self.volume.begin_staging(self.operation)?;
            self.copy(&staging, source)?;
            let Progress {
                entries_done,
                bytes_done,
                ..
            } = self.task.control.progress();
            self.task.control.set_totals(entries_done, bytes_done);
            // What the place needs is made durable together with the tree.
            let place = self.volume.prepare_place(vfolder)?;
            self.volume.sync(&staging)?;
            self.write_record(Some(Totals {
                entries: entries_done,
                bytes: bytes_done,
            }))?;
            self.publish(&staging, &place, vfolder)
        };
        copy().map_err(|why| self.clean_up_after(why))?;
        tidy(self.volume, self.operation);
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
            let count = || {
                if let Ok(all) = usage(source.as_fd(), &scan)
                    && !all.approximate
                {
                    control.set_totals(all.entries, all.bytes);
                }
            };
            let counting = thread::Builder::new().name("count".into());
            if let Err(error) = counting.spawn_scoped(scope, count) {
                tracing::warn!(operation = %self.operation, %error, "no thread to count what is to be copied");
            }
            let cloned = clone_tree(source.as_fd(), target, control);
            scan.stop();
            cloned
        })
        .map_err(|error| self.interrupted(error))
    }

    /// Takes the tree out of sight. Then the result is published, whatever remains to be destroyed.
    fn hide(&self, vfolder: Uuid) -> Result<(), Interrupted> {
        self.task
            .phase
            .publish(|| self.volume.trash_tree(self.operation, vfolder).map(drop))
            .map_err(|why| self.unpublished(why))
    }

    fn destroy(&self) -> Result<Progress, Interrupted> {
        self.volume
            .destroy_trash_of(self.operation, &self.task.control)
            .map_err(|error| match error.is_cancelled() {
                // Nothing but the end of the process stops it now.
                true => Interrupted::Stopped(Stop::Suspend),
                false => Interrupted::Failed(error.into()),
            })?;
        // Perhaps there was no space for it before. What was to be done is done, whatever becomes of the note.
        if let Err(why) = self.note_purge() {
            tracing::warn!(operation = %self.operation, ?why, "can't note that a tree is purged");
        }
        Ok(self.task.control.progress())
    }

    fn publish(
        &self,
        staging: &Staging,
        place: &OwnedFd,
        vfolder: Uuid,
    ) -> Result<(), Interrupted> {
        self.task
            .phase
            .publish(|| self.volume.publish(staging, place, vfolder))
            .map_err(|why| self.unpublished(why))
    }

    /// Whether an earlier life of this task has published, and perhaps died before that was durable.
    fn is_published(&self, vfolder: Uuid) -> Result<bool, Interrupted> {
        if self.volume.tree(vfolder)?.is_none() {
            return Ok(false);
        }
        self.task
            .phase
            .publish(|| self.volume.settle_tree(vfolder))
            .map_err(|why| self.unpublished(why))?;
        tidy(self.volume, self.operation);
        Ok(true)
    }

    fn check_epoch(&self, epochs: &Epochs) -> Result<(), Interrupted> {
        let spec = &self.task.spec;
        let vfolder = spec.work.vfolder();
        let known = epochs.current(self.volume, vfolder)?;
        if spec.epoch >= known {
            return Ok(());
        }
        let message = format!(
            "the vfolder {vfolder} has changed hands: this operation is of epoch {}, the last one of {known}",
            spec.epoch
        );
        Err(Interrupted::Failed(Failure::lasting(
            FailureKind::Stale,
            message,
        )))
    }

    /// Notes in the journal that the purge has begun, and then its epoch. On a full volume it goes on without: how far it
    /// is, the tree and the trash tell, and it is what makes space.
    fn note_purge(&self) -> Result<(), Interrupted> {
        let (spec, vfolder) = (&self.task.spec, self.task.spec.work.vfolder());
        let note = || {
            if self
                .volume
                .read_journal::<Record>(self.operation)?
                .is_none()
            {
                let (spec, totals) = (spec.clone(), None);
                self.volume
                    .write_journal(self.operation, &Record { spec, totals })?;
            }
            if self.volume.noted_epoch(vfolder)? < spec.epoch {
                self.volume.note_epoch(vfolder, spec.epoch)?;
            }
            Ok(())
        };
        match note() {
            Err(error) if VolumeError::is_for_want_of_space(&error) => {
                tracing::warn!(operation = %self.operation, %error, "purging without a note of it: the volume is full");
                Ok(())
            }
            noted => Ok(noted?),
        }
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
        let cleanup = &self.task.cleanup;
        match self.volume.clear_staging(self.operation, cleanup) {
            Err(VolumeError::Tree(error)) => return Err(self.interrupted(error)),
            cleared => cleared?,
        };
        // Also what an earlier attempt to clear has left.
        self.volume
            .destroy_trash_of(self.operation, cleanup)
            .map_err(|error| self.interrupted(error))
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
