//! What is durable of an upload, and what is to be sent again when it could not be made so.
//!
//! The kernel tells of a failed write-back once, to the next sync, and keeps the pages as if they were on the disk. So what
//! was not synced before counts as not arrived from then on: sent again, it is written again.

use std::sync::{MutexGuard, PoisonError, atomic::Ordering::Relaxed};

use rustix::{
    fs::{fdatasync, fstat, fsync, ftruncate},
    io::Errno,
};
use vfolder_common::error::Refusal;

use super::{
    live::{Live, Phase, Store},
    refused::{self, failed},
};
use crate::{
    faults::at,
    volume::{Arrivals, RangeSet, UploadFolder, UploadRecord},
};

impl Live {
    /// Makes durable what has arrived, and notes that. Blocks, for as long as the disk takes.
    pub fn checkpoint(&self, store: &Store) -> Result<(), Refusal> {
        let noting = self.noting();
        let (mut record, unsynced, rewritten) = {
            let mut state = self.lock();
            let mut record = state.record.clone();
            record.durable = state.arrived.clone();
            let rewritten = std::mem::take(&mut state.rewritten);
            (record, std::mem::take(&mut state.unsynced), rewritten)
        };
        if unsynced == 0 {
            return Ok(());
        }
        let synced = fdatasync(&store.data).and_then(|()| at("upload.synced"));
        if let Err(errno) = synced {
            self.lock().rewritten |= rewritten;
            self.forget_unsynced(store, &noting);
            return Err(refused::lost(self, "fdatasync", errno));
        }
        // Others may have changed the rest of it only while they had `noting`.
        record
            .write(&store.folder)
            .map_err(|errno| failed(self, "write", errno))?;
        let mut state = self.lock();
        std::mem::swap(&mut state.record, &mut record);
        Ok(())
    }

    /// Makes the whole durable, which has `size` bytes, and cuts off what a write may have left that was never told of.
    /// Nobody may be writing. Blocks.
    pub fn sync_all(&self, store: &Store, size: u64) -> Result<(), Refusal> {
        let noting = self.noting();
        let there = fstat(&store.data).map_err(|errno| failed(self, "fstat", errno))?;
        let there = u64::try_from(there.st_size).unwrap_or(0);
        if there < size {
            // It has arrived, and yet is not there: who knows what else is not.
            self.lock().rewritten = true;
            self.forget_unsynced(store, &noting);
            return Err(refused::lost(self, "fstat", Errno::IO));
        }
        if there > size {
            ftruncate(&store.data, size).map_err(|errno| failed(self, "ftruncate", errno))?;
        }
        drop(noting);
        self.sync_attributes(store)
    }

    /// Makes durable what was changed of the file itself. Blocks.
    pub fn sync_attributes(&self, store: &Store) -> Result<(), Refusal> {
        let noting = self.noting();
        let synced = fsync(&store.data).and_then(|()| at("upload.synced"));
        synced.map_err(|errno| {
            self.forget_unsynced(store, &noting);
            refused::lost(self, "fsync", errno)
        })
    }

    /// After a failed sync nobody knows what of the unsynced bytes is still there, and the next sync would not tell. Where
    /// durable ones were written again, they are among those.
    fn forget_unsynced(&self, store: &Store, noting: &MutexGuard<'_, ()>) {
        let log = store.log.as_ref();
        let mut log = log.map(|log| log.lock().unwrap_or_else(PoisonError::into_inner));
        let (kept, changed) = {
            let mut state = self.lock();
            // Also what somebody is writing at this moment.
            let durable = &state.record.durable;
            let again =
                |writer: &super::live::Writer| durable.overlaps(&(writer.begin..writer.end));
            let changed = state.rewritten || state.writers.iter().any(again);
            let kept = if changed {
                RangeSet::default()
            } else {
                durable.clone()
            };
            state.losses += 1;
            state.unsynced = 0;
            state.rewritten = false;
            state.arrived = kept.clone();
            (kept, changed)
        };
        // Nothing has to survive the process.
        let Some(log) = &mut log else {
            return;
        };
        let mut forgotten = Ok(());
        if changed {
            let durable = kept.clone();
            let change = |record: &mut UploadRecord| record.durable = durable;
            forgotten = self.change_noted(&store.folder, noting, change);
        }
        let begun = forgotten.and_then(|()| Arrivals::begin(&store.folder, &kept));
        match begun {
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

    /// Changes the record, on disk and then here. Blocks.
    pub fn change_record(
        &self,
        folder: &UploadFolder,
        change: impl FnOnce(&mut UploadRecord),
    ) -> Result<(), Errno> {
        self.change_noted(folder, &self.noting(), change)
    }

    /// As [`Live::change_record`], for whoever has the right to.
    pub fn change_noted(
        &self,
        folder: &UploadFolder,
        _noting: &MutexGuard<'_, ()>,
        change: impl FnOnce(&mut UploadRecord),
    ) -> Result<(), Errno> {
        let mut record = self.lock().record.clone();
        change(&mut record);
        record.write(folder)?;
        self.lock().record = record;
        Ok(())
    }
}
