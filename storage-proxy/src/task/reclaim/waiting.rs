//! What waits in the trash, and how much space it is known to hold.

use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::tree::{Control, Usage};

/// What was counted in the trash of one volume.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    trees: HashMap<CString, Usage>,
    /// The one that is being destroyed.
    current: Option<CString>,
}

impl Counted {
    /// Whether this one was counted, or can't be.
    pub fn has(&self, name: &CStr) -> bool {
        self.lock().trees.contains_key(name)
    }

    /// It was counted.
    pub fn add(&self, name: &CStr, usage: Usage) {
        self.lock().trees.insert(name.to_owned(), usage);
    }

    /// It is being destroyed now.
    pub fn begin(&self, name: &CStr) {
        self.lock().current = Some(name.to_owned());
    }

    /// Its destruction has ended. What is left of it, if that failed, will be counted anew.
    pub fn end(&self, name: &CStr) {
        let mut known = self.lock();
        known.current = None;
        known.trees.remove(name);
    }

    /// The bytes on disk of what was counted, but for the share of the current one's entries that is destroyed already.
    pub fn bytes(&self, control: &Control) -> u64 {
        let known = self.lock();
        let done = control.progress().entries_done;
        let of_one = |(name, usage): (&CString, &Usage)| match known.current.as_ref() {
            Some(current) if current == name => left(usage, done),
            _ => usage.disk_bytes,
        };
        known.trees.iter().map(of_one).fold(0, u64::saturating_add)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn left(usage: &Usage, done: u64) -> u64 {
    let (entries, left) = (usage.entries.max(1), usage.entries.saturating_sub(done));
    let bytes = u128::from(usage.disk_bytes) * u128::from(left) / u128::from(entries);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pending_shrinks_with_the_entries_that_are_destroyed() {
        let (counted, control) = (Counted::default(), Control::default());
        let usage = Usage {
            entries: 4,
            bytes: 0,
            disk_bytes: 4000,
            approximate: false,
        };
        for name in [c"one", c"two"] {
            counted.add(name, usage);
        }
        assert_eq!(counted.bytes(&control), 8000);
        counted.begin(c"one");
        control.entry_done();
        assert_eq!(counted.bytes(&control), 7000);
        for _ in 0..9 {
            control.entry_done();
        }
        assert_eq!(counted.bytes(&control), 4000);
        counted.end(c"one");
        assert_eq!(
            (
                counted.bytes(&control),
                counted.has(c"one"),
                counted.has(c"two")
            ),
            (4000, false, true)
        );
    }
}
