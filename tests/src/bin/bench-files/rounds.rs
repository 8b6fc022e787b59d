//! The ways that are measured, and what a round of them took.

use std::{collections::HashMap, time::Duration};

/// A way for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// Out of a server that does nothing but stream.
    ReadBare,
    /// ReadFile at the storage-proxy.
    ReadDirect,
    /// ReadFile at the manager.
    ReadManager,
    /// Into a server that forgets what it gets.
    WriteBare,
    /// Into a server that writes what it gets to a file, and does nothing else.
    WriteKept,
    /// WriteFile at the storage-proxy.
    WriteDirect,
    /// WriteFile at the manager.
    WriteManager,
    /// GET at the storage-proxy.
    HttpOurs,
    /// GET at nginx.
    HttpNginx,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 9] = [
        Self::ReadBare,
        Self::ReadDirect,
        Self::ReadManager,
        Self::WriteBare,
        Self::WriteKept,
        Self::WriteDirect,
        Self::WriteManager,
        Self::HttpOurs,
        Self::HttpNginx,
    ];

    /// Every way whose name has `wanted` in it, in the order of this round: forth and back, so that none always comes after
    /// the same one.
    pub fn in_round(number: usize, wanted: &str) -> Vec<Self> {
        let mut all = Self::ALL.to_vec();
        all.retain(|way| way.name().contains(wanted));
        if number.is_multiple_of(2) {
            all.reverse();
        }
        all
    }

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadBare => "read, bare tonic",
            Self::ReadDirect => "ReadFile, direct",
            Self::ReadManager => "ReadFile, manager",
            Self::WriteBare => "write, bare tonic",
            Self::WriteKept => "write, bare tonic to a file",
            Self::WriteDirect => "WriteFile, direct",
            Self::WriteManager => "WriteFile, manager",
            Self::HttpOurs => "HTTP GET, direct",
            Self::HttpNginx => "HTTP GET, nginx",
        }
    }
}

/// What each way took once.
#[derive(Debug, Default)]
pub struct Round(HashMap<Way, Duration>);

impl Round {
    /// Notes what a way took.
    pub fn took(&mut self, way: Way, time: Duration) {
        self.0.insert(way, time);
    }

    fn seconds(&self, way: Way) -> Option<f64> {
        self.0.get(&way).map(Duration::as_secs_f64)
    }
}

/// The median time of a way, in seconds.
pub fn median_time(rounds: &[Round], way: Way) -> Option<f64> {
    median(
        rounds
            .iter()
            .filter_map(|round| round.seconds(way))
            .collect(),
    )
}

/// The median of how fast `way` is compared with `peer` in the same round: 1 is as fast.
pub fn median_ratio(rounds: &[Round], way: Way, peer: Way) -> Option<f64> {
    let ratio = |round: &Round| Some(round.seconds(peer)? / round.seconds(way)?);
    median(rounds.iter().filter_map(ratio).collect())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied()?;
    if values.len().is_multiple_of(2) {
        return values
            .get(middle - 1)
            .map(|lower| f64::midpoint(*lower, upper));
    }
    Some(upper)
}
