//! Turns of those who want something of one vfolder, so that they don't take all of a volume's threads: its reader could
//! else keep everybody else out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// From so many vfolders on, those of whom nobody wants anything are forgotten.
const CLEAR_FROM: usize = 1024;

/// Of each vfolder, so many at once.
#[derive(Debug)]
pub struct Turns {
    each: usize,
    of: Mutex<HashMap<Uuid, Weak<Semaphore>>>,
}

impl Turns {
    /// So many at once.
    pub fn new(each: usize) -> Self {
        Self {
            each,
            of: Mutex::default(),
        }
    }

    /// Waits for a turn, in the order of coming. None only when the process ends.
    pub async fn take(&self, vfolder: Uuid) -> Option<OwnedSemaphorePermit> {
        self.of(vfolder).acquire_owned().await.ok()
    }

    /// A turn, if there is one now.
    pub fn try_take(&self, vfolder: Uuid) -> Option<OwnedSemaphorePermit> {
        self.of(vfolder).try_acquire_owned().ok()
    }

    fn of(&self, vfolder: Uuid) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = of.get(&vfolder).and_then(Weak::upgrade) {
            return turns;
        }
        if of.len() >= CLEAR_FROM {
            of.retain(|_, turns| turns.strong_count() > 0);
        }
        let turns = Arc::new(Semaphore::new(self.each));
        of.insert(vfolder, Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn one_vfolders_turns_are_used_up_and_come_back_and_the_others_have_theirs() {
        let turns = Turns::new(2);
        let [one, other] = [1, 2].map(Uuid::from_u128);
        let take = |vfolder| turns.take(vfolder).now_or_never().flatten();
        let held = [take(one).unwrap(), turns.try_take(one).unwrap()];
        assert!(take(one).is_none());
        assert!(turns.try_take(one).is_none());
        drop(take(other).unwrap());
        drop(held);
        drop(take(one).unwrap());
        // A semaphore lives while one of its turns does, and is forgotten then.
        for vfolder in 10..10 + 2 * CLEAR_FROM as u128 {
            drop(take(Uuid::from_u128(vfolder)).unwrap());
        }
        assert!(turns.of.lock().unwrap().len() <= CLEAR_FROM);
    }
}
