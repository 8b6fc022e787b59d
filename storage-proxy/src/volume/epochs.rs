//! The highest epoch under which a vfolder changed hands: what comes with an older one is refused, also after a restart.

use std::ffi::CString;

use uuid::Uuid;

use super::{
    OpenVolume, VolumeError,
    durable::{make_directory, read_file, remove_file, replace_file},
    error::on,
    layout::EPOCHS,
};
use crate::tree::open::open_directory;

impl OpenVolume {
    /// The epoch noted for `vfolder`; 0 if none was.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn noted_epoch(&self, vfolder: Uuid) -> Result<i64, VolumeError> {
        let directory = match open_directory(&self.journal, &directory_name()) {
            Err(rustix::io::Errno::NOENT) => return Ok(0),
            done => done.map_err(on(EPOCHS, "open"))?,
        };
        let content = read_file(directory, &vfolder.to_string()).map_err(on(EPOCHS, "read"))?;
        let noted =
            content.and_then(|content| String::from_utf8(content).ok()?.trim().parse().ok());
        Ok(noted.unwrap_or(0))
    }

    /// Notes `epoch` for `vfolder`. Durable when it returns.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn note_epoch(&self, vfolder: Uuid, epoch: i64) -> Result<(), VolumeError> {
        let directory =
            make_directory(&self.journal, &directory_name(), 0o700).map_err(on(EPOCHS, "mkdir"))?;
        replace_file(
            directory,
            &vfolder.to_string(),
            epoch.to_string().as_bytes(),
        )
        .map_err(on(EPOCHS, "write"))
    }

    /// Forgets what was noted for `vfolder`, whose tree is gone.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn forget_epoch(&self, vfolder: Uuid) -> Result<(), VolumeError> {
        match open_directory(&self.journal, &directory_name()) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            opened => opened
                .and_then(|directory| remove_file(directory, &vfolder.to_string()))
                .map(drop)
                .map_err(on(EPOCHS, "unlink")),
        }
    }
}

fn directory_name() -> CString {
    CString::new(EPOCHS).unwrap_or_default()
}
