//! From time to time a clone's work so far is made durable, so that after a power cut it goes on from there.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    tree::{Checkpoint, Ongoing},
    volume::{Staging, VolumeError},
};

/// Between two checkpoints, at least. What a power cut costs at most; shorter clones have none.
const INTERVAL: Duration = Duration::from_secs(15);
/// A checkpoint may take one part in so many of the time.
const SHARE: u32 = 10;
/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// How much the clock may lag between two looks without having been set back.
const LAG: Duration = Duration::from_millis(5);

/// A thread that makes checkpoints until this is dropped. It is not waited for: it may be in the middle of a long sync.
pub(super) struct Checkpoints(Arc<Shared>);

struct Shared {
    ongoing: Arc<Ongoing>,
    stopped: Mutex<bool>,
    signal: Condvar,
}

impl Checkpoints {
    /// What goes wrong is logged: the final sync hears of it too, and until then the checkpoint before holds.
    pub fn begin(
        staging: &Staging,
        first: Checkpoint,
        ongoing: &Arc<Ongoing>,
    ) -> Result<Self, VolumeError> {
        let shared = Arc::new(Shared {
            ongoing: Arc::clone(ongoing),
            stopped: Mutex::new(false),
            signal: Condvar::new(),
        });
        let (theirs, staging) = (Arc::clone(&shared), staging.for_checkpoints()?);
        let make = move || {
            if let Err(error) = theirs.keep_making(&staging, first) {
                tracing::warn!(%error, "a clone goes on without further checkpoints");
            }
        };
        if let Err(error) = thread::Builder::new().name("checkpoint".into()).spawn(make) {
            tracing::warn!(%error, "a clone goes on without checkpoints: no thread for them");
        }
        Ok(Self(shared))
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        let shared = &self.0;
        *shared
            .stopped
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        shared.signal.notify_all();
    }
}

impl Shared {
    fn keep_making(&self, staging: &Staging, mut last: Checkpoint) -> Result<(), VolumeError> {
        let (mut clock, mut begun, mut pause) = (Clock::new(), Instant::now(), INTERVAL);
        while !self.is_stopped_within(LOOK) {
            if clock.was_set_back() && last.durable.is_some() {
                // What is copied from now on would look older than the checkpoint.
                last.durable = None;
                staging.note(&last)?;
            }
            if begun.elapsed() >= pause {
                let start = Instant::now();
                last = staging.checkpoint(&last, &self.ongoing)?;
                begun = Instant::now();
                pause = INTERVAL.max(start.elapsed() * SHARE);
            }
        }
        Ok(())
    }

    fn is_stopped_within(&self, time: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .signal
            .wait_timeout_while(stopped, time, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Compares the clock that stamps inodes with one that is never set.
struct Clock {
    wall: SystemTime,
    steady: Instant,
}

impl Clock {
    fn new() -> Self {
        Self {
            wall: SystemTime::now(),
            steady: Instant::now(),
        }
    }

    /// Since the last look. (A clock that is slowed down, as NTP does it, never goes back.)
    fn was_set_back(&mut self) -> bool {
        let now = Self::new();
        let expected = self.wall + now.steady.duration_since(self.steady);
        let back = now.wall + LAG < expected;
        *self = now;
        back
    }
}
