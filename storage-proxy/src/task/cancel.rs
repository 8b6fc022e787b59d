//! Ending tasks from outside: a wish to cancel, and the order to forget.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    Failure, Outcome, Refused, Tasks,
    registry::Slot,
    running::{Attachment, End, Running},
    spec::Record,
    work::discard,
};
use crate::{
    tree::Progress,
    volume::{OpenVolume, VolumeError},
};

impl Tasks {
    /// Stops a task unless its result is published. Answers, when it has stopped and nothing of it can become visible
    /// any more, whether the result was published before. After false, the task never runs again under this id.
    ///
    /// # Errors
    /// [`Refused::VolumeUnknown`], [`Refused::Volume`]; then nothing is decided, and the wish can be repeated.
    pub async fn cancel(&self, operation: Uuid, volume: &str) -> Result<bool, Refused> {
        self.volume(volume)?;
        let sweeping = self.0.sweeping.lock().await;
        let before = {
            let mut slots = self.0.slots();
            let before = slots.get(operation).cloned();
            match &before {
                Some(Slot::Running(_)) => {}
                Some(Slot::Ended { outcome, .. }) if outcome.failure.is_none() => return Ok(true),
                // Before anything is looked at, so that it can't start in between.
                _ => slots.end(operation, None, cancelled()),
            }
            before
        };
        if let Some(Slot::Running(running)) = &before {
            drop(sweeping);
            return self.cancel_running(operation, running).await;
        }
        let swept = self
            .0
            .on_volume(volume, move |volume| discard_unpublished(volume, operation))
            .await;
        match swept {
            Ok(false) => self.0.reclaim(volume),
            // Asking for it again will tell its outcome.
            Ok(true) | Err(_) => self.0.slots().restore(operation, before),
        }
        swept
    }

    async fn cancel_running(
        &self,
        operation: Uuid,
        running: &Arc<Running>,
    ) -> Result<bool, Refused> {
        if !running.cancel() {
            return Ok(true);
        }
        match Attachment::to(running).end().await {
            End::Outcome(Outcome { failure: None, .. }) => Ok(true),
            End::Outcome(outcome) if outcome.failure == Some(Failure::cancelled()) => {
                self.0.slots().end(operation, None, outcome);
                Ok(false)
            }
            // It failed before it heard, or what it has left can't be removed now: the disk has the truth.
            End::Outcome(_) => Box::pin(self.cancel(operation, &running.spec.volume)).await,
            End::ArgumentsDiffer | End::Suspended => Err(Refused::Stopping),
        }
    }

    /// Removes the journal and the staging of a task that will never be asked for again, and sees to it that it never
    /// runs again under this id. Harmless to repeat.
    ///
    /// # Errors
    /// [`Refused::TaskRunning`], [`Refused::VolumeUnknown`], [`Refused::Volume`].
    pub async fn forget(&self, operation: Uuid, volume: &str) -> Result<(), Refused> {
        self.volume(volume)?;
        let _sweeping = self.0.sweeping.lock().await;
        let before = {
            let mut slots = self.0.slots();
            let before = slots.get(operation).cloned();
            match &before {
                Some(Slot::Running(_)) => return Err(Refused::TaskRunning),
                // A late request is still told that it succeeded.
                Some(Slot::Ended { outcome, .. }) if outcome.failure.is_none() => {}
                _ => slots.end(operation, None, cancelled()),
            }
            before
        };
        let epochs = Arc::clone(self.epochs());
        let forgotten = self
            .0
            .on_volume(volume, move |volume| {
                let record = volume.read_journal::<Record>(operation).unwrap_or_default();
                let work = record.map(|record| record.spec.work);
                if let Some(work) = work.filter(|work| !work.leaves_a_tree())
                    && volume.tree(work.vfolder())?.is_none()
                {
                    volume.forget_epoch(work.vfolder())?;
                    epochs.forget(work.vfolder());
                }
                discard(volume, operation)
            })
            .await;
        match &forgotten {
            Ok(()) => self.0.reclaim(volume),
            Err(_) => self.0.slots().restore(operation, before),
        }
        forgotten
    }
}

/// Of a task that doesn't run: whether its result is there; if not, removes what it has left.
fn discard_unpublished(volume: &OpenVolume, operation: Uuid) -> Result<bool, VolumeError> {
    // Without an entry in the journal it never touched anything.
    if let Some(record) = volume.read_journal::<Record>(operation)? {
        let work = record.spec.work;
        if volume.tree(work.vfolder())?.is_some() == work.leaves_a_tree() {
            return Ok(true);
        }
    }
    discard(volume, operation)?;
    Ok(false)
}

fn cancelled() -> Outcome {
    Outcome {
        progress: Progress::default(),
        failure: Some(Failure::cancelled()),
    }
}
