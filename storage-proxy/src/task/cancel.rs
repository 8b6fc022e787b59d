//! Ending tasks from outside: a wish to cancel, and the order to forget.
//!
//! Both are carried to their end once begun, whether or not anybody still waits for the answer.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    Failure, Outcome, Refused, Tasks,
    leftovers::{Hint, Leftovers},
    phase::Wish,
    registry::Inner,
    running::{Attachment, End, Running},
    slots::{Deciding, Slot},
};
use crate::{
    faults::pass,
    tree::{Control, Progress},
};

impl Tasks {
    /// Stops a task, which would publish the tree of `vfolder` under `epoch`, unless its result is published. Answers,
    /// when it has stopped and nothing of it can become visible any more, whether the result was published before. After
    /// false, the task never runs again, not even after a restart. (Of a task that isn't known here and whose epoch is
    /// said to be 0, only this process knows.)
    ///
    /// # Errors
    /// [`Refused::VolumeUnknown`], [`Refused::Volume`], [`Refused::Occupied`], [`Refused::Stopping`]; then nothing is decided, and the wish can
    /// be repeated.
    pub async fn cancel(
        &self,
        operation: Uuid,
        volume: &str,
        vfolder: Uuid,
        epoch: i64,
    ) -> Result<bool, Refused> {
        let hint = Hint::Publishes(vfolder, epoch);
        let (tasks, volume) = (Arc::clone(&self.0), volume.to_owned());
        to_its_end(async move { tasks.cancel(operation, &volume, hint).await }).await
    }

    /// Stops a task that works in the tree of `vfolder` under `epoch`, unless all of it is done. What it has done stays.
    /// Otherwise as [`Tasks::cancel`].
    ///
    /// # Errors
    /// As [`Tasks::cancel`].
    pub async fn cancel_in_place(
        &self,
        operation: Uuid,
        volume: &str,
        vfolder: Uuid,
        epoch: i64,
    ) -> Result<bool, Refused> {
        let hint = Hint::WorksIn(vfolder, epoch);
        let (tasks, volume) = (Arc::clone(&self.0), volume.to_owned());
        to_its_end(async move { tasks.cancel(operation, &volume, hint).await }).await
    }

    /// Stops a task that only reads. Answers whether it had succeeded before; if not, it may still be asked for again
    /// after a restart, and is then done anew.
    ///
    /// # Errors
    /// [`Refused::VolumeUnknown`], [`Refused::Volume`], [`Refused::Stopping`].
    pub async fn cancel_reading(&self, operation: Uuid, volume: &str) -> Result<bool, Refused> {
        let (tasks, volume) = (Arc::clone(&self.0), volume.to_owned());
        to_its_end(async move { tasks.cancel(operation, &volume, Hint::Reads).await }).await
    }

    /// Removes the journal and the staging of a task that will never be asked for again. Unless it has succeeded, it is
    /// seen to first that it never runs again, not even after a restart. Harmless to repeat.
    ///
    /// # Errors
    /// [`Refused::TaskRunning`], [`Refused::VolumeUnknown`], [`Refused::Volume`], [`Refused::Occupied`].
    pub async fn forget(&self, operation: Uuid, volume: &str) -> Result<(), Refused> {
        let (tasks, volume) = (Arc::clone(&self.0), volume.to_owned());
        to_its_end(async move { tasks.forget(operation, &volume).await }).await
    }
}

/// A caller that goes away takes nothing with it.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refused>> + Send + 'static,
) -> Result<T, Refused> {
    tokio::spawn(work).await.map_err(|panic| {
        tracing::error!(%panic, "ending a task has panicked");
        Refused::Internal
    })?
}

impl Inner {
    async fn cancel(
        self: &Arc<Self>,
        operation: Uuid,
        volume: &str,
        unknown: Hint,
    ) -> Result<bool, Refused> {
        let lane = self.lane(volume)?;
        loop {
            if let Some(running) = self.running(operation) {
                match self.cancel_running(operation, &running).await? {
                    Some(published) => return Ok(published),
                    None => continue,
                }
            }
            let _sweeping = lane.sweeping.lock().await;
            let deciding = match Deciding::begin(self, operation) {
                Some(deciding) => deciding,
                None if self.running(operation).is_some() => continue,
                None => return Err(Refused::Deciding),
            };
            let hint = match deciding.before() {
                Some(slot) if slot.has_succeeded() => return Ok(true),
                Some(Slot::Ended {
                    spec: Some(spec), ..
                }) => Hint::Spec(spec.clone()),
                _ => unknown,
            };
            let ledger = lane.ledger.clone();
            let published = lane
                .on_volume(move |volume| {
                    let left = Leftovers {
                        volume,
                        ledger: &ledger,
                        operation,
                        control: &Control::default(),
                    };
                    left.cancel(hint)
                })
                .await?;
            pass("cancel.answer");
            if published.is_some() {
                // Asking for it again will tell its outcome.
                deciding.leave_to_the_disk();
                return Ok(true);
            }
            deciding.end(cancelled());
            lane.reclaimer.wake();
            return Ok(false);
        }
    }

    /// Nothing, if the disk has the truth: the task failed before it heard, or what it has left can't be removed now.
    async fn cancel_running(
        &self,
        operation: Uuid,
        running: &Arc<Running>,
    ) -> Result<Option<bool>, Refused> {
        if running.cancel() == Wish::Late {
            return Ok(Some(true));
        }
        match Attachment::to(running).end().await {
            End::Outcome(Outcome { failure: None, .. }) => Ok(Some(true)),
            End::Outcome(outcome) if outcome.failure == Some(Failure::cancelled()) => {
                self.slots().end(operation, None, outcome);
                Ok(Some(false))
            }
            End::Outcome(_) | End::ArgumentsDiffer => Ok(None),
            End::Suspended => Err(Refused::Stopping),
        }
    }

    async fn forget(self: &Arc<Self>, operation: Uuid, volume: &str) -> Result<(), Refused> {
        let lane = self.lane(volume)?;
        if self.running(operation).is_some() {
            return Err(Refused::TaskRunning);
        }
        let _sweeping = lane.sweeping.lock().await;
        let Some(deciding) = Deciding::begin(self, operation) else {
            return Err(match self.running(operation) {
                Some(_) => Refused::TaskRunning,
                None => Refused::Deciding,
            });
        };
        let known = match deciding.before() {
            Some(Slot::Ended { spec, .. }) => spec.clone(),
            _ => None,
        };
        let succeeded = deciding.before().is_some_and(Slot::has_succeeded);
        let ledger = lane.ledger.clone();
        lane.on_volume(move |volume| {
            let left = Leftovers {
                volume,
                ledger: &ledger,
                operation,
                control: &Control::default(),
            };
            left.forget(known.as_ref(), succeeded)
        })
        .await?;
        pass("forget.answer");
        // A late request is still told that it succeeded.
        if !deciding.before().is_some_and(Slot::has_succeeded) {
            deciding.end(cancelled());
        }
        lane.reclaimer.wake();
        Ok(())
    }
}

fn cancelled() -> Outcome {
    Outcome {
        progress: Progress::default(),
        receipt: None,
        failure: Some(Failure::cancelled()),
    }
}
