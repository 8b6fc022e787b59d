//! What each volume has for itself, so that one that hangs doesn't hold up the others: threads, turns and locks.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use uuid::Uuid;

use super::{
    Fences, Refused, activity::Activity, rates::Rates, reclaim::Reclaimer, rest::Rest,
    verdicts::Verdicts,
};
use crate::{
    account::{Accounts, IDLE, UNHEARD},
    volume::{OpenVolume, Volume, VolumeError},
};

/// Threads at most that look at one volume at once, tasks at work not counted.
pub const LOOKS: usize = 32;
/// Of those, threads at most that walk through trees, which may take long.
const WALKS: usize = 16;
/// Threads at most that raise fences of one volume: others than those, which may all be held by whoever is to be cut off.
pub const FENCES: usize = 8;
/// Archives at most that are made of one volume's files at once, each by a thread of its own.
pub const ARCHIVES: usize = 16;

/// A volume and how many tasks may work on it at once.
#[derive(Debug)]
pub struct VolumeConfig {
    /// The volume.
    pub volume: Arc<Volume>,
    /// How many tasks at once copy.
    pub max_tasks: usize,
    /// How much of the time the reclaimer works while others do, in percent, from 1 to 100.
    pub reclaim_duty: u8,
}

/// What must be remembered of a volume's trees and tasks, and is on the volume as soon as that is possible.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub fences: Arc<Fences>,
    pub verdicts: Arc<Verdicts>,
    pub accounts: Arc<Accounts>,
    /// Only remembered.
    pub rates: Arc<Rates>,
}

impl Default for Ledger {
    fn default() -> Self {
        let accounts = Arc::<Accounts>::default();
        Self {
            fences: Arc::new(Fences::new(Arc::clone(&accounts))),
            verdicts: Arc::default(),
            accounts,
            rates: Arc::default(),
        }
    }
}

impl Ledger {
    /// Writes what there was no space for before.
    pub fn note_rest(&self, volume: &OpenVolume) {
        self.fences.note_rest(volume);
        self.verdicts.note_rest(volume);
    }

    /// Writes the figures of trees that nobody changes any more, and forgets those that no figures are needed of.
    pub fn rest(&self, volume: &OpenVolume) {
        self.close_accounts(volume, IDLE);
        self.accounts.forget_unheard(UNHEARD);
    }

    /// Writes the figures of trees that nobody has changed for so long.
    pub fn close_accounts(&self, volume: &OpenVolume, idle: Duration) {
        if let Err(error) = self.accounts.rest(volume, idle) {
            tracing::warn!(%error, "can't note what is in the trees; it will be counted after a restart");
        }
    }
}

#[derive(Debug)]
pub(super) struct Lane {
    pub volume: Arc<Volume>,
    /// Held while what is on disk of a task that doesn't run is looked at and removed.
    pub sweeping: Mutex<()>,
    pub ledger: Ledger,
    pub reclaimer: Reclaimer,
    pub rest: Rest,
    pub activity: Arc<Activity>,
    /// For those who make archives of files while somebody reads them.
    pub archives: Arc<Semaphore>,
    copies: Arc<Semaphore>,
    removals: Arc<Semaphore>,
    looks: Arc<Semaphore>,
    walks: Arc<Semaphore>,
    fences: Arc<Semaphore>,
}

/// What takes long, and so takes turns: each kind with its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Long {
    /// Copying a tree, or what is like it: unpacking, reading all of it.
    Copy,
    /// Removing within a tree, which gives back what copies may be waiting for.
    Remove,
}

impl Lane {
    pub fn new(config: VolumeConfig, busy: impl Fn(Uuid) -> bool + Send + Sync + 'static) -> Self {
        let VolumeConfig {
            volume,
            max_tasks,
            reclaim_duty,
        } = config;
        let turns = || Arc::new(Semaphore::new(max_tasks.clamp(1, Semaphore::MAX_PERMITS)));
        let (ledger, activity) = (Ledger::default(), Arc::<Activity>::default());
        Self {
            reclaimer: Reclaimer::start(
                Arc::clone(&volume),
                ledger.clone(),
                Arc::clone(&activity),
                reclaim_duty,
                busy,
            ),
            rest: Rest::start(Arc::clone(&volume), ledger.clone()),
            activity,
            volume,
            ledger,
            sweeping: Mutex::default(),
            archives: Arc::new(Semaphore::new(ARCHIVES)),
            copies: turns(),
            removals: turns(),
            looks: Arc::new(Semaphore::new(LOOKS)),
            walks: Arc::new(Semaphore::new(WALKS)),
            fences: Arc::new(Semaphore::new(FENCES)),
        }
    }

    /// Waits for a turn; nothing only when the process ends.
    pub async fn turn(&self, long: Long) -> Option<OwnedSemaphorePermit> {
        let turns = match long {
            Long::Copy => &self.copies,
            Long::Remove => &self.removals,
        };
        Arc::clone(turns).acquire_owned().await.ok()
    }

    /// Runs `look` on a thread that may block; waits while too many of this volume's do.
    ///
    /// # Errors
    /// [`Refused::Internal`] if it panicked.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Volume) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        self.by_one_of(&self.looks, look).await
    }

    /// As [`Lane::look`], of the threads that are for fences.
    ///
    /// # Errors
    /// As [`Lane::look`].
    pub async fn fence<T: Send + 'static>(
        &self,
        raise: impl FnOnce(&Volume) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        self.by_one_of(&self.fences, raise).await
    }

    /// A turn to walk through a tree, on one of the threads of [`Lane::look`]; nothing only when the process ends.
    pub async fn walk_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.walks).acquire_owned().await.ok()
    }

    async fn by_one_of<T: Send + 'static>(
        &self,
        threads: &Arc<Semaphore>,
        work: impl FnOnce(&Volume) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let permit = Arc::clone(threads).acquire_owned().await.ok();
        self.work(move |volume| {
            // Given back by the thread: whoever asked may have gone away by then.
            let _permit = permit;
            work(volume)
        })
        .await
    }

    /// Runs `work`, for which there is a turn, on a thread that may block.
    ///
    /// # Errors
    /// [`Refused::Internal`] if it panicked.
    pub async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Volume) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let volume = Arc::clone(&self.volume);
        let done = spawn_blocking(move || work(&volume)).await;
        done.map_err(|panic| {
            tracing::error!(volume = self.volume.name(), %panic, "work on a volume has panicked");
            Refused::Internal
        })
    }

    /// As [`Lane::look`], with the volume as it is now.
    ///
    /// # Errors
    /// What `look` refuses, [`Refused::Volume`], [`Refused::Internal`].
    pub async fn on_volume<
        T: Send + 'static,
        E: From<VolumeError> + Into<Refused> + Send + 'static,
    >(
        &self,
        look: impl FnOnce(&OpenVolume) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Refused> {
        let looked = self.look(|volume| look(&*volume.get()?)).await?;
        looked.map_err(Into::into)
    }
}
