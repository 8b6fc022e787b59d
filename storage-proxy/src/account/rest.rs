//! What becomes of figures when nobody writes any more.

use std::{sync::TryLockError, time::Duration};

use uuid::Uuid;

use super::{Accounts, Amount, accounts::lock};
use crate::volume::{OpenVolume, VolumeError};

/// So long after the last change, a vfolder is at rest.
pub const IDLE: Duration = Duration::from_secs(10);
/// So long after it was last heard of a vfolder without limits, it is forgotten. Longer than a grant lives that could
/// bring limits back which were lifted since.
pub const UNHEARD: Duration = Duration::from_secs(24 * 3600);

impl Accounts {
    /// Writes the figures of those that have been at rest for `idle`, so that they need not be counted after a restart.
    /// What they tell of is made durable first: a power cut must not take back what was counted.
    ///
    /// # Errors
    /// Those of the calls. What could not be written is counted after a restart.
    pub fn rest(&self, volume: &OpenVolume, idle: Duration) -> Result<(), VolumeError> {
        self.note_unwritten(volume)?;
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
            let mut file = lock(&desk);
            // Nobody comes in while the desk is held.
            let same = {
                let book = self.shared.book();
                let account = book.get(vfolder);
                account.is_some_and(|a| a.changes == changes && a.is_at_rest(idle))
            };
            if same {
                self.note_as_it_is(volume, vfolder, &mut file)?;
            }
        }
        Ok(())
    }

    /// Forgets those without limits of whom nobody has heard for `unheard`. Whoever is limited stays, in memory and on the
    /// volume: it counts for its owner.
    pub fn forget_unheard(&self, unheard: Duration) {
        let unheard_of = self.shared.book().unheard(unheard);
        for vfolder in unheard_of {
            let desk = self.desk(vfolder);
            {
                let Ok(file) = desk.try_lock() else {
                    continue;
                };
                let mut book = self.shared.book();
                // Somebody may have been faster.
                let still = book.get(vfolder).is_some_and(|a| a.is_unheard(unheard));
                if file.noted.is_some() || !still || book.is_limited(vfolder) {
                    continue;
                }
                book.forget(vfolder);
            }
            self.drop_desk(vfolder, &desk);
        }
    }

    fn is_unwritten(&self, vfolder: Uuid) -> bool {
        let desk = self.desk(vfolder);
        let file = match desk.try_lock() {
            Ok(file) => file,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody is at it: another time.
            Err(TryLockError::WouldBlock) => return false,
        };
        let used = self.shared.book().get(vfolder).and_then(|a| a.used);
        file.noted
            .as_ref()
            .is_some_and(|noted| noted.used.map(Amount::from) != used)
    }
}
