//! What comes first, the publication or the wish to stop. Exactly one of them wins.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why a task should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its result is not wanted.
    Cancel,
    /// The process ends; the task goes on after a restart.
    Suspend,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Working,
    Stopping(Stop),
    Published,
}

/// Where a task is between its start and its publication.
#[derive(Debug, Default)]
pub struct Phase(Mutex<State>);

/// Why there was no publication.
#[derive(Debug, PartialEq, Eq)]
pub enum Unpublished<E> {
    /// The wish to stop came first.
    Stopped,
    /// Publishing failed.
    Failed(E),
}

impl Phase {
    /// Runs `publish`, which is short, unless a wish to stop came first. Until it returns, wishes wait.
    pub fn publish<E>(
        &self,
        publish: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), Unpublished<E>> {
        let mut state = self.lock();
        if matches!(*state, State::Stopping(_)) {
            return Err(Unpublished::Stopped);
        }
        publish().map_err(Unpublished::Failed)?;
        *state = State::Published;
        Ok(())
    }

    /// Wishes to cancel. Answers false if the publication came first.
    pub fn cancel(&self) -> bool {
        let mut state = self.lock();
        if matches!(*state, State::Published) {
            return false;
        }
        *state = State::Stopping(Stop::Cancel);
        true
    }

    /// Wishes to suspend. A wish to cancel is not forgotten over it.
    pub fn suspend(&self) {
        let mut state = self.lock();
        if matches!(*state, State::Working) {
            *state = State::Stopping(Stop::Suspend);
        }
    }

    /// The wish to stop, if it came first.
    pub fn stopping(&self) -> Option<Stop> {
        match *self.lock() {
            State::Stopping(stop) => Some(stop),
            State::Working | State::Published => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn of_publication_and_cancel_exactly_one_wins() {
        for _ in 0..500 {
            let (phase, start) = (Phase::default(), Barrier::new(2));
            let (published, cancelled) = thread::scope(|scope| {
                let publisher = scope.spawn(|| {
                    start.wait();
                    phase.publish(|| Ok::<(), ()>(())).is_ok()
                });
                start.wait();
                let cancelled = phase.cancel();
                (publisher.join().unwrap(), cancelled)
            });
            assert_ne!(published, cancelled);
        }
    }

    #[test]
    fn a_failed_publication_can_still_be_cancelled() {
        let phase = Phase::default();
        assert_eq!(
            phase.publish(|| Err("disk")),
            Err(Unpublished::Failed("disk"))
        );
        assert!(phase.cancel());
        phase.suspend();
        assert_eq!(phase.stopping(), Some(Stop::Cancel));
    }
}
