//! Which bytes of a file there are.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most pieces that a set may be in. Parts that are written in parallel are few; what is in more pieces is no upload
/// that goes on somewhere.
pub const MOST: usize = 1_000;

/// The set would be in too many pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the upload is in {MOST} pieces, which is the most; fill its gaps before beginning others")]
pub struct TooManyRanges;

/// A set of bytes of a file: ranges in order, none empty, none touching the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct RangeSet(Vec<Range<u64>>);

impl RangeSet {
    /// Adds `new`.
    ///
    /// # Errors
    /// [`TooManyRanges`]; then the set is as it was.
    pub fn insert(&mut self, new: Range<u64>) -> Result<(), TooManyRanges> {
        if new.is_empty() {
            return Ok(());
        }
        // Those from `first` to before `last` overlap or touch the new one, and become one with it.
        let first = self.0.partition_point(|one| one.end < new.start);
        let last = self.0.partition_point(|one| one.start <= new.end);
        if first == last && self.0.len() >= MOST {
            return Err(TooManyRanges);
        }
        let start = self.0.get(first).filter(|_| first < last);
        let start = start.map_or(new.start, |one| one.start.min(new.start));
        let end = self.0[first..last].last();
        let end = end.map_or(new.end, |one| one.end.max(new.end));
        self.0.splice(first..last, std::iter::once(start..end));
        Ok(())
    }

    /// Whether adding `new` would be refused.
    #[must_use]
    pub fn has_room_for(&self, new: &Range<u64>) -> bool {
        self.0.len() < MOST
            || self
                .0
                .iter()
                .any(|one| one.start <= new.end && new.start <= one.end)
    }

    /// Whether some of `range` is in it.
    #[must_use]
    pub fn overlaps(&self, range: &Range<u64>) -> bool {
        let first = self.0.partition_point(|one| one.end <= range.start);
        !range.is_empty() && self.0.get(first).is_some_and(|one| one.start < range.end)
    }

    /// The bytes from the beginning on without a gap: the end of those.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        self.0
            .first()
            .filter(|one| one.start == 0)
            .map_or(0, |one| one.end)
    }

    /// The byte after the last.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |one| one.end)
    }

    /// How many bytes.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|one| one.end - one.start).sum()
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }
}

impl From<RangeSet> for Vec<(u64, u64)> {
    fn from(set: RangeSet) -> Self {
        set.0.into_iter().map(|one| (one.start, one.end)).collect()
    }
}

impl TryFrom<Vec<(u64, u64)>> for RangeSet {
    type Error = TooManyRanges;

    fn try_from(pairs: Vec<(u64, u64)>) -> Result<Self, TooManyRanges> {
        let mut set = Self::default();
        for (start, end) in pairs {
            set.insert(start..end)?;
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    const BYTES: u64 = 64;

    proptest! {
        #[test]
        fn a_set_of_ranges_is_what_a_bitmap_says(
            ranges in prop::collection::vec((0..BYTES, 0..BYTES), 0..40),
        ) {
            let (mut set, mut bitmap) = (RangeSet::default(), [false; BYTES as usize]);
            for (start, end) in ranges {
                let there = (start..end).any(|at| bitmap[usize::try_from(at).unwrap()]);
                prop_assert_eq!(set.overlaps(&(start..end)), there);
                set.insert(start..end).unwrap();
                for at in start..end {
                    bitmap[usize::try_from(at).unwrap()] = true;
                }
                let told: Vec<_> = (0..BYTES).map(|at| set.iter().any(|one| one.contains(&at))).collect();
                prop_assert_eq!(&told[..], &bitmap[..]);
                prop_assert_eq!(set.count(), bitmap.iter().filter(|there| **there).count() as u64);
                prop_assert_eq!(set.prefix(), bitmap.iter().take_while(|there| **there).count() as u64);
                let end = bitmap.iter().rposition(|there| *there).map_or(0, |last| last as u64 + 1);
                prop_assert_eq!(set.end(), end);
                // In order and apart, so that there is one way to say it.
                let all: Vec<_> = set.iter().collect();
                prop_assert!(all.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert!(all.iter().all(|one| one.start < one.end));
                let again: RangeSet = serde_json::from_slice(&serde_json::to_vec(&set).unwrap()).unwrap();
                prop_assert_eq!(&again, &set);
            }
        }
    }

    #[test]
    fn there_is_an_end_to_the_pieces_but_not_to_filling_gaps() {
        let mut set = RangeSet::default();
        let most = MOST as u64;
        for piece in 0..most {
            set.insert(2 * piece..2 * piece + 1).unwrap();
        }
        let (full, beyond) = (set.clone(), 2 * most..2 * most + 1);
        assert!(!set.has_room_for(&beyond) && set.has_room_for(&(1..2)));
        assert_eq!(set.insert(beyond), Err(TooManyRanges));
        assert_eq!(set, full);
        set.insert(1..2).unwrap();
        assert_eq!((set.prefix(), set.iter().count()), (3, MOST - 1));
    }
}
