//! The tasks of this process: those that run, and how the others ended.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use thiserror::Error;
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::timeout,
};
use uuid::Uuid;

use super::{
    Attachment, End, Epochs, Failure, FailureKind, Outcome, TaskSpec,
    phase::Stop,
    reclaim::Reclaimer,
    running::Running,
    work::{Interrupted, discard, perform},
};
use crate::volume::{OpenVolume, Volume, VolumeError};

/// How many tasks' ends are remembered.
const REMEMBERED: usize = 10_000;

/// A volume and how many tasks may work on it at once.
#[derive(Debug)]
pub struct VolumeConfig {
    /// The volume.
    pub volume: Arc<Volume>,
    /// How many tasks at once.
    pub max_tasks: usize,
}

/// Why a request about tasks is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The same id came with another task.
    #[error("the operation's id belongs to another task")]
    ArgumentsDiffer,
    /// It runs.
    #[error("the task is running; cancel it, or wait for its end")]
    TaskRunning,
    /// No volume is configured by that name.
    #[error("no volume \"{0}\" is configured here")]
    VolumeUnknown(String),
    /// The process ends.
    #[error("the storage-proxy is stopping; ask again when it is back")]
    Stopping,
    /// The volume can't be used.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// The tasks of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tasks(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    lanes: HashMap<String, Lane>,
    pub(super) slots: Mutex<Slots>,
    /// Held while what is on disk of a task that doesn't run is looked at and removed.
    pub(super) sweeping: tokio::sync::Mutex<()>,
    pub(super) epochs: Arc<Epochs>,
    stopping: AtomicBool,
}

#[derive(Debug)]
struct Lane {
    volume: Arc<Volume>,
    turns: Arc<Semaphore>,
    reclaimer: Reclaimer,
}

#[derive(Clone, Debug)]
pub(super) enum Slot {
    Running(Arc<Running>),
    Ended {
        /// Nothing: never again under this id, whatever the task.
        spec: Option<TaskSpec>,
        outcome: Outcome,
    },
}

/// What is known of each task.
#[derive(Debug, Default)]
pub(super) struct Slots {
    all: HashMap<Uuid, Slot>,
    ended: VecDeque<Uuid>,
}

impl Slots {
    pub fn get(&self, operation: Uuid) -> Option<&Slot> {
        self.all.get(&operation)
    }

    pub fn end(&mut self, operation: Uuid, spec: Option<TaskSpec>, outcome: Outcome) {
        let before = self.all.insert(operation, Slot::Ended { spec, outcome });
        if !matches!(before, Some(Slot::Ended { .. })) {
            self.ended.push_back(operation);
        }
        while self.ended.len() > REMEMBERED {
            if let Some(oldest) = self.ended.pop_front() {
                self.remove_ended(oldest);
            }
        }
    }

    /// Puts back what was there before.
    pub fn restore(&mut self, operation: Uuid, before: Option<Slot>) {
        match before {
            Some(slot) => self.all.insert(operation, slot),
            None => self.all.remove(&operation),
        };
    }

    fn remove_ended(&mut self, operation: Uuid) {
        if matches!(self.all.get(&operation), Some(Slot::Ended { .. })) {
            self.all.remove(&operation);
        }
    }
}

impl Tasks {
    /// Begins to reclaim what is in the volumes' trash, and waits for tasks.
    #[must_use]
    pub fn new(volumes: Vec<VolumeConfig>) -> Self {
        Self(Arc::new_cyclic(|tasks: &std::sync::Weak<Inner>| Inner {
            lanes: volumes
                .into_iter()
                .map(|VolumeConfig { volume, max_tasks }| {
                    let busy = tasks.clone();
                    let busy = move |operation| {
                        busy.upgrade()
                            .is_some_and(|tasks| tasks.is_running(operation))
                    };
                    let reclaimer = Reclaimer::start(Arc::clone(&volume), busy);
                    let turns =
                        Arc::new(Semaphore::new(max_tasks.clamp(1, Semaphore::MAX_PERMITS)));
                    (
                        volume.name().to_owned(),
                        Lane {
                            volume,
                            turns,
                            reclaimer,
                        },
                    )
                })
                .collect(),
            slots: Mutex::default(),
            sweeping: tokio::sync::Mutex::default(),
            epochs: Arc::default(),
            stopping: AtomicBool::new(false),
        }))
    }

    /// The volumes, by name.
    pub fn volumes(&self) -> impl Iterator<Item = &Arc<Volume>> {
        self.0.lanes.values().map(|lane| &lane.volume)
    }

    /// The epochs seen.
    #[must_use]
    pub fn epochs(&self) -> &Arc<Epochs> {
        &self.0.epochs
    }

    /// One volume.
    ///
    /// # Errors
    /// [`Refused::VolumeUnknown`].
    pub fn volume(&self, name: &str) -> Result<&Arc<Volume>, Refused> {
        self.0.lane(name).map(|lane| &lane.volume)
    }

    /// Starts a task, or attaches to it if it runs, or tells how it ended. One that failed in a way that may pass is
    /// started anew.
    ///
    /// # Errors
    /// [`Refused::ArgumentsDiffer`], [`Refused::VolumeUnknown`], [`Refused::Stopping`].
    pub fn run(&self, operation: Uuid, spec: TaskSpec) -> Result<Attachment, Refused> {
        self.0.lane(&spec.volume)?;
        let mut slots = self.0.slots();
        match slots.get(operation) {
            Some(Slot::Running(running)) if running.spec == spec => {
                return Ok(Attachment::to(running));
            }
            Some(Slot::Running(_)) => return Err(Refused::ArgumentsDiffer),
            Some(Slot::Ended {
                spec: Some(ended), ..
            }) if *ended != spec => return Err(Refused::ArgumentsDiffer),
            Some(Slot::Ended { outcome, .. })
                if !outcome.failure.as_ref().is_some_and(|f| f.retryable) =>
            {
                return Ok(Attachment::ended(outcome.clone()));
            }
            Some(Slot::Ended { .. }) | None => {}
        }
        // Under the lock, so that nothing starts after `suspend` has looked.
        if self.0.stopping.load(SeqCst) {
            return Err(Refused::Stopping);
        }
        let running = Arc::new(Running::new(spec));
        let attachment = Attachment::to(&running);
        slots
            .all
            .insert(operation, Slot::Running(Arc::clone(&running)));
        slots.ended.retain(|ended| *ended != operation);
        drop(slots);
        tokio::spawn(Arc::clone(&self.0).supervise(operation, running));
        Ok(attachment)
    }

    /// Stops all tasks for a restart and waits, not for long, until they have heard.
    pub async fn suspend(&self) {
        const PATIENCE: Duration = Duration::from_secs(8);
        let ends: Vec<watch::Receiver<Option<End>>> = {
            let slots = self.0.slots();
            self.0.stopping.store(true, SeqCst);
            let running = slots.all.values().filter_map(|slot| match slot {
                Slot::Running(running) => Some(running),
                Slot::Ended { .. } => None,
            });
            running
                .inspect(|running| running.suspend())
                .map(|running| running.end.subscribe())
                .collect()
        };
        for lane in self.0.lanes.values() {
            lane.reclaimer.stop();
        }
        let all = async {
            for mut end in ends {
                let _ = end.wait_for(Option::is_some).await;
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            tracing::warn!(
                "some tasks did not stop in time; they go on after a restart all the same"
            );
        }
    }
}

impl Inner {
    pub fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `look` on a thread that may block, with the volume as it is now.
    pub async fn on_volume<T: Send + 'static>(
        &self,
        name: &str,
        look: impl FnOnce(&OpenVolume) -> Result<T, VolumeError> + Send + 'static,
    ) -> Result<T, Refused> {
        let volume = Arc::clone(&self.lane(name)?.volume);
        let done = spawn_blocking(move || volume.get().and_then(|volume| look(&volume))).await;
        done.map_err(|_| Refused::Stopping)?.map_err(Refused::from)
    }

    /// There is something new in the trash.
    pub fn reclaim(&self, name: &str) {
        if let Some(lane) = self.lanes.get(name) {
            lane.reclaimer.wake();
        }
    }

    fn lane(&self, name: &str) -> Result<&Lane, Refused> {
        self.lanes
            .get(name)
            .ok_or_else(|| Refused::VolumeUnknown(name.to_owned()))
    }

    fn is_running(&self, operation: Uuid) -> bool {
        matches!(self.slots().get(operation), Some(Slot::Running(_)))
    }

    /// From a task's start to its end.
    async fn supervise(self: Arc<Self>, operation: Uuid, running: Arc<Running>) {
        let name = running.spec.volume.clone();
        let end = match self.lane(&name) {
            Ok(lane) => {
                let turns = Arc::clone(&lane.turns);
                let turn = tokio::select! {
                    // Somebody waits for an empty tree, and it takes no time: it never queues behind long work.
                    () = std::future::ready(()), if running.spec.work.is_quick() => None,
                    turn = turns.acquire_owned() => turn.ok(),
                    // Its end still has to be made of what it has left in an earlier life.
                    () = running.stop.cancelled() => None,
                };
                let (volume, epochs, task) = (
                    Arc::clone(&lane.volume),
                    Arc::clone(&self.epochs),
                    Arc::clone(&running),
                );
                let done =
                    spawn_blocking(move || work_off(&volume, operation, &task, &epochs)).await;
                drop(turn);
                done.unwrap_or_else(|panic| {
                    tracing::error!(%operation, %panic, "a task has panicked");
                    failed(
                        &running,
                        Failure::passing(
                            FailureKind::Internal,
                            "internal error; the log says more",
                        ),
                    )
                })
            }
            Err(_) => End::Suspended,
        };
        tracing::info!(%operation, volume = name, work = ?running.spec.work, ?end, "task ended");
        {
            let mut slots = self.slots();
            match &end {
                End::Outcome(outcome) => {
                    slots.end(operation, Some(running.spec.clone()), outcome.clone())
                }
                End::ArgumentsDiffer | End::Suspended => slots.restore(operation, None),
            }
        }
        self.reclaim(&name);
        running.end.send_replace(Some(end));
    }
}

/// Works a task off on the current thread.
fn work_off(volume: &Volume, operation: Uuid, running: &Running, epochs: &Epochs) -> End {
    let open = match volume.get() {
        Ok(open) => open,
        Err(error) => return failed(running, error.into()),
    };
    let interrupted = match running.phase.stopping() {
        Some(stop) => Interrupted::Stopped(stop),
        None => match perform(&open, operation, running, epochs) {
            Ok(progress) => {
                return End::Outcome(Outcome {
                    progress,
                    failure: None,
                });
            }
            Err(interrupted) => interrupted,
        },
    };
    match interrupted {
        Interrupted::ArgumentsDiffer => End::ArgumentsDiffer,
        Interrupted::Stopped(Stop::Suspend) => End::Suspended,
        Interrupted::Stopped(Stop::Cancel) => match discard(&open, operation) {
            Ok(()) => failed(running, Failure::cancelled()),
            Err(error) => failed(running, error.into()),
        },
        Interrupted::Failed(failure) => match (failure.kind, volume.get()) {
            // What looks like an I/O error may be the volume that went away.
            (FailureKind::IoError, Err(gone)) => failed(running, gone.into()),
            _ => failed(running, failure),
        },
    }
}

fn failed(running: &Running, failure: Failure) -> End {
    End::Outcome(Outcome {
        progress: running.control.progress(),
        failure: Some(failure),
    })
}
