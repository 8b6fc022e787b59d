//! Whether somebody waits for work on a volume, so that what nobody waits for can stand back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Requests of one user come one after the other: so long after the last one, more are expected.
const EXPECTED: Duration = Duration::from_millis(250);

/// The tasks and file RPCs that are at work on one volume. What sessions do in their mounts is not seen here.
#[derive(Debug, Default)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    at_work: usize,
    last_end: Option<Instant>,
}

/// At work until it is dropped.
#[derive(Debug)]
pub(super) struct AtWork(Arc<Activity>);

impl Activity {
    /// Somebody begins.
    pub fn begin(self: &Arc<Self>) -> AtWork {
        self.lock().at_work += 1;
        AtWork(Arc::clone(self))
    }

    /// Whether somebody is at work, or was a moment ago.
    pub fn is_busy(&self) -> bool {
        let state = self.lock();
        let recent = |end: Instant| end.elapsed() < EXPECTED;
        state.at_work > 0 || state.last_end.is_some_and(recent)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.at_work -= 1;
        state.last_end = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_busy_from_the_first_begin_to_a_moment_after_the_last_end() {
        let activity = Arc::new(Activity::default());
        assert!(!activity.is_busy());
        let (first, second) = (activity.begin(), activity.begin());
        drop(first);
        assert!(activity.is_busy());
        drop(second);
        assert!(activity.is_busy());
        activity.lock().last_end = Instant::now().checked_sub(EXPECTED);
        assert!(!activity.is_busy());
    }
}
