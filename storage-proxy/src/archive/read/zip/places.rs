//! That no two entries share bytes: a few kilobytes can be made to unpack to petabytes by entries that overlap (D. Fifield,
//! "A better zip bomb", WOOT 2019), whatever each of them looks like.

use crate::archive::read::{Broken, Stop};

/// Entries that may be in any order: 16 MiB of memory. Beyond, an archive has to be in the order of its directory, as all
/// writers make them.
const UNORDERED: usize = 1_000_000;

/// What is taken.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Up to [`UNORDERED`].
    known: Vec<(u64, u64)>,
    end: u64,
    unordered: bool,
}

impl Places {
    /// From `begin` to `end`, of the entry `name`.
    pub fn take(&mut self, begin: u64, end: u64, name: &[u8]) -> Result<(), Stop> {
        self.unordered |= begin < self.end;
        self.end = self.end.max(end);
        if self.known.len() < UNORDERED {
            self.known.push((begin, end));
        } else if self.unordered {
            let why = "is not in the order of the archive's directory, which is too long for that";
            return Err(Broken::entry(name, why).into());
        }
        Ok(())
    }

    /// Once all are known.
    pub fn check(mut self) -> Result<(), Stop> {
        if !self.unordered {
            return Ok(());
        }
        self.known.sort_unstable();
        let apart = self.known.windows(2).all(|two| two[0].1 <= two[1].0);
        if apart {
            return Ok(());
        }
        let why = "has entries that share their data: it looks like a bomb";
        Err(Broken::archive(why).into())
    }
}
