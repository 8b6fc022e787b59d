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
use rustix::{
    fs::fdatasync,
    io::{Errno, pwrite},
};
use uuid::Uuid;
use vfolder_common::error::Refusal;

use super::refused::{self, busy, failed};
use crate::{
    account::{Amount, Reservation},
    faults::pass,
    refuse,
    tree::RelativePath,
    volume::{Arrivals, Committed, OpenVolume, RangeSet, UploadFolder, UploadRecord},
};

/// How long it is remembered at most that an upload was committed, for whoever did not hear of it and asks again.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// The log was not begun in this life.
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
    records: AtomicU64,
    store: Mutex<Weak<Store>>,
}

/// Where an upload stands.
#[derive(Clone, Debug)]
pub enum Phase {
    /// It takes bytes.
    Open,
    /// It is being committed or given up.
    Ending,
    /// It is in the tree.
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
    /// Milliseconds since 1970.
    pub last_written: u64,
    /// Nothing once it is in the tree.
    pub reservation: Option<Reservation>,
    pub reserved: u64,
    /// Of one that is passing: somebody still has it.
    pub held: bool,
}

/// Somebody who writes: what is from `begin` to before `end` is written by them, or is being written.
#[derive(Clone, Debug)]
pub struct Writer {
    pub number: u64,
    pub begin: u64,
    pub end: u64,
}

/// The files of an upload, open.
#[derive(Debug)]
pub struct Store {
    pub folder: UploadFolder,
    pub data: OwnedFd,
    /// None where nothing has to survive the process.
    log: Option<Mutex<Arrivals>>,
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

    /// Writes the pieces of `data` one after the other from `at` on, for the writer of that number. Blocks.
    pub fn write(
        &self,
        store: &Store,
        number: u64,
        at: u64,
        data: &[Bytes],
    ) -> Result<(), Refusal> {
        let range = at..at.saturating_add(total(data));
        self.admit(number, &range)?;
        let (written, error) = write_at(&store.data, data, at);
        pass("upload.written");
        // What is there is there, also when the rest has no room.
        let noted = self.note(store, at..at + written);
        noted.map_err(|errno| failed(self, "write", errno))?;
        error.map_or(Ok(()), |errno| Err(failed(self, "write", errno)))
    }

    /// As [`Live::write`], but what is written does not count until [`Live::count`] says so. Blocks.
    pub fn write_uncounted(
        &self,
        store: &Store,
        number: u64,
        at: u64,
        data: &[Bytes],
    ) -> Result<(), Refusal> {
        let range = at..at.saturating_add(total(data));
        self.admit(number, &range)?;
        let counted = |one: &Range<u64>| one.start < range.end && range.start < one.end;
        if self.lock().arrived.iter().any(counted) {
            return Err(Refusal::field(
                "offset",
                "some of what follows has arrived already; bytes with a checksum go where there are none yet",
            ));
        }
        let (_, error) = write_at(&store.data, data, at);
        error.map_or(Ok(()), |errno| Err(failed(self, "write", errno)))
    }

    /// What was written there has arrived. Blocks.
    pub fn count(&self, store: &Store, range: Range<u64>) -> Result<(), Refusal> {
        self.lock().check_open(self.id)?;
        self.note(store, range)
            .map_err(|errno| failed(self, "write", errno))
    }

    fn admit(&self, number: u64, range: &Range<u64>) -> Result<(), Refusal> {
        let mut state = self.lock();
        state.check_open(self.id)?;
        if i64::try_from(range.end).is_err() {
            return Err(Refusal::field(
                "offset",
                "leads beyond what a file can have",
            ));
        }
        if let Some(size) = state.record.size.filter(|size| range.end > *size) {
            let text = format!(
                "the upload was announced with {size} bytes; these would lead to {}",
                range.end
            );
            return Err(Refusal::field("data", text));
        }
        if state.is_taken(number, range) {
            return Err(busy(
                self.id,
                "somebody else writes this part of the upload",
            ));
        }
        if !state.arrived.has_room_for(range) {
            let text = crate::volume::TooManyRanges.to_string();
            return Err(refused::too_many(self.id, text));
        }
        state.reserve_up_to(range.end)?;
        if let Some(writer) = state.writers.iter_mut().find(|w| w.number == number) {
            writer.end = range.end;
        }
        Ok(())
    }

    fn note(&self, store: &Store, range: Range<u64>) -> Result<(), Errno> {
        if range.is_empty() {
            return Ok(());
        }
        let mut log = store
            .log
            .as_ref()
            .map(|log| log.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(log) = &mut log {
            if log.is_long() {
                let arrived = self.lock().arrived.clone();
                **log = Arrivals::begin(&store.folder, &arrived)?;
            }
            log.append(&range)?;
            pass("upload.noted");
            self.records.store(log.records(), Relaxed);
        }
        let mut state = self.lock();
        // Looked at before it was written; and if others have filled the set meanwhile, it is to be sent again.
        let _ = state.arrived.insert(range.clone());
        state.unsynced += range.end - range.start;
        state.last_written = now();
        Ok(())
    }

    /// Makes durable what has arrived, and notes that. Blocks, for as long as the disk takes.
    pub fn checkpoint(&self, store: &Store) -> Result<(), Refusal> {
        let _noting = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut record, unsynced) = {
            let mut state = self.lock();
            let mut record = state.record.clone();
            record.durable = state.arrived.clone();
            (record, std::mem::take(&mut state.unsynced))
        };
        if unsynced == 0 {
            return Ok(());
        }
        if let Err(errno) = fdatasync(&store.data) {
            self.forget_unsynced(store);
            return Err(failed(self, "fdatasync", errno));
        }
        pass("upload.synced");
        // Others may have changed the rest of it only while they had `noting`.
        record
            .write(&store.folder)
            .map_err(|errno| failed(self, "write", errno))?;
        let mut state = self.lock();
        std::mem::swap(&mut state.record, &mut record);
        Ok(())
    }

    /// After a failed sync nobody knows what of the unsynced bytes is still there, and the next sync would not tell.
    fn forget_unsynced(&self, store: &Store) {
        let log = store.log.as_ref();
        let mut log = log.map(|log| log.lock().unwrap_or_else(PoisonError::into_inner));
        let durable = {
            let mut state = self.lock();
            state.arrived = state.record.durable.clone();
            state.arrived.clone()
        };
        if let Some(log) = &mut log {
            match Arrivals::begin(&store.folder, &durable) {
                Ok(new) => {
                    self.records.store(new.records(), Relaxed);
                    **log = new;
                }
                Err(error) => {
                    tracing::error!(upload = %self.id, %error, "can't note that bytes of an upload are lost; it is given up");
                    self.lock().phase = Phase::Gone;
                }
            }
        }
    }

    /// Changes the record, on disk and then here. Blocks.
    pub fn change_record(
        &self,
        folder: &UploadFolder,
        change: impl FnOnce(&mut UploadRecord),
    ) -> Result<(), Errno> {
        let _noting = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = self.lock().record.clone();
        change(&mut record);
        record.write(folder)?;
        self.lock().record = record;
        Ok(())
    }
}

impl State {
    /// Takes bytes.
    pub fn check_open(&self, id: Uuid) -> Result<(), Refusal> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Ending => Err(busy(id, "the upload is being committed")),
            Phase::Committed(_) => Err(refused::committed(id)),
            Phase::Gone => Err(refused::not_found(id)),
        }
    }

    /// Whether another writer than `number` has written there, and may still be at it.
    pub fn is_taken(&self, number: u64, range: &Range<u64>) -> bool {
        let mut others = self.writers.iter().filter(|w| w.number != number);
        others.any(|w| range.start < w.end && w.begin < range.end)
    }

    fn reserve_up_to(&mut self, end: u64) -> Result<(), Refusal> {
        let more = end.saturating_sub(self.reserved);
        if more == 0 || self.record.size.is_some() {
            return Ok(());
        }
        if let Some(reservation) = &mut self.reservation {
            let bytes = more;
            reservation.grow(Amount { bytes, files: 0 })?;
        }
        self.reserved = end;
        Ok(())
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

/// How much was written, and what kept the rest from it.
fn write_at(file: &OwnedFd, data: &[Bytes], at: u64) -> (u64, Option<Errno>) {
    let mut written = 0;
    for piece in data {
        let mut rest = &piece[..];
        while !rest.is_empty() {
            match pwrite(file, rest, at + written) {
                Ok(0) => return (written, Some(Errno::IO)),
                Ok(count) => {
                    written += count as u64;
                    rest = &rest[count..];
                }
                Err(Errno::INTR) => {}
                Err(errno) => return (written, Some(errno)),
            }
        }
    }
    (written, None)
}
