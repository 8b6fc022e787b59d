//! The uploads of this process, by volume: read when a volume is first asked after each opening.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
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
    /// They were read before in this life: at an earlier opening of the volume.
    was_read: AtomicBool,
    /// Locked while the volume is read, which whoever asks for an upload has to wait for.
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    /// Of which opening of the volume this is.
    opening: Option<u64>,
    of: HashMap<Uuid, OfVFolder>,
}

/// Those of one vfolder.
#[derive(Debug, Default)]
struct OfVFolder {
    uploads: HashMap<Uuid, Arc<Live>>,
    /// How many are not committed.
    places: Arc<AtomicUsize>,
    /// Gone, but for what they may have left in the tree.
    left: Vec<Arc<Live>>,
}

/// A vfolder, and its uploads.
pub type Uploaded = (Uuid, Vec<Arc<Live>>);

/// A place among the uploads of a vfolder that are not committed. Dropped, it is free.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(places: &Arc<AtomicUsize>) -> Self {
        places.fetch_add(1, Relaxed);
        Self(Arc::clone(places))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Read {
    fn find(&self, vfolder: Uuid, id: Uuid) -> Option<Arc<Live>> {
        self.of.get(&vfolder)?.uploads.get(&id).cloned()
    }

    fn put(&mut self, live: Arc<Live>) {
        let of = self.of.entry(live.vfolder).or_default();
        {
            let mut state = live.lock();
            if !matches!(state.phase, Phase::Committed(_) | Phase::Gone) {
                state.place = Some(Place::take(&of.places));
            }
        }
        of.uploads.insert(live.id, live);
    }
}

impl Uploads {
    fn shelf(&self, volume: &str) -> Arc<Shelf> {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = shelves.entry(volume.to_owned()).or_insert_with(|| {
            Arc::new(Shelf {
                syncs: Arc::new(Semaphore::new(SYNCS)),
                was_read: AtomicBool::new(false),
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
        work: impl FnOnce(&mut Read) -> T,
    ) -> Result<T, Refusal> {
        let shelf = self.shelf(&volume.description().name);
        let mut read = shelf.lock();
        if read.opening != Some(volume.opening()) {
            // In between, the volume may have been somebody else's.
            let before = std::mem::take(&mut read.of);
            let before = before.into_values().flat_map(|of| of.uploads.into_values());
            // Given back when those that are still there have set it aside again: in between, it is nobody else's.
            let given_back: Vec<_> = before
                .map(|live| {
                    let mut state = live.lock();
                    state.phase = Phase::Gone;
                    state.place = None;
                    state.reservation.take()
                })
                .collect();
            let again = shelf.was_read.load(Relaxed);
            read.opening = None;
            for live in recover::all(volume, accounts, again)? {
                read.put(live);
            }
            drop(given_back);
            shelf.was_read.store(true, Relaxed);
            read.opening = Some(volume.opening());
        }
        Ok(work(&mut read))
    }

    /// Sees to it that what the uploads of a volume have set aside is known.
    ///
    /// # Errors
    /// Those of the volume.
    pub fn know(&self, volume: &OpenVolume, accounts: &Accounts) -> Result<(), Refusal> {
        self.with(volume, accounts, |_| ())
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
        let found = self.with(volume, accounts, |read| read.find(vfolder, id))?;
        let is_there = |live: &Arc<Live>| {
            let state = live.lock();
            !state.record.passing
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
        self.with(volume, accounts, |read| {
            let of = read.of.entry(live.vfolder).or_default();
            if of.places.load(Relaxed) >= MOST {
                let text = format!(
                    "the vfolder has {MOST} uploads that are neither committed nor given up; end some first"
                );
                return Err(refused::too_many(live.id, text));
            }
            read.put(Arc::clone(live));
            Ok(())
        })?
    }

    /// Takes one off, which is gone.
    pub fn drop_gone(&self, live: &Live) {
        let shelf = self.shelf(&live.volume);
        let mut read = shelf.lock();
        let Some(of) = read.of.get_mut(&live.vfolder) else {
            return;
        };
        let same = |found: &Arc<Live>| std::ptr::eq(&raw const **found, live);
        if of.uploads.get(&live.id).is_some_and(same) {
            of.uploads.remove(&live.id);
        }
        of.left.retain(|left| !same(left));
        if of.uploads.is_empty() && of.left.is_empty() {
            read.of.remove(&live.vfolder);
        }
    }

    /// It is gone, but for what it may have left in its tree.
    pub fn leave(&self, live: &Arc<Live>) {
        let shelf = self.shelf(&live.volume);
        let mut read = shelf.lock();
        if let Some(of) = read.of.get_mut(&live.vfolder)
            && !of.left.iter().any(|left| left.id == live.id)
        {
            of.left.push(Arc::clone(live));
        }
    }

    /// Those that may have left something in the tree of `vfolder`, for whoever clears it away.
    pub fn take_left(&self, volume: &OpenVolume, vfolder: Uuid) -> Vec<Arc<Live>> {
        let shelf = self.shelf(&volume.description().name);
        let mut read = shelf.lock();
        let of = read.of.get_mut(&vfolder);
        of.map(|of| std::mem::take(&mut of.left))
            .unwrap_or_default()
    }

    /// All of a volume, by vfolder.
    ///
    /// # Errors
    /// Those of the volume.
    pub fn all(&self, volume: &OpenVolume, accounts: &Accounts) -> Result<Vec<Uploaded>, Refusal> {
        self.with(volume, accounts, |read| {
            let of = read.of.iter();
            of.map(|(vfolder, of)| (*vfolder, of.uploads.values().map(Arc::clone).collect()))
                .collect()
        })
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
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
