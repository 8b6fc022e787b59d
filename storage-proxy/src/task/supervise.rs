//! A task from its start to its end.
//!
//! What is quick is done at once: an empty tree, a look whether an earlier life has published, a tree's way into the
//! trash. Only copying waits for a turn.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    Done, End, Failure, FailureKind, Outcome, RaiseError,
    lane::{Lane, Ledger, Long},
    leftovers::{Hint, Leftovers, note_failure},
    phase::Stop,
    registry::Inner,
    running::Running,
    spec::Work,
    work::{Interrupted, Job, Step},
};
use crate::{
    faults::pass,
    volume::{OpenVolume, Volume, VolumeError},
};

impl Inner {
    pub async fn supervise(self: Arc<Self>, operation: Uuid, running: Arc<Running>) {
        let name = running.spec.volume.clone();
        let lane = self.lane(&name).ok();
        let end = match lane {
            Some(lane) => self.work_off(lane, operation, &running).await,
            None => End::Suspended,
        };
        tracing::info!(%operation, volume = name, work = ?running.spec.work, ?end, "task ended");
        {
            let mut slots = self.slots();
            match &end {
                End::Outcome(outcome) => {
                    slots.end(operation, Some(running.spec.clone()), outcome.clone());
                }
                End::ArgumentsDiffer | End::Suspended => slots.remove(operation),
            }
        }
        if let Some(lane) = lane {
            lane.reclaimer.wake();
        }
        pass("task.answer");
        running.end.send_replace(Some(end));
    }

    async fn work_off(&self, lane: &Lane, operation: Uuid, running: &Arc<Running>) -> End {
        let stage = |long| Stage {
            operation,
            task: Arc::clone(running),
            ledger: lane.ledger.clone(),
            long,
        };
        let _at_work = lane.activity.begin();
        let mut next = stage(None);
        let done = loop {
            let turn = match next.long {
                None => None,
                Some(long) => tokio::select! {
                    turn = lane.turn(long) => turn,
                    // Its end still has to be made of what it has left.
                    () = running.stop.cancelled() => None,
                },
            };
            let done = match turn {
                Some(_) => lane.work(|volume| next.perform(volume)).await,
                None => lane.look(|volume| next.perform(volume)).await,
            };
            match done {
                Ok(Next::Turn(long)) => next = stage(Some(long)),
                Ok(Next::End(end)) => break Ok(end),
                Err(panicked) => break Err(panicked),
            }
        };
        done.unwrap_or_else(|panicked| {
            let failure = Failure::passing(FailureKind::Internal, panicked.to_string());
            failed(running, failure)
        })
    }
}

/// What of a task is done in one go, on a thread that may block.
struct Stage {
    operation: Uuid,
    task: Arc<Running>,
    ledger: Ledger,
    /// Nothing: what comes before.
    long: Option<Long>,
}

enum Next {
    /// There is more, which takes long.
    Turn(Long),
    End(End),
}

impl Stage {
    fn perform(self, volume: &Volume) -> Next {
        let task = &*self.task;
        let open = match volume.get() {
            Ok(open) => open,
            Err(error) => return Next::End(failed(task, error.into())),
        };
        let interrupted = match task.phase.stopping() {
            Some(stop) => Interrupted::Stopped(stop),
            None => match self.step(volume, &open) {
                // What is durable on a volume that went away is found when it is back and the task is asked for again.
                Ok(Step::Done(done)) => {
                    return Next::End(match volume.get() {
                        Ok(_) => succeeded(done),
                        Err(gone) => failed(task, gone.into()),
                    });
                }
                Ok(Step::Long(long)) => return Next::Turn(long),
                Err(interrupted) => interrupted,
            },
        };
        let end = match interrupted {
            Interrupted::ArgumentsDiffer => End::ArgumentsDiffer,
            Interrupted::Stopped(Stop::Suspend) => End::Suspended,
            Interrupted::Stopped(Stop::Cancel) => self.cancelled(&open),
            Interrupted::Failed(failure) => {
                let failure = match volume.get() {
                    // What looks like a failure for good may be the volume that went away.
                    Err(gone) if !failure.retryable => gone.into(),
                    _ => failure,
                };
                if !failure.retryable && task.spec.work.publishes() {
                    let spec = &task.spec;
                    note_failure(&open, &self.ledger, self.operation, spec, &failure);
                }
                failed(task, failure)
            }
            Interrupted::FailedBefore(failure) => failed(task, failure),
        };
        if let Work::Create { vfolder } | Work::Clone { vfolder, .. } = task.spec.work {
            // Tried again, it comes with its limits again.
            self.ledger.accounts.forget_treeless(&open, vfolder);
        }
        Next::End(end)
    }

    fn step(&self, configured: &Volume, volume: &OpenVolume) -> Result<Step, Interrupted> {
        match self.long {
            None => self.job(configured, volume).begin(),
            Some(_) => self.job(configured, volume).go_on(),
        }
    }

    fn job<'a>(&'a self, configured: &'a Volume, volume: &'a OpenVolume) -> Job<'a> {
        Job {
            configured,
            volume,
            ledger: &self.ledger,
            operation: self.operation,
            task: &self.task,
        }
    }

    /// An earlier life may have published: then the wish came too late, whatever this life has done so far.
    fn cancelled(&self, volume: &OpenVolume) -> End {
        let task = &*self.task;
        let left = Leftovers {
            volume,
            ledger: &self.ledger,
            operation: self.operation,
            control: &task.cleanup,
        };
        match left.cancel(Hint::Spec(task.spec.clone())) {
            Ok(Some(done)) => succeeded(done),
            Ok(None) => failed(task, Failure::cancelled()),
            // The process ends; the wish will be repeated.
            Err(RaiseError::Volume(VolumeError::Tree(error))) if error.is_cancelled() => {
                End::Suspended
            }
            Err(error) => failed(task, error.into()),
        }
    }
}

fn succeeded(Done { progress, receipt }: Done) -> End {
    End::Outcome(Outcome {
        progress,
        receipt,
        failure: None,
    })
}

fn failed(task: &Running, failure: Failure) -> End {
    End::Outcome(Outcome {
        progress: task.control.progress(),
        receipt: None,
        failure: Some(failure),
    })
}
