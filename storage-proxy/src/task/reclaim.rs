//! Gives back the space of what is in the trash and belongs to no running task: left-overs of cancelled tasks and of
//! earlier lives of the process.
//!
//! One thread per volume, of low priority. It takes no input: woken by a signal and by a timer it looks at the trash. It
//! is also what keeps asking for a volume that is not there, what writes notes that there was no space for, and what
//! sweeps those that have outlived their trees.

use std::{
    collections::HashMap,
    ffi::CString,
    fmt,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{getpriority_process, setpriority_process};
use uuid::Uuid;

use super::{OUTLIVES_ITS_TREE, lane::Ledger};
use crate::{
    faults::pass,
    tree::Control,
    volume::{OpenVolume, Volume, operation_of},
};

const INTERVAL: Duration = Duration::from_secs(5);
/// What can't be destroyed is not tried again sooner.
const BACK_OFF: Duration = Duration::from_secs(600);
/// Between two looks for notes that have outlived their trees.
const SWEEP: Duration = Duration::from_secs(3600);
/// setpriority(2): from -20 to 19, the nicest.
const NICENESS: i32 = 19;

/// A volume's reclaimer.
pub(super) struct Reclaimer(Arc<Shared>);

struct Shared {
    volume: Arc<Volume>,
    busy: Box<dyn Fn(Uuid) -> bool + Send + Sync>,
    ledger: Ledger,
    control: Control,
    signal: Mutex<bool>,
    signalled: Condvar,
}

impl fmt::Debug for Reclaimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reclaimer")
            .field(&self.0.volume.name())
            .finish()
    }
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Reclaimer {
    /// Starts the thread; `busy` tells of which operations a task destroys the trash itself.
    pub fn start(
        volume: Arc<Volume>,
        ledger: Ledger,
        busy: impl Fn(Uuid) -> bool + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            volume,
            busy: Box::new(busy),
            ledger,
            control: Control::default(),
            signal: Mutex::default(),
            signalled: Condvar::new(),
        });
        let thread = thread::Builder::new().name(format!("reclaim-{}", shared.volume.name()));
        let theirs = Arc::clone(&shared);
        if let Err(error) = thread.spawn(move || theirs.run()) {
            tracing::error!(%error, "can't start the reclaimer: trash stays until the next start");
        }
        Self(shared)
    }

    /// There is something new.
    pub fn wake(&self) {
        *self.0.signal.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.signalled.notify_one();
    }

    /// The process ends.
    pub fn stop(&self) {
        self.0.control.stop();
        self.wake();
    }
}

impl Shared {
    fn run(&self) {
        // On Linux, of the calling thread alone.
        if getpriority_process(None).is_ok_and(|nice| nice < NICENESS) {
            let _ = setpriority_process(None, NICENESS);
        }
        let (mut failed, mut swept) = (HashMap::new(), None);
        while !self.control.stopped() {
            if let Ok(volume) = self.volume.get()
                && !volume.is_read_only()
            {
                self.reclaim(&volume, &mut failed);
                self.ledger.note_rest(&volume);
                if swept.is_none_or(|at: Instant| at.elapsed() > SWEEP) {
                    swept = Some(Instant::now());
                    self.sweep(&volume);
                }
            }
            let signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self
                .signalled
                .wait_timeout_while(signal, INTERVAL, |signal| !*signal);
            *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
        }
    }

    fn sweep(&self, volume: &OpenVolume) {
        if let Err(error) = self.ledger.fences.sweep(volume, OUTLIVES_ITS_TREE) {
            tracing::warn!(volume = self.volume.name(), %error, "can't sweep the notes of trees that are long gone");
        }
    }

    fn reclaim(&self, volume: &OpenVolume, failed: &mut HashMap<CString, Instant>) {
        let name = self.volume.name();
        failed.retain(|_, at| at.elapsed() < BACK_OFF);
        // To the end: what can't be destroyed now must not hide what is behind it.
        let read = volume.each_in_trash(|entry| {
            if self.control.stopped() {
                return false;
            }
            if operation_of(entry).is_some_and(&self.busy) || failed.contains_key(entry) {
                return true;
            }
            pass("reclaim.begin");
            let destroyed = volume.destroy_trash(entry, &self.control);
            pass("reclaim.done");
            match destroyed {
                Ok(()) => true,
                Err(error) if error.is_cancelled() => false,
                Err(error) => {
                    tracing::warn!(volume = name, trash = ?entry, %error, "can't destroy what is in the trash");
                    failed.insert(entry.to_owned(), Instant::now());
                    true
                }
            }
        });
        if let Err(error) = read {
            tracing::warn!(volume = name, %error, "can't read the trash");
        }
    }
}
