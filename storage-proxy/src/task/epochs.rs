//! Who may still write where: the highest epoch of each vfolder that a task has come with.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use uuid::Uuid;

use crate::volume::{OpenVolume, VolumeError};

/// More are not kept in memory. What must not be forgotten is on disk.
const REMEMBERED: usize = 100_000;

/// The highest epochs seen.
#[derive(Debug, Default)]
pub struct Epochs(Mutex<HashMap<Uuid, i64>>);

impl Epochs {
    /// The highest epoch of `vfolder` that a task has come with, in this life of the process or an earlier one; 0 if none has.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn current(&self, volume: &OpenVolume, vfolder: Uuid) -> Result<i64, VolumeError> {
        if let Some(known) = self.known(vfolder) {
            return Ok(known);
        }
        let noted = volume.noted_epoch(vfolder)?;
        Ok(self.raise(vfolder, noted))
    }

    /// Raises the epoch of `vfolder`, in memory only: for a vfolder whose tree is new, so that nobody has an older one.
    pub fn raise(&self, vfolder: Uuid, epoch: i64) -> i64 {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= REMEMBERED {
            map.clear();
        }
        let known = map.entry(vfolder).or_insert(epoch);
        *known = (*known).max(epoch);
        *known
    }

    /// Forgets `vfolder`, whose tree is gone.
    pub fn forget(&self, vfolder: Uuid) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&vfolder);
    }

    fn known(&self, vfolder: Uuid) -> Option<i64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&vfolder)
            .copied()
    }
}
