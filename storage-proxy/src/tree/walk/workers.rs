//! How many threads work on a tree.

use std::{num::NonZeroUsize, thread};

/// More than this were not measured, and would only wait for each other in the filesystem's journal.
const MOST: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// How many threads work on a tree at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers(NonZeroUsize);

impl Workers {
    /// One: where more would only wait for each other.
    pub const ONE: Self = Self(NonZeroUsize::MIN);

    /// As many as asked for.
    #[must_use]
    pub fn new(number: NonZeroUsize) -> Self {
        Self(number)
    }

    /// As many as there are cores for us, at most 16.
    #[must_use]
    pub fn all_cores() -> Self {
        Self(thread::available_parallelism().map_or(NonZeroUsize::MIN, |cores| cores.min(MOST)))
    }

    /// How many.
    #[must_use]
    pub fn get(self) -> usize {
        self.0.get()
    }
}
