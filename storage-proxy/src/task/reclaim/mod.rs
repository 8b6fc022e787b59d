//! Gives back the space of what is in the trash: purged trees, left-overs of failed and cancelled tasks and of earlier
//! lives of the process.
//!
//! One thread per volume, of low priority, which stands back while others are at work (`pace`). It takes no input: woken
//! by a signal and by a timer it looks at the trash. Killed at any moment, it goes on at the next start. It is also what
//! keeps asking for a volume that is not there, what writes notes that there was no space for, and what sweeps those that
//! have outlived their trees.

mod pace;
mod waiting;

use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    fmt,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{getpriority_process, setpriority_process};
use uuid::Uuid;

use self::{pace::Pacer, waiting::Counted};
use super::{OUTLIVES_ITS_TREE, activity::Activity, lane::Ledger};
use crate::{
    faults::pass,
    tree::{Control, Fault, TreeError},
    volume::{OpenVolume, Volume, VolumeError, operation_of},
};

const INTERVAL: Duration = Duration::from_secs(5);
/// What can't be destroyed is not tried again sooner.
const BACK_OFF: Duration = Duration::from_secs(600);
/// Between two looks for notes that have outlived their trees.
const SWEEP: Duration = Duration::from_secs(3600);
/// setpriority(2): from -20 to 19, the nicest.
const NICENESS: i32 = 19;

/// Space that will come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// How many things are in the trash: purged trees, left-overs of tasks.
    pub trees: u64,
    /// Bytes on disk that they hold, as far as they have been counted: at least so many.
    pub bytes: u64,
}

/// A volume's reclaimer.
pub(super) struct Reclaimer(Arc<Shared>);

struct Shared {
    volume: Arc<Volume>,
    busy: Box<dyn Fn(Uuid) -> bool + Send + Sync>,
    ledger: Ledger,
    control: Control,
    pacer: Arc<Pacer>,
    counted: Counted,
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
    /// Starts the thread, which works `duty` percent of the time while there is `activity`; `busy` tells of which
    /// operations a task destroys the trash itself.
    pub fn start(
        volume: Arc<Volume>,
        ledger: Ledger,
        activity: Arc<Activity>,
        duty: u8,
        busy: impl Fn(Uuid) -> bool + Send + Sync + 'static,
    ) -> Self {
        let pacer = Arc::new(Pacer::new(Arc::clone(&volume), activity, duty));
        let shared = Arc::new(Shared {
            volume,
            busy: Box::new(busy),
            ledger,
            control: Control::paced(Arc::<Pacer>::clone(&pacer)),
            pacer,
            counted: Counted::default(),
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

    /// What waits on `volume`, this reclaimer's.
    ///
    /// # Errors
    /// Those of reading the trash.
    pub fn pending(&self, volume: &OpenVolume) -> Result<Pending, VolumeError> {
        let mut trees = 0;
        let read = volume.each_in_trash(|_| {
            trees += 1;
            true
        });
        read.map_err(|fault| VolumeError::Tree(TreeError::new(fault, Vec::new())))?;
        let bytes = self.0.counted.bytes(&self.0.control);
        Ok(Pending { trees, bytes })
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

    /// Destroys what waits in the trash, the oldest first, until nothing is left that could be.
    fn reclaim(&self, volume: &OpenVolume, failed: &mut HashMap<CString, Instant>) {
        failed.retain(|_, at| at.elapsed() < BACK_OFF);
        loop {
            let waiting = match self.waiting(volume, failed) {
                Ok(waiting) => waiting,
                Err(error) => {
                    tracing::warn!(volume = self.volume.name(), %error, "can't read the trash");
                    return;
                }
            };
            if waiting.is_empty() {
                return;
            }
            for name in &waiting {
                self.count(volume, name);
            }
            for name in waiting {
                if !self.destroy(volume, name, failed) {
                    return;
                }
            }
        }
    }

    /// By name: the ids of operations begin with their time.
    fn waiting(
        &self,
        volume: &OpenVolume,
        failed: &HashMap<CString, Instant>,
    ) -> Result<Vec<CString>, Fault> {
        let mut waiting = Vec::new();
        volume.each_in_trash(|name| {
            if !operation_of(name).is_some_and(&self.busy) && !failed.contains_key(name) {
                waiting.push(name.to_owned());
            }
            !self.control.stopped()
        })?;
        waiting.sort_unstable();
        Ok(waiting)
    }

    /// Counts it once, so that it can be told how much space will come back. Not where that would take longer than
    /// destroying it, or when the space is needed now.
    fn count(&self, volume: &OpenVolume, name: &CStr) {
        if self.counted.has(name) || self.pacer.is_urgent() {
            return;
        }
        self.control.reset();
        match volume.count_trash(name, &self.control) {
            Ok(Some(usage)) => self.counted.add(name, usage),
            Ok(None) => {}
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                tracing::debug!(volume = self.volume.name(), trash = ?name, %error, "can't count what is in the trash");
            }
        }
    }

    /// Answers false once it is to stop.
    fn destroy(
        &self,
        volume: &OpenVolume,
        name: CString,
        failed: &mut HashMap<CString, Instant>,
    ) -> bool {
        pass("reclaim.begin");
        self.control.reset();
        self.counted.begin(&name);
        let destroyed = volume.destroy_trash(&name, &self.control);
        self.counted.end(&name);
        pass("reclaim.done");
        match destroyed {
            Ok(()) => !self.control.stopped(),
            Err(error) if error.is_cancelled() => false,
            Err(error) => {
                tracing::warn!(volume = self.volume.name(), trash = ?name, %error, "can't destroy what is in the trash");
                failed.insert(name, Instant::now());
                true
            }
        }
    }
}
