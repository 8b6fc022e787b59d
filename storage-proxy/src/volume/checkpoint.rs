//! What is noted in `staging/<operation>/` about a copy, so that it can be gone on with after a kill or a power cut.

use std::{
    ffi::CString,
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::{
    fs::{Timespec, Timestamps, UTIME_NOW, fstat, futimens, syncfs},
    io::{Errno, fcntl_dupfd_cloexec},
};
use uuid::Uuid;

use super::{
    OpenVolume, Staging, VolumeError,
    durable::{read_file, remove_file, replace_file},
    error::on,
    layout::STAGING,
};
use crate::{
    faults::at,
    tree::{Checkpoint, Meta, Moment, Ongoing, open::open_directory},
};

/// In staging/<operation>/: the checkpoint.
const CHECKPOINT: &str = "checkpoint";

impl Staging {
    /// Notes that a copy begins, of which nothing is there.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn begin_copy(&self) -> Result<Checkpoint, VolumeError> {
        let checkpoint = self.now().map(Checkpoint::first);
        let checkpoint = checkpoint.map_err(on(STAGING, "futimens"))?;
        self.note(&checkpoint)?;
        Ok(checkpoint)
    }

    /// The same for a thread that makes checkpoints. Opened once more: a failed write is told once to each open file
    /// description, and the final sync must hear of it too.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn for_checkpoints(&self) -> Result<Self, VolumeError> {
        open_directory(self.directory(), c".")
            .and_then(|directory| Self::resume(self.operation(), directory))
            .map_err(on(STAGING, "open"))
    }

    /// Makes durable what is copied so far, and notes that.
    ///
    /// # Errors
    /// Those of the calls; unless it was the sync that failed, the checkpoint before still holds.
    pub fn checkpoint(
        &self,
        before: &Checkpoint,
        ongoing: &Ongoing,
    ) -> Result<Checkpoint, VolumeError> {
        // Both before the sync: what comes later may miss it.
        let partial = ongoing.offsets();
        let durable = self.now().map_err(on(STAGING, "futimens"))?;
        let synced = at("clone.noting").and_then(|()| syncfs(self.directory()));
        synced.map_err(|errno| {
            self.distrust();
            on(STAGING, "syncfs")(errno)
        })?;
        let checkpoint = Checkpoint {
            began: before.began,
            durable: Some(durable),
            partial,
        };
        self.note(&checkpoint)?;
        Ok(checkpoint)
    }

    /// After a sync that has failed: what is here must not be gone on with. The kernel tells of a lost write once, and then
    /// shows what should be on disk for as long as it is in memory.
    pub fn distrust(&self) {
        if let Err(errno) = remove_file(self.directory(), CHECKPOINT) {
            tracing::warn!(
                operation = %self.operation(), %errno,
                "what this clone has lost to a failed sync can't be noted; cancel it if it is killed before it has failed"
            );
        }
    }

    /// Notes `checkpoint`.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn note(&self, checkpoint: &Checkpoint) -> Result<(), VolumeError> {
        let content = serde_json::to_vec(checkpoint).unwrap_or_default();
        replace_file(self.directory(), CHECKPOINT, &content)
            .and_then(|()| at("clone.noted"))
            .map_err(on(STAGING, "write"))
    }

    /// The handle to sync for the last time, for another thread.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn sync_handle(&self) -> Result<OwnedFd, VolumeError> {
        fcntl_dupfd_cloexec(self.directory(), 0).map_err(on(STAGING, "dup"))
    }

    /// The filesystem's own clock, as it stamps inodes.
    fn now(&self) -> Result<Moment, Errno> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let directory = self.directory();
        futimens(
            directory,
            &Timestamps {
                last_access: now,
                last_modification: now,
            },
        )?;
        Ok(Meta::from(fstat(directory)?).changed)
    }
}

impl OpenVolume {
    /// The staging that an earlier life has left, if what is there can be gone on with.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn resume_staging(
        &self,
        operation: Uuid,
    ) -> Result<Option<(Staging, Checkpoint)>, VolumeError> {
        let name = CString::new(operation.to_string()).unwrap_or_default();
        let directory = match open_directory(self.staging.as_fd(), &name) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(on(STAGING, "open"))?,
        };
        let noted = read_file(&directory, CHECKPOINT).map_err(on(STAGING, "read"))?;
        let read = |noted: Vec<u8>| serde_json::from_slice::<Checkpoint>(&noted).ok();
        let Some(mut checkpoint) = noted.and_then(read) else {
            return Ok(None);
        };
        let staging = Staging::resume(operation, directory).map_err(on(STAGING, "open"))?;
        let now = staging.now().map_err(on(STAGING, "futimens"))?;
        if checkpoint.durable.is_some_and(|durable| now < durable) {
            // The clock was set back: what is copied from now on would look older than the checkpoint.
            checkpoint.durable = None;
            staging.note(&checkpoint)?;
        }
        Ok(Some((staging, checkpoint)))
    }
}
