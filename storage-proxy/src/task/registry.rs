//! The tasks of this process: those that run, and how the others ended.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use thiserror::Error;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};
use uuid::Uuid;

use super::{
    Attachment, End, Fences, Pending, RaiseError, TaskSpec, VolumeConfig,
    lane::Lane,
    running::Running,
    slots::{Slot, Slots},
};
use crate::{
    account::Accounts,
    backend::Method,
    faults::pass,
    volume::{Fence, OpenVolume, Volume, VolumeError},
};

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
    /// It is being decided what became of the task.
    #[error("the task is being cancelled or forgotten at this moment; ask again")]
    Deciding,
    /// A fault of ours.
    #[error("internal error; the log says more")]
    Internal,
    /// The volume can't be used.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Somebody is still at work in the tree.
    #[error(transparent)]
    Occupied(RaiseError),
}

impl From<RaiseError> for Refused {
    fn from(error: RaiseError) -> Self {
        match error {
            RaiseError::Volume(error) => Self::Volume(error),
            RaiseError::Occupied(_) => Self::Occupied(error),
        }
    }
}

/// The tasks of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tasks(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    lanes: HashMap<String, Lane>,
    slots: Mutex<Slots>,
    stopping: AtomicBool,
}

impl Tasks {
    /// How long a clone of so many entries and bytes will take on a volume.
    ///
    /// # Errors
    /// [`Refused::VolumeUnknown`].
    pub fn clone_estimate(
        &self,
        volume: &str,
        method: Method,
        entries: u64,
        bytes: u64,
    ) -> Result<Duration, Refused> {
        let rates = &self.0.lane(volume)?.ledger.rates;
        Ok(rates.estimate(method, entries, bytes))
    }

    /// Begins to reclaim what is in the volumes' trash, and waits for tasks.
    #[must_use]
    pub fn new(volumes: Vec<VolumeConfig>) -> Self {
        Self(Arc::new_cyclic(|tasks: &Weak<Inner>| {
            let lane = |config: VolumeConfig| {
                let tasks = tasks.clone();
                let busy = move |operation| {
                    let tasks = tasks.upgrade();
                    tasks.is_some_and(|tasks| tasks.running(operation).is_some())
                };
                (config.volume.name().to_owned(), Lane::new(config, busy))
            };
            Inner {
                lanes: volumes.into_iter().map(lane).collect(),
                slots: Mutex::default(),
                stopping: AtomicBool::new(false),
            }
        }))
    }

    /// The volumes, by name.
    pub fn volumes(&self) -> impl Iterator<Item = &Arc<Volume>> {
        self.0.lanes.values().map(|lane| &lane.volume)
    }

    /// Who may come into the trees of a volume.
    ///
    /// # Errors
    /// [`Refused::VolumeUnknown`].
    pub fn fences(&self, volume: &str) -> Result<Arc<Fences>, Refused> {
        self.0
            .lane(volume)
            .map(|lane| Arc::clone(&lane.ledger.fences))
    }

    /// The quotas of a volume.
    ///
    /// # Errors
    /// [`Refused::VolumeUnknown`].
    pub fn accounts(&self, volume: &str) -> Result<Arc<Accounts>, Refused> {
        self.0
            .lane(volume)
            .map(|lane| Arc::clone(&lane.ledger.accounts))
    }

    /// The turns of those who make archives of a volume's files.
    ///
    /// # Errors
    /// [`Refused::VolumeUnknown`].
    pub fn archives(&self, volume: &str) -> Result<Arc<Semaphore>, Refused> {
        self.0.lane(volume).map(|lane| Arc::clone(&lane.archives))
    }

    /// Raises the fence of `vfolder`: when this answers, nobody older is in its tree or comes in, also after a restart.
    ///
    /// # Errors
    /// [`Refused::Occupied`], [`Refused::VolumeUnknown`], [`Refused::Volume`].
    pub async fn fence(&self, volume: &str, vfolder: Uuid, fence: Fence) -> Result<(), Refused> {
        let lane = self.0.lane(volume)?;
        let fences = Arc::clone(&lane.ledger.fences);
        let raised = lane.fence(move |volume| -> Result<(), RaiseError> {
            fences.raise(&*volume.get()?, vfolder, fence)
        });
        raised.await??;
        pass("fence.answer");
        Ok(())
    }

    /// A turn to walk through a tree of a volume, for whoever does so by [`Tasks::serve`].
    ///
    /// # Errors
    /// [`Refused::VolumeUnknown`].
    pub async fn walk_turn(&self, volume: &str) -> Result<Option<OwnedSemaphorePermit>, Refused> {
        Ok(self.0.lane(volume)?.walk_turn().await)
    }

    /// One volume.
    ///
    /// # Errors
    /// [`Refused::VolumeUnknown`].
    pub fn volume(&self, name: &str) -> Result<&Arc<Volume>, Refused> {
        self.0.lane(name).map(|lane| &lane.volume)
    }

    /// Runs `look` with a volume on a thread that may block. Of each volume there is a limited number: one that hangs
    /// takes none from the others.
    ///
    /// # Errors
    /// [`Refused::VolumeUnknown`], [`Refused::Internal`].
    pub async fn look<T: Send + 'static>(
        &self,
        volume: &str,
        look: impl FnOnce(&Volume) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        self.0.lane(volume)?.look(look).await
    }

    /// As [`Tasks::look`], for somebody who waits: what nobody waits for stands back meanwhile.
    ///
    /// # Errors
    /// As [`Tasks::look`].
    pub async fn serve<T: Send + 'static>(
        &self,
        volume: &str,
        work: impl FnOnce(&Volume) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let lane = self.0.lane(volume)?;
        let at_work = lane.activity.begin();
        lane.look(move |volume| {
            let _at_work = at_work;
            work(volume)
        })
        .await
    }

    /// As [`Tasks::serve`], on a thread beside those: for what takes long, and of which there is one at a time.
    ///
    /// # Errors
    /// As [`Tasks::look`].
    pub async fn count<T: Send + 'static>(
        &self,
        volume: &str,
        count: impl FnOnce(&Volume) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let lane = self.0.lane(volume)?;
        let at_work = lane.activity.begin();
        lane.work(move |volume| {
            let _at_work = at_work;
            count(volume)
        })
        .await
    }

    /// What waits in a volume's trash. Blocks.
    ///
    /// # Errors
    /// [`Refused::VolumeUnknown`], [`Refused::Volume`].
    pub fn pending(&self, volume: &OpenVolume) -> Result<Pending, Refused> {
        let lane = self.0.lane(&volume.description().name)?;
        Ok(lane.reclaimer.pending(volume)?)
    }

    /// Starts a task, or attaches to it if it runs, or tells how it ended. One that failed in a way that may pass is
    /// started anew.
    ///
    /// # Errors
    /// [`Refused::ArgumentsDiffer`], [`Refused::VolumeUnknown`], [`Refused::Stopping`], [`Refused::Deciding`].
    pub fn run(&self, operation: Uuid, spec: TaskSpec) -> Result<Attachment, Refused> {
        self.0.lane(&spec.volume)?;
        let mut slots = self.0.slots();
        match slots.get(operation) {
            Some(Slot::Running(running)) if running.spec == spec => {
                return Ok(Attachment::to(running));
            }
            Some(Slot::Running(_)) => return Err(Refused::ArgumentsDiffer),
            Some(Slot::Deciding) => return Err(Refused::Deciding),
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
        slots.start(operation, Arc::clone(&running));
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
            slots
                .running()
                .inspect(|running| running.suspend())
                .map(|running| running.end.subscribe())
                .collect()
        };
        for lane in self.0.lanes.values() {
            lane.reclaimer.stop();
            lane.rest.stop();
            lane.ledger.accounts.stop();
        }
        let all = async {
            for mut end in ends {
                let _ = end.wait_for(Option::is_some).await;
            }
            // What nobody changes any more need not be counted at the next start.
            for lane in self.0.lanes.values() {
                let ledger = lane.ledger.clone();
                let closed = lane.on_volume(move |volume| {
                    ledger.close_accounts(volume, Duration::ZERO);
                    Ok::<_, VolumeError>(())
                });
                let _ = closed.await;
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

    pub fn lane(&self, name: &str) -> Result<&Lane, Refused> {
        self.lanes
            .get(name)
            .ok_or_else(|| Refused::VolumeUnknown(name.to_owned()))
    }

    pub fn running(&self, operation: Uuid) -> Option<Arc<Running>> {
        match self.slots().get(operation) {
            Some(Slot::Running(running)) => Some(Arc::clone(running)),
            Some(Slot::Deciding | Slot::Ended { .. }) | None => None,
        }
    }
}
