//! From counts to rates.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::store::Progress;

/// Rates are taken over this time: long enough to be calm, short enough to follow a change.
const WINDOW: Duration = Duration::from_secs(5);

/// Remembers the counts of the last seconds.
#[derive(Debug, Default)]
pub struct Rate(VecDeque<(Instant, Progress)>);

impl Rate {
    /// Adds the rates to a count taken at `at`.
    pub fn rated(&mut self, at: Instant, mut progress: Progress) -> Progress {
        while self
            .0
            .front()
            .is_some_and(|(t, _)| at.duration_since(*t) > WINDOW)
        {
            self.0.pop_front();
        }
        if let Some((since, first)) = self.0.front() {
            let millis = i64::try_from(at.duration_since(*since).as_millis()).unwrap_or(i64::MAX);
            let per_second = |now: i64, then: i64| {
                // A task that began anew counts from nothing.
                (now - then).max(0).saturating_mul(1_000) / millis.max(1)
            };
            progress.files_per_second = per_second(progress.files_done, first.files_done);
            progress.bytes_per_second = per_second(progress.bytes_done, first.bytes_done);
        }
        self.0.push_back((at, progress));
        progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let mut rate = Rate::default();
        let start = Instant::now();
        let count = |n| Progress {
            files_done: n,
            ..Progress::default()
        };
        assert_eq!(rate.rated(start, count(0)).files_per_second, 0);
        let later = rate.rated(start + Duration::from_secs(2), count(200));
        assert_eq!(later.files_per_second, 100);
        // The first ten seconds are forgotten by now; only the last two count.
        rate.rated(start + Duration::from_secs(10), count(200));
        let last = rate.rated(start + Duration::from_secs(12), count(800));
        assert_eq!(last.files_per_second, 300);
    }
}
