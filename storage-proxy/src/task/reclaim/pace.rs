//! How fast the reclaimer may go: in short slices with pauses while others are at work, else without.
//!
//! An unlink by itself is cheap. What others feel is the journal that it fills: their fsync(2) waits until all that was
//! unlinked since the last commit is written too. So what counts is how much is unlinked between two of their syncs, and
//! a pause after every few milliseconds of work bounds that; neither a nice value nor an I/O priority does, since it is
//! the filesystem's own thread that writes the journal.
//!
//! That others are at work is known of tasks and file RPCs (`activity`), and guessed of sessions, which write to the
//! filesystem directly: then an entry takes several times as long as it used to, or one of them is held up for
//! milliseconds, which is what somebody else's commit of the journal does (or somebody who needs the processor more).

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
/// No entry takes as long by itself, a huge file's apart.
const STALL: Duration = Duration::from_millis(2);
/// So long after such a sign, the others are taken to be at work still.
const EXPECTED: Duration = Duration::from_millis(250);
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
    /// Until when others are taken to be at work.
    others_until: Option<Instant>,
    looked: Option<(Instant, bool)>,
}

#[derive(Debug)]
struct Slice {
    began: Instant,
    entries: u32,
    /// When the last of them was begun.
    last: Instant,
    stalled: bool,
}

impl Slice {
    fn from(began: Instant) -> Self {
        Self {
            began,
            entries: 0,
            last: began,
            stalled: false,
        }
    }

    fn step(&mut self, now: Instant) {
        self.entries += 1;
        self.stalled |= now.saturating_duration_since(self.last) > STALL;
        self.last = now.max(self.last);
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
                slice: Slice::from(Instant::now()),
                quickest: None,
                others_until: None,
                looked: None,
            }),
        }
    }

    /// How long whoever takes a step now has to pause before it.
    fn pause_at(&self, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.slice.step(now);
        // Not yet begun, if another thread has ended the one before: then this one pauses too.
        if now.saturating_duration_since(state.slice.began) >= SLICE {
            let stand_back = state.is_contended(now) || self.activity.is_busy();
            let pause = match stand_back && !state.is_urgent(&self.volume) {
                true => self.pause,
                false => Duration::ZERO,
            };
            state.slice = Slice::from(now + pause);
        }
        state.slice.began.saturating_duration_since(now)
    }

    /// Whether space matters more than anybody's latency now.
    pub fn is_urgent(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_urgent(&self.volume)
    }
}

impl Pace for Pacer {
    fn step(&self) {
        let pause = self.pause_at(Instant::now());
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
}

impl State {
    /// Whether the slice that ends now tells of others, or one did a moment ago.
    fn is_contended(&mut self, now: Instant) -> bool {
        let entry = now.saturating_duration_since(self.slice.began) / self.slice.entries;
        if self.is_slow(entry) || self.slice.stalled {
            self.others_until = Some(now + EXPECTED);
        }
        self.others_until.is_some_and(|until| now < until)
    }

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
            slice: Slice::from(Instant::now()),
            quickest: None,
            others_until: None,
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

    #[test]
    fn an_entry_that_is_held_up_tells_of_others_for_a_while() {
        let mut state = State {
            slice: Slice::from(Instant::now()),
            quickest: None,
            others_until: None,
            looked: None,
        };
        let (start, millis) = (state.slice.began, Duration::from_millis);
        (1..=5).for_each(|at| state.slice.step(start + millis(at)));
        assert!(!state.is_contended(start + millis(5)));
        state.slice.step(start + millis(8));
        assert!(state.is_contended(start + millis(8)));
        for (later, others) in [(200, true), (300, false)] {
            let began = start + millis(later);
            state.slice = Slice {
                began,
                entries: 1,
                last: began,
                stalled: false,
            };
            assert_eq!(state.is_contended(began + millis(1)), others);
        }
    }

    fn nowhere() -> Arc<Volume> {
        let holder = crate::volume::Holder::this(uuid::Uuid::nil());
        Arc::new(Volume::new("v", "/nowhere", holder))
    }

    /// One that works a tenth of the time, and when its first slice begins.
    fn pacer(activity: &Arc<Activity>) -> (Pacer, Instant) {
        let pacer = Pacer::new(nowhere(), Arc::clone(activity), 10);
        let begin = pacer
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .slice
            .began;
        (pacer, begin)
    }

    #[test]
    fn it_pauses_after_each_slice_while_others_are_at_work() {
        let activity = Arc::<Activity>::default();
        let (pacer, begin) = pacer(&activity);
        let _at_work = activity.begin();
        let (mut now, mut pauses) = (begin, Vec::new());
        for step in 1..=50 {
            now += SLICE / 5;
            let pause = pacer.pause_at(now);
            now += pause;
            if !pause.is_zero() {
                pauses.push((step, pause));
            }
        }
        let wanted: Vec<_> = (1..=10).map(|slice| (slice * 5, pacer.pause)).collect();
        assert_eq!(pauses, wanted);
    }

    #[test]
    fn alone_it_never_pauses() {
        let (pacer, begin) = pacer(&Arc::default());
        let pauses = (1..=50).map(|step| pacer.pause_at(begin + SLICE / 5 * step));
        assert_eq!(pauses.sum::<Duration>(), Duration::ZERO);
    }

    #[test]
    fn no_thread_works_while_another_pauses() {
        let activity = Arc::<Activity>::default();
        let (pacer, begin) = pacer(&activity);
        let _at_work = activity.begin();
        for late in [0, 1, 2].map(Duration::from_millis) {
            assert_eq!(pacer.pause_at(begin + SLICE + late), pacer.pause - late);
        }
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
