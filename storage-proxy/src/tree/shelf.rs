//! Names that were read for one page are kept for the next.

use std::{
    collections::VecDeque,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Control, Fault,
    meta::FileId,
    names::{MOST, Names, Order, Position},
};

/// Bytes at most that all of them take.
const ROOM: usize = 4 * MOST;
/// For how long they are kept: what comes into a directory after its names were read shows up in a listing of it that
/// began before no sooner than that.
const AGE: Duration = Duration::from_secs(60);
/// What has fewer names left is read again as fast.
const WORTHWHILE: usize = 500;

/// Keeps names. Bounded in memory and time; what is missing is read again.
#[derive(Debug)]
pub struct Shelf {
    began: Instant,
    kept: Mutex<VecDeque<Kept>>,
}

#[derive(Debug)]
struct Kept {
    directory: FileId,
    order: Order,
    names: Arc<Names>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            kept: Mutex::default(),
        }
    }
}

impl Shelf {
    /// Nanoseconds of this process.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Keeps `names` for whoever goes on with them at number `at`.
    pub fn keep(&self, directory: FileId, order: Order, names: &Arc<Names>, at: usize) {
        if names.len() < at.saturating_add(WORTHWHILE) {
            return;
        }
        let fresh = self.oldest();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| one.names.read_at() >= fresh && !Arc::ptr_eq(&one.names, names));
        kept.push_back(Kept {
            directory,
            order,
            names: Arc::clone(names),
        });
        let mut room: usize = kept.iter().map(|one| one.names.bytes()).sum();
        while room > ROOM
            && let Some(dropped) = kept.pop_front()
        {
            room -= dropped.names.bytes();
        }
    }

    /// Names in which a listing that began at `since` finds what comes after `after`.
    fn find(
        &self,
        directory: FileId,
        order: Order,
        after: Option<&Position>,
        since: u64,
    ) -> Option<Arc<Names>> {
        // Older ones lack what came before the listing began: that must not be missed.
        let since = since.max(self.oldest());
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fitting = kept.iter().rev().filter(|one| {
            one.directory == directory && one.order == order && one.names.read_at() >= since
        });
        let found = fitting.find(|one| one.names.covers(after));
        found.map(|one| Arc::clone(&one.names))
    }

    fn oldest(&self) -> u64 {
        let age = u64::try_from(AGE.as_nanos()).unwrap_or(u64::MAX);
        self.now().saturating_sub(age)
    }
}

/// A listing that is under way, perhaps over many pages.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Where its names are kept between two pages.
    pub shelf: &'a Shelf,
    /// When its first page was asked for: see [`Shelf::now`].
    pub since: u64,
    /// Stops it.
    pub control: &'a Control,
}

impl Reading<'_> {
    /// Names of `directory`, which is open for reading, with what comes after `after`.
    pub(super) fn names(
        &self,
        directory: BorrowedFd<'_>,
        id: FileId,
        order: Order,
        after: Option<&Position>,
    ) -> Result<Arc<Names>, Fault> {
        if let Some(kept) = self.shelf.find(id, order, after, self.since) {
            return Ok(kept);
        }
        let (after, now) = (after.cloned(), self.shelf.now());
        Names::read(directory, order, after, MOST, now, self.control).map(Arc::new)
    }
}
