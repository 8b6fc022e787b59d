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

/// What became of a wish to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It came first: the task stops.
    Granted,
    /// The publication is going on; whether it succeeds, the task's end will tell.
    Publishing,
    /// The publication came first.
    Late,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Working,
    Stopping(Stop),
    Publishing,
    Published,
}

/// Where a task is between its start and its publication. The lock is held only to change the state, so that those who
/// may not block can ask.
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
    /// Runs `publish` unless a wish to stop came first.
    pub fn publish<E>(
        &self,
        publish: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), Unpublished<E>> {
        {
            let mut state = self.lock();
            if matches!(*state, State::Stopping(_)) {
                return Err(Unpublished::Stopped);
            }
            *state = State::Publishing;
        }
        let published = publish();
        *self.lock() = match published {
            Ok(()) => State::Published,
            Err(_) => State::Working,
        };
        published.map_err(Unpublished::Failed)
    }

    /// Wishes to cancel.
    pub fn cancel(&self) -> Wish {
        let mut state = self.lock();
        match *state {
            State::Published => Wish::Late,
            State::Publishing => Wish::Publishing,
            State::Working | State::Stopping(_) => {
                *state = State::Stopping(Stop::Cancel);
                Wish::Granted
            }
        }
    }

    /// Wishes to suspend. A wish to cancel is not forgotten over it, and a publication not disturbed.
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
            State::Working | State::Publishing | State::Published => None,
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
                (publisher.join().unwrap(), cancelled == Wish::Granted)
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
        assert_eq!(phase.cancel(), Wish::Granted);
        phase.suspend();
        assert_eq!(phase.stopping(), Some(Stop::Cancel));
    }

    #[test]
    fn nobody_waits_for_a_publication_to_learn_that_it_goes_on() {
        let phase = Phase::default();
        let published = phase.publish(|| {
            // With the lock held over the publication, either would wait for ever.
            assert_eq!(phase.cancel(), Wish::Publishing);
            phase.suspend();
            Ok::<(), ()>(())
        });
        assert_eq!((published, phase.cancel()), (Ok(()), Wish::Late));
        assert_eq!(phase.stopping(), None);
    }
}
