//! What a task needs to know after a restart: one small file per operation.

use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    OpenVolume, VolumeError,
    durable::{read_file, remove_file, replace_file},
    error::on,
    layout::JOURNAL,
};
use crate::faults::at;

impl OpenVolume {
    /// Writes the entry of `operation`, in place of what was there. Durable when it returns.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn write_journal(
        &self,
        operation: Uuid,
        entry: &impl Serialize,
    ) -> Result<(), VolumeError> {
        let content = serde_json::to_vec(entry)
            .map_err(|error| VolumeError::Journal(operation, error.to_string()))?;
        at("journal.write")
            .and_then(|()| replace_file(&self.journal, &operation.to_string(), &content))
            .and_then(|()| at("journal.written"))
            .map_err(on(JOURNAL, "write"))
    }

    /// The entry of `operation`, if there is one.
    ///
    /// # Errors
    /// [`VolumeError::Journal`] if it doesn't read as `T`.
    pub fn read_journal<T: DeserializeOwned>(
        &self,
        operation: Uuid,
    ) -> Result<Option<T>, VolumeError> {
        let Some(content) =
            read_file(&self.journal, &operation.to_string()).map_err(on(JOURNAL, "read"))?
        else {
            return Ok(None);
        };
        serde_json::from_slice(&content)
            .map(Some)
            .map_err(|error| VolumeError::Journal(operation, error.to_string()))
    }

    /// Removes the entry of `operation`, if there is one. Durable when it returns.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn remove_journal(&self, operation: Uuid) -> Result<(), VolumeError> {
        at("journal.remove")
            .and_then(|()| remove_file(&self.journal, &operation.to_string()))
            .and_then(|_| at("journal.removed"))
            .map_err(on(JOURNAL, "unlink"))
    }
}
