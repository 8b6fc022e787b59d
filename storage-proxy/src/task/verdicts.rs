//! How tasks failed for good, on disk: asked for again after a restart, such a task is not done again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use uuid::Uuid;

use super::spec::Record;
use crate::volume::OpenVolume;

/// The verdicts of one volume that could not be written yet: a full volume may have no space for them. Until there is, they
/// are known as long as this process lives; a crash before that lets the task be done again if it is asked for again.
#[derive(Debug, Default)]
pub(super) struct Verdicts(Mutex<HashMap<Uuid, Record>>);

impl Verdicts {
    /// Writes what is known of a task that has failed, now or as soon as that is possible.
    pub fn note(&self, volume: &OpenVolume, operation: Uuid, record: Record) {
        // The lock is held while it is written: see `forget`.
        let mut unwritten = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match volume.write_journal(operation, &record) {
            Ok(()) => drop(unwritten.remove(&operation)),
            Err(error) => {
                tracing::warn!(%operation, %error, "can't write yet into the journal that the task has failed");
                unwritten.insert(operation, record);
            }
        }
    }

    /// What is known of a task and not written.
    pub fn unwritten(&self, operation: Uuid) -> Option<Record> {
        let unwritten = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.get(&operation).cloned()
    }

    /// After this, nothing writes the journal of that task any more.
    pub fn forget(&self, operation: Uuid) {
        let mut unwritten = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.remove(&operation);
    }

    /// Tries again to write what could not be written.
    pub fn note_rest(&self, volume: &OpenVolume) {
        let mut unwritten = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.retain(|operation, record| volume.write_journal(*operation, record).is_err());
    }
}
