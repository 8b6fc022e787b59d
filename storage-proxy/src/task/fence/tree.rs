//! One vfolder's fence, and who is in its tree.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::guard::{Guard, Stay};
use crate::{
    tree::Control,
    volume::{Fence, OpenVolume, VolumeError},
};

#[derive(Debug, Default)]
pub(super) struct Tree {
    state: Mutex<State>,
    somebody_left: Condvar,
    /// Held while the note on disk is changed. Nobody who comes in waits for it.
    noting: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// At which opening of the volume the disk was asked.
    loaded: Option<u64>,
    fence: Fence,
    /// What the disk has of it.
    noted: Fence,
    guests: Vec<Guest>,
    last: u64,
}

#[derive(Debug)]
struct Guest {
    number: u64,
    stay: Stay,
    epoch: i64,
    cut: CancellationToken,
    control: Arc<Control>,
    disturbed: Arc<AtomicBool>,
}

impl Guest {
    fn is_older_than(&self, fence: Fence) -> bool {
        self.epoch < least(self.stay, fence)
    }

    fn cut(&self) {
        // One that publishes is not disturbed, only waited for.
        if self.stay != Stay::Publishing {
            self.cut.cancel();
            self.control.stop();
        }
    }
}

const fn least(stay: Stay, fence: Fence) -> i64 {
    match stay {
        Stay::Reading | Stay::Verifying => fence.readers,
        Stay::Writing | Stay::Copying | Stay::Publishing => fence.writers,
    }
}

impl Tree {
    /// Asks the disk, once per opening of the volume.
    pub fn load(&self, volume: &OpenVolume, vfolder: Uuid) -> Result<(), VolumeError> {
        let now = Some(volume.opening());
        if self.lock().loaded == now {
            return Ok(());
        }
        let noted = volume.noted_fence(vfolder)?;
        let mut state = self.lock();
        // Whoever was faster may have raised it since, and noted that.
        if state.loaded != now {
            state.loaded = now;
            state.noted = noted;
            state.fence = state.fence.raised_to(noted);
        }
        Ok(())
    }

    /// Whether that epoch would be let in now, or which one would do.
    pub fn look(&self, stay: Stay, epoch: i64) -> Result<(), i64> {
        let least = least(stay, self.lock().fence);
        match epoch < least {
            true => Err(least),
            false => Ok(()),
        }
    }

    /// Or the epoch that would do.
    pub fn enter(
        this: &Arc<Self>,
        stay: Stay,
        epoch: i64,
        control: Arc<Control>,
    ) -> Result<Guard, i64> {
        let mut state = this.lock();
        let least = least(stay, state.fence);
        if epoch < least {
            return Err(least);
        }
        match stay {
            // The tree is no longer what it was when the copy began. A right to write by this epoch or a newer one
            // is given only once the clone has ended for the manager, whatever it still does here.
            Stay::Writing => {
                state.of(Stay::Copying).for_each(Guest::cut);
                let verifying = state.of(Stay::Verifying);
                verifying.for_each(|guest| guest.disturbed.store(true, Relaxed));
            }
            Stay::Copying => {
                if let Some(newest) = state.of(Stay::Writing).map(|writer| writer.epoch).max() {
                    return Err(newest);
                }
            }
            Stay::Reading | Stay::Verifying | Stay::Publishing => {}
        }
        state.last += 1;
        let (number, cut) = (state.last, CancellationToken::new());
        let written = state.of(Stay::Writing).next().is_some();
        let disturbed = Arc::new(AtomicBool::new(stay == Stay::Verifying && written));
        state.guests.push(Guest {
            number,
            stay,
            epoch,
            cut: cut.clone(),
            control,
            disturbed: Arc::clone(&disturbed),
        });
        drop(state);
        Ok(Guard {
            tree: Arc::clone(this),
            number,
            cut,
            disturbed,
            account: None,
        })
    }

    pub fn leave(&self, number: u64) {
        self.lock().guests.retain(|guest| guest.number != number);
        self.somebody_left.notify_all();
    }

    /// Raises the fence in memory, and tells those who are older now.
    pub fn cut_older_than(&self, fence: Fence) {
        let mut state = self.lock();
        state.fence = state.fence.raised_to(fence);
        let fence = state.fence;
        let older = state.guests.iter().filter(|g| g.is_older_than(fence));
        older.for_each(Guest::cut);
    }

    /// Answers whether they have all left in time.
    pub fn wait_for_older_than(&self, fence: Fence, patience: Duration) -> bool {
        let occupied = |state: &mut State| state.guests.iter().any(|g| g.is_older_than(fence));
        let waited = self
            .somebody_left
            .wait_timeout_while(self.lock(), patience, occupied);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Makes what is in memory durable.
    pub fn note(&self, volume: &OpenVolume, vfolder: Uuid) -> Result<(), VolumeError> {
        let _noting = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        let fence = {
            let state = self.lock();
            if state.noted == state.fence {
                return Ok(());
            }
            state.fence
        };
        volume.note_fence(vfolder, fence)?;
        self.lock().noted = fence;
        Ok(())
    }

    pub fn is_noted(&self) -> bool {
        let state = self.lock();
        state.noted == state.fence
    }

    /// Forgets what was noted longer than `age` ago of a tree that is gone.
    pub fn forget(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        age: Duration,
    ) -> Result<(), VolumeError> {
        let _noting = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at again, now that nobody notes it anew.
        if !volume.has_outlived_note(vfolder, age)? {
            return Ok(());
        }
        volume.forget_fence(vfolder)?;
        let mut state = self.lock();
        if state.fence == state.noted {
            state.fence = Fence::default();
        }
        state.noted = Fence::default();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(&self, stay: Stay) -> impl Iterator<Item = &Guest> {
        self.guests.iter().filter(move |guest| guest.stay == stay)
    }
}
