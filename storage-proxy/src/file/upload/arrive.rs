//! Bytes on their way into an upload: written, and then noted as arrived.

use std::{
    ops::Range,
    os::fd::OwnedFd,
    sync::{PoisonError, atomic::Ordering::Relaxed},
};

use bytes::Bytes;
use rustix::io::{Errno, pwrite};
use vfolder_common::error::Refusal;

use super::{
    live::{Live, State, Store, Writer, now, total},
    refused::{self, busy, failed},
};
use crate::{account::Amount, faults::pass, volume::Arrivals};

impl Live {
    /// Writes the pieces of `data` one after the other from `at` on, for the writer of that number; where they lead beyond
    /// the upload's size, those before. Blocks.
    pub fn write(
        &self,
        store: &Store,
        number: u64,
        at: u64,
        data: &[Bytes],
    ) -> Result<(), Refusal> {
        let (fits, beyond) = data.split_at(self.lock().pieces_within(at, data));
        if !fits.is_empty() && !beyond.is_empty() {
            self.write(store, number, at, fits)?;
            return self.write(store, number, at + total(fits), beyond);
        }
        let range = at..at.saturating_add(total(data));
        let (losses, _at_work) = self.admit(number, &range)?;
        let (written, error) = write_at(&store.data, data, at);
        pass("upload.written");
        // What is there is there, also when the rest has no room.
        self.note(store, at..at + written, losses)?;
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
        let (_, _at_work) = self.admit(number, &range)?;
        if self.lock().arrived.overlaps(&range) {
            return Err(Refusal::field(
                "offset",
                "some of what follows has arrived already; bytes with a checksum go where there are none yet",
            ));
        }
        let (_, error) = write_at(&store.data, data, at);
        error.map_or(Ok(()), |errno| Err(failed(self, "write", errno)))
    }

    /// What the writer of that number has written there, since `losses` was read, has arrived. Blocks.
    pub fn count(
        &self,
        store: &Store,
        number: u64,
        range: Range<u64>,
        losses: u64,
    ) -> Result<(), Refusal> {
        let _at_work = self.begin_work(number)?;
        self.note(store, range, losses)
    }

    /// Lets a writer write there, for as long as the answer is kept. With it comes how many syncs have failed until now.
    fn admit(&self, number: u64, range: &Range<u64>) -> Result<(u64, AtWork<'_>), Refusal> {
        let at_work = self.begin_work(number)?;
        let mut state = self.lock();
        if i64::try_from(range.end).is_err() {
            return Err(Refusal::field(
                "offset",
                "leads beyond what a file can have",
            ));
        }
        if let Some(size) = state.size().filter(|size| range.end > *size) {
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
        if let Some(writer) = state.writer(number) {
            writer.end = range.end;
        }
        let losses = state.losses;
        drop(state);
        Ok((losses, at_work))
    }

    /// Until it is dropped, nobody ends the upload, and nobody takes the writer's place.
    fn begin_work(&self, number: u64) -> Result<AtWork<'_>, Refusal> {
        let mut state = self.lock();
        state.check_open(self.id)?;
        match state.writer(number) {
            Some(writer) => writer.at_work = true,
            None => return Err(busy(self.id, "somebody else goes on with the upload")),
        }
        drop(state);
        Ok(AtWork { live: self, number })
    }

    /// Notes that `range` has arrived, unless a sync has failed since `losses` was read: that may have lost it.
    fn note(&self, store: &Store, range: Range<u64>, losses: u64) -> Result<(), Refusal> {
        if range.is_empty() {
            return Ok(());
        }
        // While it is held, no sync is told to have failed.
        let mut log = store
            .log
            .as_ref()
            .map(|log| log.lock().unwrap_or_else(PoisonError::into_inner));
        if self.lock().losses != losses {
            return Err(refused::lost(self, "fsync", Errno::IO));
        }
        if let Some(log) = &mut log {
            self.append(store, log, &range)
                .map_err(|errno| failed(self, "write", errno))?;
        }
        let mut state = self.lock();
        // Looked at before it was written; and if others have filled the set meanwhile, it is to be sent again.
        let _ = state.arrived.insert(range.clone());
        state.rewritten |= state.record.durable.overlaps(&range);
        state.unsynced += range.end - range.start;
        state.last_written = now();
        Ok(())
    }

    fn append(&self, store: &Store, log: &mut Arrivals, range: &Range<u64>) -> Result<(), Errno> {
        if log.is_long() {
            let arrived = self.lock().arrived.clone();
            *log = Arrivals::begin(&store.folder, &arrived)?;
        }
        log.append(range)?;
        pass("upload.noted");
        self.records.store(log.records(), Relaxed);
        Ok(())
    }
}

/// A writer that is writing.
struct AtWork<'a> {
    live: &'a Live,
    number: u64,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if let Some(writer) = self.live.lock().writer(self.number) {
            writer.at_work = false;
        }
    }
}

impl State {
    fn writer(&mut self, number: u64) -> Option<&mut Writer> {
        self.writers.iter_mut().find(|w| w.number == number)
    }

    /// How many of these pieces end within the upload's size.
    fn pieces_within(&self, mut at: u64, data: &[Bytes]) -> usize {
        let Some(size) = self.size() else {
            return data.len();
        };
        let within = move |piece: &&Bytes| {
            at = at.saturating_add(piece.len() as u64);
            at <= size
        };
        data.iter().take_while(within).count()
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
