//! What a running piece of work shares with whoever watches it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use super::Fault;

/// Adds. Sparse files cost nothing, and a few of them have more bytes than the sum can hold: it stays at the most there can
/// be.
pub(super) fn add(sum: &AtomicU64, more: u64) {
    let added = |sum: u64| Some(sum.saturating_add(more));
    // Never refused.
    let _ = sum.fetch_update(Relaxed, Relaxed, added);
}

/// How far the work is. Entries are directory entries, the root included; bytes are file data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries done.
    pub entries_done: u64,
    /// Entries in all; 0 while not known.
    pub entries_total: u64,
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes in all; 0 while not known.
    pub bytes_total: u64,
}

/// Holds work up now and then, so that more urgent work comes first.
pub trait Pace: fmt::Debug + Send + Sync {
    /// Called before each step, by each thread of the work. May wait, but never for long: the wish to stop is heard
    /// afterwards.
    fn step(&self);
}

/// Counters and a stop flag, for one walk at a time.
#[derive(Debug, Default)]
pub struct Control {
    pace: Option<Arc<dyn Pace>>,
    entries_done: AtomicU64,
    entries_total: AtomicU64,
    bytes_done: AtomicU64,
    bytes_total: AtomicU64,
    stop: Arc<AtomicBool>,
    halted: AtomicBool,
}

impl Control {
    /// For work that goes at that pace.
    #[must_use]
    pub fn paced(pace: Arc<dyn Pace>) -> Self {
        Self {
            pace: Some(pace),
            ..Self::default()
        }
    }

    /// One that stops together with this one and counts for itself.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            stop: Arc::clone(&self.stop),
            ..Self::default()
        }
    }

    /// Asks the work to stop; heard at the next entry or mebibyte.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// To be called before each step.
    ///
    /// # Errors
    /// [`Fault::Cancelled`] once it was asked to stop.
    pub fn check(&self) -> Result<(), Fault> {
        if let Some(pace) = &self.pace
            && !self.stopped()
        {
            pace.step();
        }
        if self.stopped() || self.halted.load(Relaxed) {
            Err(Fault::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Makes all threads of one walk stop, since one of them has met a fault, or lets the next walk begin.
    pub(super) fn halt(&self, halt: bool) {
        self.halted.store(halt, Relaxed);
    }

    /// An entry is done.
    pub fn entry_done(&self) {
        self.entries_done.fetch_add(1, Relaxed);
    }

    /// So many bytes more are done.
    pub fn bytes_done(&self, bytes: u64) {
        add(&self.bytes_done, bytes);
    }

    /// All of it is done at once.
    pub fn count(&self, entries: u64, bytes: u64) {
        self.entries_done.store(entries, Relaxed);
        self.bytes_done.store(bytes, Relaxed);
        self.set_totals(entries, bytes);
    }

    /// The totals are known.
    pub fn set_totals(&self, entries: u64, bytes: u64) {
        self.entries_total.store(entries, Relaxed);
        self.bytes_total.store(bytes, Relaxed);
    }

    /// Begins to count anew.
    pub fn reset(&self) {
        self.entries_done.store(0, Relaxed);
        self.bytes_done.store(0, Relaxed);
        self.set_totals(0, 0);
    }

    /// How far the work is. The counters are read one by one; each only grows.
    pub fn progress(&self) -> Progress {
        Progress {
            entries_done: self.entries_done.load(Relaxed),
            entries_total: self.entries_total.load(Relaxed),
            bytes_done: self.bytes_done.load(Relaxed),
            bytes_total: self.bytes_total.load(Relaxed),
        }
    }
}

/// Stops work that nobody waits for any more.
#[derive(Debug)]
pub struct StopOnDrop(pub Arc<Control>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
