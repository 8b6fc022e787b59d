//! What a task that works in place has to know after a restart and what is too much for its journal: a file in its staging.

use std::{ffi::CString, fs::File};

use rustix::fs::{Mode, OFlags, openat};
use uuid::Uuid;

use super::{
    OpenVolume, VolumeError,
    durable::{make_directory, read_file, replace_file},
    error::on,
    layout::STAGING,
};
use crate::tree::open::open_directory;

const KEPT: &str = "kept";
const PLACE: &str = "place";

impl OpenVolume {
    /// Keeps `content` for `operation`, in place of what was kept before. Durable when it returns; goes with the staging.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn keep(&self, operation: Uuid, content: &[u8]) -> Result<(), VolumeError> {
        let name = CString::new(operation.to_string()).unwrap_or_default();
        make_directory(&self.staging, &name, 0o700)
            .and_then(|directory| replace_file(&directory, KEPT, content))
            .map_err(on(STAGING, "write"))
    }

    /// What was kept for `operation`, if anything.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn kept(&self, operation: Uuid) -> Result<Option<Vec<u8>>, VolumeError> {
        self.read_kept(operation, KEPT)
    }

    /// A file to note in where `operation` is at work, for whoever clears up after a crash. Goes with the staging.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn place_note(&self, operation: Uuid) -> Result<File, VolumeError> {
        let name = CString::new(operation.to_string()).unwrap_or_default();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        make_directory(&self.staging, &name, 0o700)
            .and_then(|directory| openat(directory, PLACE, flags, Mode::RUSR | Mode::WUSR))
            .map(File::from)
            .map_err(on(STAGING, "write"))
    }

    /// What was noted there, if anything.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn place(&self, operation: Uuid) -> Result<Option<Vec<u8>>, VolumeError> {
        self.read_kept(operation, PLACE)
    }

    fn read_kept(&self, operation: Uuid, file: &str) -> Result<Option<Vec<u8>>, VolumeError> {
        let name = CString::new(operation.to_string()).unwrap_or_default();
        match open_directory(&self.staging, &name) {
            Err(rustix::io::Errno::NOENT) => Ok(None),
            opened => opened
                .and_then(|directory| read_file(&directory, file))
                .map_err(on(STAGING, "read")),
        }
    }
}
