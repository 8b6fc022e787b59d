//! A volume of the configuration: open, or waited for.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use super::{Holder, NewTrees, OpenError, OpenVolume, VolumeError};

/// A configured volume, which may come and go.
#[derive(Debug)]
pub struct Volume {
    name: String,
    path: PathBuf,
    holder: Holder,
    id: Option<Uuid>,
    new_trees: NewTrees,
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    open: Option<Arc<OpenVolume>>,
    /// Of the volume that was here first: another one that is mounted later under the same name is not it.
    first: Option<Uuid>,
    why: String,
}

impl Volume {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>, holder: Holder) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            holder,
            id: None,
            new_trees: NewTrees::default(),
            slot: Mutex::default(),
        }
    }

    /// With other owners and modes for new trees.
    #[must_use]
    pub fn with_new_trees(mut self, new_trees: NewTrees) -> Self {
        self.new_trees = new_trees;
        self
    }

    /// Only the volume of this id.
    #[must_use]
    pub fn with_id(mut self, id: Option<Uuid>) -> Self {
        self.id = id;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for the first time. A volume that is not there is waited for.
    ///
    /// # Errors
    /// [`OpenError::Held`]: two owners would destroy each other's work, so that one must not even start.
    pub fn open_at_start(&self) -> Result<(), OpenError> {
        let mut slot = self.lock();
        match self.open(&mut slot) {
            Err(error @ OpenError::Held { .. }) => Err(error),
            Err(error) => {
                tracing::warn!(volume = self.name, %error, "volume not available; it is tried again");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// The volume, if it is there now; to be asked for before each use, and not kept.
    ///
    /// # Errors
    /// [`VolumeError::Unavailable`].
    pub fn get(&self) -> Result<Arc<OpenVolume>, VolumeError> {
        let mut slot = self.lock();
        if let Some(open) = &slot.open {
            if open.is_still_at(&self.path) {
                return Ok(Arc::clone(open));
            }
            tracing::warn!(
                volume = self.name,
                "the volume is no longer at {}, or its lock no longer there",
                self.path.display()
            );
            slot.open = None;
        }
        self.open(&mut slot).map_err(|_| VolumeError::Unavailable {
            name: self.name.clone(),
            why: slot.why.clone(),
        })
    }

    fn open(&self, slot: &mut Slot) -> Result<Arc<OpenVolume>, OpenError> {
        match OpenVolume::open(&self.path, &self.name, self.id.or(slot.first), &self.holder) {
            Ok(mut open) => {
                open.new_trees = self.new_trees;
                slot.first = Some(open.description().volume_id);
                let open = Arc::new(open);
                slot.open = Some(Arc::clone(&open));
                tracing::info!(
                    volume = self.name,
                    path = %self.path.display(),
                    id = %open.description().volume_id,
                    read_only = open.is_read_only(),
                    "volume open"
                );
                Ok(open)
            }
            // After an unmount, tasks may still hold what was open before.
            Err(OpenError::Held { path, holder })
                if holder.instance_id == self.holder.instance_id =>
            {
                slot.why = "it was unmounted, and work on it is still ending".into();
                Err(OpenError::Held { path, holder })
            }
            Err(error) => {
                slot.why = error.to_string();
                Err(error)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
