//! How fast clones are on a volume, as far as past ones tell, for estimates of the next.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::backend::Method;

/// What a clone is expected to take: so long in any case, and so long for each entry and byte.
#[derive(Clone, Copy, Debug)]
struct Cost {
    start: f64,
    entry: f64,
    byte: f64,
}

/// Before anything was measured on the volume. Measured with two cores on a journaled ext4, XFS and btrfs in memory,
/// final sync included: 100,000 files of 2.5 KiB in 3 to 4 s; 1 GB/s of large files, halved since disks are slower; 4 GiB
/// shared in 8 ms; a snapshot of any size in 7 ms. Disks are slower, and soon known.
const fn expected(method: Method) -> Cost {
    match method {
        Method::Snapshot => Cost {
            start: 0.05,
            entry: 0.0,
            byte: 0.0,
        },
        Method::Reflink => Cost {
            start: 0.05,
            entry: 50e-6,
            byte: 2e-12,
        },
        Method::Copy => Cost {
            start: 0.05,
            entry: 35e-6,
            byte: 2e-9,
        },
    }
}

/// The weight of the last clone: after five like it, what was before counts for a sixth.
const WEIGHT: f64 = 0.3;
/// Shorter ones measure the machine's mood.
const SHORTEST: f64 = 0.2;
/// A volume is not more times slower, or faster, than expected: a clone that hung says nothing of the next.
const RANGE: f64 = 100.0;

/// Of one volume: how many times as long as expected clones take, by method. Forgotten when the process ends.
#[derive(Debug, Default)]
pub struct Rates(Mutex<HashMap<Method, f64>>);

impl Rates {
    /// Learns from a clone that was made in one go.
    pub fn note(&self, method: Method, entries: u64, bytes: u64, took: Duration) {
        let took = took.as_secs_f64();
        if took < SHORTEST {
            return;
        }
        let now = (took / seconds(expected(method), entries, bytes)).clamp(1.0 / RANGE, RANGE);
        let mut factors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of ratios the geometric mean: twice as long and half as long cancel out.
        let factor = factors.entry(method).or_insert(now);
        *factor = (factor.ln() * (1.0 - WEIGHT) + now.ln() * WEIGHT).exp();
    }

    /// How long a clone will take.
    pub fn estimate(&self, method: Method, entries: u64, bytes: u64) -> Duration {
        let factors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let factor = factors.get(&method).copied().unwrap_or(1.0);
        let seconds = seconds(expected(method), entries, bytes) * factor;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "an estimate needs no more than the first 52 bits"
)]
fn seconds(cost: Cost, entries: u64, bytes: u64) -> f64 {
    cost.start + cost.entry * entries as f64 + cost.byte * bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_estimate_follows_what_clones_have_taken_by_each_method() {
        let rates = Rates::default();
        let before = rates.estimate(Method::Copy, 100_000, 250 << 20);
        assert!(before > 2 * SECOND && before < 6 * SECOND, "{before:?}");
        for _ in 0..8 {
            rates.note(Method::Copy, 100_000, 250 << 20, 40 * SECOND);
        }
        let after = rates.estimate(Method::Copy, 100_000, 250 << 20);
        assert!(after > 39 * SECOND && after < 41 * SECOND, "{after:?}");
        let reflink = rates.estimate(Method::Reflink, 100_000, 250 << 20);
        assert!(reflink < 10 * SECOND, "{reflink:?}");
        // The volume became fast again.
        for _ in 0..12 {
            rates.note(Method::Copy, 100_000, 0, 4 * SECOND);
        }
        let after = rates.estimate(Method::Copy, 100_000, 0);
        assert!(after < 5 * SECOND, "{after:?}");
    }

    #[test]
    fn what_is_over_at_once_and_what_hung_teach_little() {
        let rates = Rates::default();
        let before = rates.estimate(Method::Copy, 10, 10);
        rates.note(Method::Copy, 10, 10, Duration::from_millis(100));
        assert_eq!(rates.estimate(Method::Copy, 10, 10), before);
        rates.note(Method::Copy, 10, 10, 86_400 * SECOND);
        assert!(rates.estimate(Method::Copy, 10, 10) <= before.mul_f64(RANGE * 1.01));
    }

    #[test]
    fn a_snapshot_takes_as_long_at_any_size() {
        let rates = Rates::default();
        let small = rates.estimate(Method::Snapshot, 1, 0);
        assert_eq!(rates.estimate(Method::Snapshot, 1 << 40, 1 << 60), small);
    }
}
