//! One upload, as this process knows it.
//!
//! Three locks, always taken in this order: `noting` by whoever writes upload.json or makes the bytes durable, the log's by
//! whoever notes what has arrived, and the state's, for moments, by everybody.

use std::{
    ops::Range,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use rustix::io::Errno;
use uuid::Uuid;
use vfolder_common::error::Refusal;

use super::{
    refused::{self, busy, failed},
    shelf::Place,
};
use crate::{
    account::Reservation,
    refuse,
    tree::RelativePath,
    volume::{Arrivals, Committed, LandedFile, OpenVolume, RangeSet, UploadFolder, UploadRecord},
};

/// How long it is remembered at most that an upload was committed, for whoever did not hear of it and asks again.
const REMEMBERED: Duration = Duration::from_secs(3600);
const NO_LOG: u64 = u64::MAX;

/// An upload. Holds nothing open; see [`Live::store`].
#[derive(Debug)]
pub struct Live {
    pub id: Uuid,
    pub vfolder: Uuid,
    pub volume: String,
    /// Of which opening of the volume it was read.
    pub opening: u64,
    state: Mutex<State>,
    noting: Mutex<()>,
    /// Of the log; [`NO_LOG`] where it was not begun in this life.
    pub(super) records: AtomicU64,
    store: Mutex<Weak<Store>>,
}

/// Where an upload stands.
#[derive(Clone, Debug)]
pub enum Phase {
    /// It takes bytes.
    Open,
    /// It is being committed or given up.
    Ending,
    /// It is in the tree, and nobody knows whether it would be after a power cut: its commit has not succeeded yet.
    Landed(LandedFile),
    /// It is in the tree, durably.
    Committed(Committed),
    /// It is no more.
    Gone,
}

#[derive(Debug)]
pub struct State {
    /// As on disk.
    pub record: UploadRecord,
    pub arrived: RangeSet,
    pub phase: Phase,
    pub writers: Vec<Writer>,
    /// Bytes that have arrived since the last sync.
    pub unsynced: u64,
    /// Some that were durable have been written again since the last sync.
    pub rewritten: bool,
    /// How many syncs have failed: what was written before one of them and noted after it does not count.
    pub losses: u64,
    /// The size, while it is being noted.
    pub announcing: Option<u64>,
    /// Milliseconds since 1970.
    pub last_written: u64,
    /// Nothing once it is in the tree.
    pub reservation: Option<Reservation>,
    pub reserved: u64,
    /// Among those of its vfolder that are not committed.
    pub place: Option<Place>,
    /// Of one that is passing: somebody still has it.
    pub held: bool,
}

/// Somebody who writes: what is from `begin` to before `end` is written by them, or is being written.
#[derive(Clone, Debug)]
pub struct Writer {
    pub number: u64,
    pub begin: u64,
    pub end: u64,
    /// Being written, at this moment; else more of it is waited for.
    pub at_work: bool,
}

/// The files of an upload, open.
#[derive(Debug)]
pub struct Store {
    pub folder: UploadFolder,
    pub data: OwnedFd,
    /// None where nothing has to survive the process.
    pub(super) log: Option<Mutex<Arrivals>>,
}

impl Live {
    pub fn new(
        (volume, opening): (String, u64),
        vfolder: Uuid,
        id: Uuid,
        state: State,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            vfolder,
            volume,
            opening,
            state: Mutex::new(state),
            noting: Mutex::default(),
            records: AtomicU64::new(NO_LOG),
            store: Mutex::default(),
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to write upload.json.
    pub fn noting(&self) -> MutexGuard<'_, ()> {
        self.noting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn path(&self) -> RelativePath {
        let path = RelativePath::parse(&self.lock().record.path);
        // It parsed when it was written.
        path.unwrap_or_else(|_| RelativePath::root())
    }

    /// The files, which stay open for as long as somebody has them.
    pub fn store(&self, volume: &OpenVolume) -> Result<Arc<Store>, Refusal> {
        let mut slot = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = slot.upgrade() {
            return Ok(store);
        }
        let folder = volume.upload(self.vfolder, self.id);
        let folder = folder.map_err(|error| refuse::by_volume(&error))?;
        let folder = folder.ok_or_else(|| refused::not_found(self.id))?;
        let opened = self
            .open(folder)
            .map_err(|errno| failed(self, "open", errno))?;
        let store = Arc::new(opened);
        *slot = Arc::downgrade(&store);
        Ok(store)
    }

    fn open(&self, folder: UploadFolder) -> Result<Store, Errno> {
        let data = folder.data(false)?;
        let (passing, arrived) = {
            let state = self.lock();
            (state.record.passing, state.arrived.clone())
        };
        let log = match self.records.load(Relaxed) {
            _ if passing => None,
            NO_LOG => Some(Arrivals::begin(&folder, &arrived)?),
            records => Some(Arrivals::go_on(&folder, records)?),
        };
        if let Some(log) = &log {
            self.records.store(log.records(), Relaxed);
        }
        let log = log.map(Mutex::new);
        Ok(Store { folder, data, log })
    }
}

impl State {
    /// One that is open, and of which so much has arrived.
    pub fn open(record: UploadRecord, arrived: RangeSet, last_written: u64) -> Self {
        Self {
            reserved: record.size.unwrap_or_else(|| arrived.end()),
            unsynced: arrived.count(),
            arrived,
            phase: Phase::Open,
            writers: Vec::new(),
            rewritten: false,
            losses: 0,
            announcing: None,
            last_written,
            reservation: None,
            place: None,
            held: false,
            record,
        }
    }

    /// How large it is to be, where that is known: nobody writes beyond it.
    pub fn size(&self) -> Option<u64> {
        self.record.size.or(self.announcing)
    }

    /// Takes bytes.
    pub fn check_open(&self, id: Uuid) -> Result<(), Refusal> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Ending => Err(busy(id, "the upload is being committed")),
            Phase::Landed(_) => Err(refused::landed(id)),
            Phase::Committed(_) => Err(refused::committed(id)),
            Phase::Gone => Err(refused::not_found(id)),
        }
    }

    /// Whether another writer than `number` has written there, and may still be at it.
    pub fn is_taken(&self, number: u64, range: &Range<u64>) -> bool {
        let mut others = self.writers.iter().filter(|w| w.number != number);
        others.any(|w| range.start < w.end && w.begin < range.end)
    }

    /// When it expires; milliseconds since 1970.
    pub fn expires(&self, after: Duration) -> u64 {
        let (since, after) = match &self.phase {
            Phase::Committed(committed) => (committed.at, after.min(REMEMBERED)),
            _ => (self.last_written, after),
        };
        since.saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// How many bytes these are.
pub fn total(data: &[Bytes]) -> u64 {
    data.iter().map(|piece| piece.len() as u64).sum()
}
