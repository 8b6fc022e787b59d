//! What was measured.

use serde::{Deserialize, Serialize};

use crate::{
    cases::Case,
    image::Filesystem,
    measure::{Outcome, Sample},
    tools::Tool,
};

/// What is done with a tree.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Verb {
    /// Copied.
    Clone,
    /// Removed.
    Remove,
}

/// A cell of a table: which work, by whom.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Key {
    /// On what.
    pub filesystem: Filesystem,
    /// Which tree.
    pub case: Case,
    /// What is done with it.
    pub verb: Verb,
    /// Whether the result is on disk at the end.
    pub sync: bool,
    /// By whom.
    pub tool: Tool,
}

/// The runs of a cell.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Runs {
    /// Each run; of a peer, with the run of ours next to it, in that order.
    pub samples: Vec<(Sample, Option<Sample>)>,
    /// Why there are no more.
    pub ended: Option<String>,
    /// What the result is like, where it isn't what it should be.
    pub note: Option<String>,
}

/// A figure besides the tables.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Figure {
    /// What it is, with its circumstances.
    pub what: String,
    /// Its value as text, with the unit.
    pub value: String,
}

/// Which of the extra figures a target is about.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Extra {
    /// Seconds from the signal to the end of the work, 99th percentile.
    Cancel,
    /// Seconds from the start of the program to the acknowledgement of a removal, the longest.
    Acknowledge,
    /// Seconds that a clone of a subvolume takes, the longest median.
    Snapshot,
    /// Peak memory in KiB at ten million files.
    Memory,
}

/// All of it.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Results {
    cells: Vec<(Key, Runs)>,
    /// Figures besides the tables, as they are shown.
    pub figures: Vec<Figure>,
    /// Those of them that targets are about.
    pub extras: Vec<(Extra, f64)>,
    /// Names of the extras that were measured.
    pub had: Vec<String>,
    unfaithful: Vec<String>,
}

impl Results {
    /// The runs of a cell; none at first.
    pub fn runs(&mut self, key: Key) -> &mut Runs {
        let at = self.cells.iter().position(|(known, _)| *known == key);
        let at = at.unwrap_or_else(|| {
            self.cells.push((key, Runs::default()));
            self.cells.len() - 1
        });
        &mut self.cells[at].1
    }

    /// The runs of a cell, if there are any.
    pub fn get(&self, key: Key) -> Option<&Runs> {
        self.cells
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, runs)| runs)
    }

    /// Whether there is any of that.
    pub fn has(&self, wanted: impl Fn(&Key) -> bool) -> bool {
        self.cells.iter().any(|(key, _)| wanted(key))
    }

    /// Ours was not a copy.
    pub fn not_a_copy(&mut self, what: String) {
        self.unfaithful.push(what);
    }

    /// Where ours was not a copy.
    pub fn unfaithful(&self) -> &[String] {
        &self.unfaithful
    }

    /// One more figure.
    pub fn figure(&mut self, what: impl Into<String>, value: impl Into<String>) {
        let figure = Figure {
            what: what.into(),
            value: value.into(),
        };
        eprintln!("  {}: {}", figure.what, figure.value);
        self.figures.push(figure);
    }
}

impl Runs {
    /// Takes a run, and the run of ours that it is compared with. Answers whether it succeeded.
    pub fn take(&mut self, outcome: Outcome, ours: Option<Sample>) -> bool {
        match outcome {
            Outcome::Done(sample) => self.samples.push((sample, ours)),
            Outcome::Failed(said) => self.ended = Some(format!("fails: {said}")),
            Outcome::Hung(after) => self.ended = Some(format!("hangs (stopped after {after:?})")),
        }
        self.ended.is_none()
    }

    /// Whether it still takes part.
    pub fn goes_on(&self) -> bool {
        self.ended.is_none()
    }

    /// Median seconds: on the clock, on processors.
    pub fn medians(&self) -> Option<(f64, f64)> {
        let of = |pick: fn(&Sample) -> f64| median(self.samples.iter().map(|(one, _)| pick(one)));
        Some((of(|one| one.wall)?, of(|one| one.cpu)?))
    }

    /// Medians of what ours took, each run divided by this tool's run next to it: on the clock, on processors.
    pub fn ratios(&self) -> Option<(f64, f64)> {
        let of = |pick: fn(&Sample) -> f64| {
            let pairs = self
                .samples
                .iter()
                .filter_map(|(one, ours)| Some((one, (*ours)?)));
            median(pairs.map(|(one, ours)| pick(&ours) / pick(one).max(f64::EPSILON)))
        };
        Some((of(|one| one.wall)?, of(|one| one.cpu)?))
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values.get(middle).copied(),
        _ => Some(f64::midpoint(
            *values.get(middle.checked_sub(1)?)?,
            *values.get(middle)?,
        )),
    }
}

/// The smallest value that so many per cent of them don't exceed.
pub fn percentile(values: &mut [f64], per_cent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * per_cent).div_ceil(100);
    values.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_what_they_are_called() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
        let mut hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut hundred, 99), Some(99.0));
        assert_eq!(percentile(&mut [7.0], 99), Some(7.0));
        assert_eq!(percentile(&mut [], 99), None);
    }
}
