//! The uploads of this process, by volume: read when a volume is first asked after each opening.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::Semaphore, task::spawn_blocking};
use uuid::Uuid;
use vfolder_common::error::Refusal;

use super::{
    live::{Live, Phase, now},
    recover, refused,
};
use crate::{
    account::Accounts,
    file::{Files, Limits},
    volume::OpenVolume,
};

/// Threads at most that wait until the bytes of uploads to one volume are durable, or copy them: they take none from
/// those who look at it.
pub const SYNCS: usize = 8;
/// The most uploads of one vfolder that are not committed.
const MOST: usize = 10_000;

/// The uploads of this process.
#[derive(Debug, Default)]
pub struct Uploads(Mutex<HashMap<String, Arc<Shelf>>>);

/// Those of one volume.
#[derive(Debug)]
struct Shelf {
    syncs: Arc<Semaphore>,
    /// Locked while the volume is read, which whoever asks for an upload has to wait for.
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    /// Of which opening of the volume this is.
    opening: Option<u64>,
    uploads: HashMap<Uuid, Arc<Live>>,
}

impl Uploads {
    fn shelf(&self, volume: &str) -> Arc<Shelf> {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = shelves.entry(volume.to_owned()).or_insert_with(|| {
            Arc::new(Shelf {
                syncs: Arc::new(Semaphore::new(SYNCS)),
                read: Mutex::default(),
            })
        });
        Arc::clone(shelf)
    }

    /// The uploads of a volume, to look at or to change. Blocks, the first time for as long as it takes to read them.
    fn with<T>(
        &self,
        volume: &OpenVolume,
        accounts: &Accounts,
        work: impl FnOnce(&mut HashMap<Uuid, Arc<Live>>) -> T,
    ) -> Result<T, Refusal> {
        let shelf = self.shelf(&volume.description().name);
        let mut read = shelf.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.opening != Some(volume.opening()) {
            // In between, the volume may have been somebody else's.
            for (_, live) in read.uploads.drain() {
                let mut state = live.lock();
                state.phase = Phase::Gone;
                state.reservation = None;
            }
            read.opening = None;
            read.uploads = recover::all(volume, accounts)?;
            read.opening = Some(volume.opening());
        }
        Ok(work(&mut read.uploads))
    }

    /// The upload `id` of `vfolder`.
    ///
    /// # Errors
    /// UPLOAD_NOT_FOUND, those of the volume.
    pub fn find(
        &self,
        volume: &OpenVolume,
        accounts: &Accounts,
        limits: Limits,
        (vfolder, id): (Uuid, Uuid),
    ) -> Result<Arc<Live>, Refusal> {
        let found = self.with(volume, accounts, |uploads| uploads.get(&id).cloned())?;
        let is_there = |live: &Arc<Live>| {
            let state = live.lock();
            live.vfolder == vfolder
                && !state.record.passing
                && !matches!(state.phase, Phase::Gone)
                && (!state.writers.is_empty() || state.expires(limits.upload_expiry) > now())
        };
        found.filter(is_there).ok_or_else(|| refused::not_found(id))
    }

    /// Adds a new one.
    ///
    /// # Errors
    /// COUNT_EXCEEDED, those of the volume.
    pub fn add(
        &self,
        volume: &OpenVolume,
        accounts: &Accounts,
        live: &Arc<Live>,
    ) -> Result<(), Refusal> {
        self.with(volume, accounts, |uploads| {
            let of_vfolder = uploads.values().filter(|one| {
                one.vfolder == live.vfolder && !matches!(one.lock().phase, Phase::Committed(_))
            });
            if of_vfolder.count() >= MOST {
                let text = format!(
                    "the vfolder has {MOST} uploads that are neither committed nor given up; end some first"
                );
                return Err(refused::too_many(live.id, text));
            }
            uploads.insert(live.id, Arc::clone(live));
            Ok(())
        })?
    }

    /// Takes one off, which is gone.
    pub fn drop_gone(&self, live: &Live) {
        let shelf = self.shelf(&live.volume);
        let mut read = shelf.read.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |found: &Arc<Live>| std::ptr::eq(&raw const **found, live);
        if read.uploads.get(&live.id).is_some_and(same) {
            read.uploads.remove(&live.id);
        }
    }

    /// All of a volume.
    ///
    /// # Errors
    /// Those of the volume.
    pub fn all(&self, volume: &OpenVolume, accounts: &Accounts) -> Result<Vec<Arc<Live>>, Refusal> {
        self.with(volume, accounts, |uploads| {
            uploads.values().map(Arc::clone).collect()
        })
    }
}

impl Files {
    /// Runs what may take long and changes no tree, like a sync, on a thread of the few that each volume has for that.
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        volume: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let syncs = Arc::clone(&self.uploads().shelf(volume).syncs);
        let permit = syncs.acquire_owned().await.ok();
        let done = spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|panic| Refusal::internal(&panic))
    }
}
