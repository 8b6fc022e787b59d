//! Files without a name, for what memory has no room for.

use std::{fs::File, io};

use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use uuid::Uuid;

use super::OpenVolume;

impl OpenVolume {
    /// A new file, open for reading and writing, that goes when it is closed.
    ///
    /// # Errors
    /// Those of open(2) and unlink(2).
    pub fn scratch_file(&self) -> io::Result<File> {
        // Where a crash in between leaves it, it is swept as a half-written file.
        let name = format!(".scratch-{}.part", Uuid::new_v4());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.journal, &name, flags, Mode::RUSR | Mode::WUSR)?;
        unlinkat(&self.journal, &name, AtFlags::empty())?;
        Ok(file.into())
    }
}
