//! Fencing: who may still come into which tree, and who is in it now.
//!
//! A vfolder's epoch is a number that the manager raises whenever the tree changes hands. What is remembered here is
//! never above what the manager's row says; whatever comes with an older number is refused. It only rises by what the
//! manager has ordered: a fence, the begin of a clone (for its source) and of a purge, and the end of a task that must
//! not run again. A grant with a higher number raises nothing.
//!
//! Whoever comes into a tree shows an epoch and stays on the list until it leaves ([`Guard`]). Raising a fence refuses
//! older ones from that moment, notes it on disk, cuts off those who are inside, and ends only when they have left.

mod guard;
mod tree;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use thiserror::Error;
use uuid::Uuid;

pub use self::guard::{Guard, Stay};
use self::tree::Tree;
use crate::{
    account::Accounts,
    tree::Control,
    volume::{Fence, OpenVolume, VolumeError},
};

/// How long raising a fence waits for those who are cut off. Whoever asked may ask again.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How long the fence of a vfolder without a tree is kept: the longest that a manager may be paused, or its message
/// under way, and still not make a tree appear that was purged or given up meanwhile.
pub const OUTLIVES_ITS_TREE: Duration = Duration::from_secs(7 * 24 * 3600);
/// So many are kept in memory, and all that are in use or not on disk.
const CACHED: usize = 100_000;

/// Why somebody may not come in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EnterError {
    /// The tree has changed hands since.
    #[error(
        "the vfolder {vfolder} has changed hands since this was admitted (epoch {epoch}, now {current}); look at its \
         status, and try again if it still admits it"
    )]
    Stale {
        /// Whose tree.
        vfolder: Uuid,
        /// What was shown.
        epoch: i64,
        /// What would do.
        current: i64,
    },
    /// The disk doesn't tell.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// Why a fence is not raised.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RaiseError {
    /// Somebody who was cut off has not left. Nobody of their kind comes in any more; asking again waits again.
    #[error(
        "a request of an older epoch is still at work in the tree of the vfolder {0}; it was told to stop, try again \
         in a moment"
    )]
    Occupied(Uuid),
    /// It is not on disk.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// The fences of one volume.
#[derive(Debug, Default)]
pub struct Fences {
    trees: Mutex<HashMap<Uuid, Arc<Tree>>>,
    accounts: Arc<Accounts>,
}

impl Fences {
    /// Whoever comes to write is also on the books of `accounts`.
    #[must_use]
    pub fn new(accounts: Arc<Accounts>) -> Self {
        Self {
            trees: Mutex::default(),
            accounts,
        }
    }

    /// Comes into the tree of `vfolder`, or doesn't. What a writer has to know first, what is in there, is counted first if
    /// need be, which may take long. Refusing and being on the list are one step: whoever raises the fence
    /// afterwards cuts this guest off and waits for it. Cut off, it finds its `control` stopped.
    ///
    /// # Errors
    /// See [`EnterError`].
    pub fn enter(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        stay: Stay,
        epoch: i64,
        control: Arc<Control>,
    ) -> Result<Guard, EnterError> {
        let tree = self.known(volume, vfolder)?;
        let account = match stay {
            Stay::Writing => {
                tree.look(stay, epoch).map_err(stale(vfolder, epoch))?;
                Some(self.accounts.come_in(volume, vfolder, &control)?)
            }
            Stay::Reading | Stay::Verifying | Stay::Copying | Stay::Publishing => None,
        };
        let mut guard = Tree::enter(&tree, stay, epoch, control).map_err(stale(vfolder, epoch))?;
        guard.account = account;
        Ok(guard)
    }

    /// As [`Fences::enter`], but nothing is counted: nothing is the answer where it would have to be.
    ///
    /// # Errors
    /// See [`EnterError`].
    pub fn try_enter(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        stay: Stay,
        epoch: i64,
        control: Arc<Control>,
    ) -> Result<Option<Guard>, EnterError> {
        if stay != Stay::Writing {
            return self.enter(volume, vfolder, stay, epoch, control).map(Some);
        }
        let tree = self.known(volume, vfolder)?;
        tree.look(stay, epoch).map_err(stale(vfolder, epoch))?;
        let Some(account) = self.accounts.try_come_in(volume, vfolder)? else {
            return Ok(None);
        };
        let mut guard = Tree::enter(&tree, stay, epoch, control).map_err(stale(vfolder, epoch))?;
        guard.account = Some(account);
        Ok(Some(guard))
    }

    /// Raises the fence of `vfolder` to at least `fence`. When it returns, this is durable, and nobody older is in the
    /// tree or comes in.
    ///
    /// # Errors
    /// See [`RaiseError`]. Nobody older comes in all the same, as long as this process lives; what could not be noted is
    /// noted later (`Fences::note_rest`).
    pub fn raise(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        fence: Fence,
    ) -> Result<(), RaiseError> {
        let fence = Fence::default().raised_to(fence);
        let tree = self.known(volume, vfolder)?;
        tree.cut_older_than(fence);
        // Before waiting: a crash meanwhile ends everybody's stay as well.
        let noted = tree.note(volume, vfolder);
        if !tree.wait_for_older_than(fence, PATIENCE) {
            return Err(RaiseError::Occupied(vfolder));
        }
        Ok(noted?)
    }

    /// Notes what there was no space for when it was raised. Answers whether all of it is noted now.
    pub fn note_rest(&self, volume: &OpenVolume) -> bool {
        let trees = self.trees(|tree| !tree.is_noted());
        trees.into_iter().fold(true, |all, (vfolder, tree)| {
            let noted = tree.note(volume, vfolder);
            if let Err(error) = &noted {
                tracing::debug!(%vfolder, %error, "can't note yet who may still come into the tree");
            }
            all && noted.is_ok()
        })
    }

    /// Forgets those whose tree has been gone for longer than `age`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn sweep(&self, volume: &OpenVolume, age: Duration) -> Result<(), VolumeError> {
        for vfolder in volume.outlived_notes(age)? {
            let tree = self.tree(vfolder);
            tree.forget(volume, vfolder, age)?;
        }
        Ok(())
    }

    fn known(&self, volume: &OpenVolume, vfolder: Uuid) -> Result<Arc<Tree>, VolumeError> {
        let tree = self.tree(vfolder);
        tree.load(volume, vfolder)?;
        Ok(tree)
    }

    fn tree(&self, vfolder: Uuid) -> Arc<Tree> {
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if trees.len() >= CACHED && !trees.contains_key(&vfolder) {
            // Nobody can come to hold one meanwhile: that takes this lock.
            trees.retain(|_, tree| Arc::strong_count(tree) > 1 || !tree.is_noted());
        }
        Arc::clone(trees.entry(vfolder).or_default())
    }

    fn trees(&self, which: impl Fn(&Tree) -> bool) -> Vec<(Uuid, Arc<Tree>)> {
        let trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = trees.iter().filter(|(_, tree)| which(tree));
        wanted
            .map(|(vfolder, tree)| (*vfolder, Arc::clone(tree)))
            .collect()
    }
}

fn stale(vfolder: Uuid, epoch: i64) -> impl Fn(i64) -> EnterError {
    move |current| EnterError::Stale {
        vfolder,
        epoch,
        current,
    }
}
