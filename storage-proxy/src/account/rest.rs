//! What becomes of figures when nobody writes any more.

use std::{sync::PoisonError, time::Duration};

use super::{Accounts, Amount};
use crate::volume::{OpenVolume, VolumeError};

/// So long after the last change, a vfolder is at rest.
pub const IDLE: Duration = Duration::from_secs(10);

impl Accounts {
    /// Writes the figures of those that have been at rest for `idle`, so that they need not be counted after a restart.
    /// What they tell of is made durable first: a power cut must not take back what was counted.
    ///
    /// # Errors
    /// Those of the calls. What could not be written is counted after a restart.
    pub fn rest(&self, volume: &OpenVolume, idle: Duration) -> Result<(), VolumeError> {
        let resting: Vec<_> = {
            let resting = self.shared.book().at_rest(idle);
            let unwritten = |(vfolder, _): &(_, _)| self.is_unwritten(*vfolder);
            resting.into_iter().filter(unwritten).collect()
        };
        if resting.is_empty() {
            return Ok(());
        }
        volume.sync()?;
        for (vfolder, changes) in resting {
            let desk = self.desk(vfolder);
            let mut file = desk.file.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody comes in while the file is held.
            let used = {
                let book = self.shared.book();
                let same = book
                    .get(vfolder)
                    .filter(|a| a.changes == changes && a.exact && a.is_at_rest(idle));
                same.and_then(|account| account.used)
            };
            if used.is_some() {
                self.note(volume, vfolder, &mut file, used)?;
            }
        }
        Ok(())
    }

    fn is_unwritten(&self, vfolder: uuid::Uuid) -> bool {
        let desk = self.desk(vfolder);
        // Somebody is at it: another time.
        let Ok(file) = desk.file.try_lock() else {
            return false;
        };
        let used = self.shared.book().get(vfolder).and_then(|a| a.used);
        file.noted
            .as_ref()
            .is_some_and(|noted| noted.used.map(Amount::from) != used)
    }
}
