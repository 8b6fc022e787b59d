//! Writes the figures of trees that have come to rest.
//!
//! One thread per volume. It is not the reclaimer's: that one is at its trash for hours. What it writes is small, but a
//! syncfs(2) comes before it, which waits for all that others have written; so it rests much longer than it has worked.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::lane::Ledger;
use crate::volume::Volume;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// It rests so many times as long as it has worked.
const TIMES: u32 = 20;
/// But no longer than this.
const LONGEST: Duration = Duration::from_secs(600);

/// The thread, until this is dropped.
#[derive(Debug)]
pub(super) struct Rest(Arc<Stop>);

#[derive(Debug, Default)]
struct Stop {
    stopped: Mutex<bool>,
    signalled: Condvar,
}

impl Rest {
    /// Starts it.
    pub fn start(volume: Arc<Volume>, ledger: Ledger) -> Self {
        let stop = Arc::<Stop>::default();
        let thread = thread::Builder::new().name(format!("rest-{}", volume.name()));
        let theirs = Arc::clone(&stop);
        if let Err(error) = thread.spawn(move || theirs.run(&volume, &ledger)) {
            tracing::error!(%error, "no thread to write the figures of trees at rest: they are counted after a restart");
        }
        Self(stop)
    }

    /// The process ends.
    pub fn stop(&self) {
        let stopped = self.0.stopped.lock();
        *stopped.unwrap_or_else(PoisonError::into_inner) = true;
        self.0.signalled.notify_all();
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Stop {
    fn run(&self, volume: &Volume, ledger: &Ledger) {
        let mut pause = INTERVAL;
        loop {
            let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self
                .signalled
                .wait_timeout_while(stopped, pause, |stopped| !*stopped);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                return;
            }
            let begun = Instant::now();
            if let Ok(volume) = volume.get()
                && !volume.is_read_only()
            {
                ledger.rest(&volume);
            }
            pause = (begun.elapsed() * TIMES).clamp(INTERVAL, LONGEST);
        }
    }
}
