//! How fast the reclaimer may go: in short slices with pauses while others are at work, else without.
//!
//! An unlink by itself is cheap. What others feel is the journal that it fills: their fsync(2) waits until all that was
//! unlinked since the last commit is written too. So what counts is how much is unlinked between two of their syncs, and
//! a pause after every few milliseconds of work bounds that; neither a nice value nor an I/O priority does, since it is
//! the filesystem's own thread that writes the journal.
//!
//! That others are at work is known of tasks and file RPCs (`activity`), and guessed of sessions, which write to the
//! filesystem directly: then an entry takes several times as long as it used to.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    task::activity::Activity,
    tree::Pace,
    volume::{Capacity, Volume},
};

/// How long it works before it looks around.
const SLICE: Duration = Duration::from_millis(5);
/// No pause is longer, so that the order to stop is heard soon.
const LONGEST_PAUSE: Duration = Duration::from_millis(95);
/// An entry that takes so many times as long as the quickest slice's says that others are at work.
const SLOWER: u32 = 3;
/// The quickest slice is forgotten bit by bit, one part in so many with each slice: the next tree may have larger files.
const FORGETTING: u32 = 50;
/// Once less than one part in so many of a volume is free, in bytes or in inodes, space matters more than latency.
const NEARLY_FULL: u64 = 10;
/// How often it is looked whether the volume is nearly full.
const LOOK: Duration = Duration::from_secs(1);

/// The reclaimer's pace on one volume.
#[derive(Debug)]
pub(super) struct Pacer {
    volume: Arc<Volume>,
    activity: Arc<Activity>,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    slice: Slice,
    quickest: Option<Duration>,
    looked: Option<(Instant, bool)>,
}

#[derive(Debug)]
struct Slice {
    began: Instant,
    entries: u32,
}

impl Slice {
    fn after(pause: Duration) -> Self {
        Self {
            began: Instant::now() + pause,
            entries: 0,
        }
    }
}

impl Pacer {
    /// While others are at work, it works `duty` percent of the time; 100: it never pauses.
    pub fn new(volume: Arc<Volume>, activity: Arc<Activity>, duty: u8) -> Self {
        let duty = u32::from(duty.clamp(1, 100));
        Self {
            volume,
            activity,
            pause: (SLICE * (100 - duty) / duty).min(LONGEST_PAUSE),
            state: Mutex::new(State {
                slice: Slice::after(Duration::ZERO),
                quickest: None,
                looked: None,
            }),
        }
    }

    /// Whether space matters more than anybody's latency now.
    pub fn is_urgent(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_urgent(&self.volume)
    }
}

impl Pace for Pacer {
    fn step(&self) {
        let pause = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.slice.entries += 1;
            // Not yet begun, if another thread has ended the one before: then this one pauses too.
            let took = state.slice.began.elapsed();
            if took >= SLICE {
                let entry = took / state.slice.entries;
                let contended = state.is_slow(entry);
                let stand_back = contended || self.activity.is_busy();
                let pause = match stand_back && !state.is_urgent(&self.volume) {
                    true => self.pause,
                    false => Duration::ZERO,
                };
                state.slice = Slice::after(pause);
            }
            state.slice.began.saturating_duration_since(Instant::now())
        };
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
}

impl State {
    /// Whether an entry took far longer than it can.
    fn is_slow(&mut self, entry: Duration) -> bool {
        let quickest = self.quickest.map_or(entry, |known| {
            entry.min(known + known / FORGETTING + Duration::from_nanos(1))
        });
        self.quickest = Some(quickest);
        entry > quickest * SLOWER
    }

    fn is_urgent(&mut self, volume: &Volume) -> bool {
        match self.looked {
            Some((at, urgent)) if at.elapsed() < LOOK => urgent,
            _ => {
                let now = volume.get().and_then(|volume| volume.capacity());
                let urgent = now.is_ok_and(|now| is_nearly_full(&now));
                self.looked = Some((Instant::now(), urgent));
                urgent
            }
        }
    }
}

fn is_nearly_full(now: &Capacity) -> bool {
    now.available_bytes < now.total_bytes / NEARLY_FULL
        || now.available_inodes < now.total_inodes / NEARLY_FULL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_far_slower_than_the_quickest_tell_of_others_until_that_is_forgotten() {
        let mut state = State {
            slice: Slice::after(Duration::ZERO),
            quickest: None,
            looked: None,
        };
        let micros = Duration::from_micros;
        assert!(!state.is_slow(micros(20)));
        assert!(!state.is_slow(micros(50)));
        assert!(state.is_slow(micros(80)));
        let slices = (1..).find(|_| !state.is_slow(micros(80)));
        assert!(
            (5..100).contains(&slices.unwrap_or_default()),
            "forgotten after {slices:?} slices"
        );
    }

    fn nowhere() -> Arc<Volume> {
        let holder = crate::volume::Holder::this(uuid::Uuid::nil());
        Arc::new(Volume::new("v", "/nowhere", holder))
    }

    /// How long so many slices take.
    fn time_of(slices: usize, pacer: &Pacer) -> Duration {
        let began = Instant::now();
        for _ in 0..slices {
            let slice = Instant::now();
            // All of a slice, in many steps.
            while slice.elapsed() <= SLICE {
                pacer.step();
            }
        }
        began.elapsed()
    }

    #[test]
    fn it_pauses_after_each_slice_while_others_are_at_work() {
        let activity = Arc::<Activity>::default();
        let pacer = Pacer::new(nowhere(), Arc::clone(&activity), 10);
        let _at_work = activity.begin();
        assert!(time_of(4, &pacer) > pacer.pause * 4);
    }

    #[test]
    fn no_thread_works_while_another_pauses() {
        let activity = Arc::<Activity>::default();
        let pacer = Pacer::new(nowhere(), Arc::clone(&activity), 5);
        let _at_work = activity.begin();
        let slice = Instant::now();
        while slice.elapsed() <= SLICE {}
        let began = Instant::now();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    pacer.step();
                    assert!(began.elapsed() >= pacer.pause - SLICE);
                });
            }
        });
    }

    #[test]
    fn a_volume_is_nearly_full_for_want_of_bytes_or_of_inodes() {
        let with = |bytes, (inodes, of)| {
            is_nearly_full(&Capacity {
                health: crate::volume::Health::Serving,
                filesystem: String::new(),
                total_bytes: 1000,
                available_bytes: bytes,
                total_inodes: of,
                available_inodes: inodes,
                method: crate::backend::Method::Copy,
            })
        };
        assert!(!with(100, (10, 100)));
        assert!(with(99, (10, 100)));
        assert!(with(100, (9, 100)));
        // Where inodes have no limit.
        assert!(!with(100, (0, 0)));
    }

    #[test]
    fn the_pause_is_what_the_duty_leaves_and_never_long() {
        for (duty, pause) in [(100, 0), (50, 5), (20, 20), (5, 95), (1, 95), (0, 95)] {
            let pacer = Pacer::new(nowhere(), Arc::default(), duty);
            assert_eq!(pacer.pause, Duration::from_millis(pause), "{duty} %");
        }
    }
}
