//! Who may still come into a vfolder's tree, also after a restart: one small file per vfolder, `journal/epochs/<uuid>`.

use std::{
    ffi::CString,
    os::fd::{AsFd as _, OwnedFd},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{AtFlags, statat},
    io::Errno,
};
use uuid::Uuid;

use super::{
    OpenVolume, VolumeError,
    durable::{make_directory, read_file, remove_file, replace_file},
    error::on,
    layout::EPOCHS,
};
use crate::{
    faults::at,
    tree::{Fault, dirents::Dirents, open::open_directory},
};

/// The least epochs that still count. Who may write may read: `writers` is never below `readers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// For writing, and for making a tree appear or disappear.
    pub writers: i64,
    /// For reading.
    pub readers: i64,
}

impl Fence {
    /// Against older writers alone.
    #[must_use]
    pub const fn for_writers(epoch: i64) -> Self {
        Self {
            writers: epoch,
            readers: 0,
        }
    }

    /// Against whoever is older.
    #[must_use]
    pub const fn for_all(epoch: i64) -> Self {
        Self {
            writers: epoch,
            readers: epoch,
        }
    }

    /// The stricter of both. It never falls.
    #[must_use]
    pub fn raised_to(self, other: Self) -> Self {
        let readers = self.readers.max(other.readers);
        Self {
            writers: self.writers.max(other.writers).max(readers),
            readers,
        }
    }

    fn write(self) -> String {
        format!("{} {}\n", self.writers, self.readers)
    }

    /// One number alone was written by earlier versions, by purges.
    fn read(content: Vec<u8>) -> Option<Self> {
        let text = String::from_utf8(content).ok()?;
        let mut numbers = text.split_ascii_whitespace().map(str::parse::<i64>);
        let writers = numbers.next()?.ok()?;
        let readers = numbers.next().unwrap_or(Ok(writers)).ok()?;
        let read = Self { writers, readers };
        (numbers.next().is_none() && writers >= readers).then_some(read)
    }
}

impl OpenVolume {
    /// The fence noted for `vfolder`; the lowest if none was.
    ///
    /// # Errors
    /// Those of the calls, and [`VolumeError::Note`].
    pub fn noted_fence(&self, vfolder: Uuid) -> Result<Fence, VolumeError> {
        let Some(directory) = self.notes()? else {
            return Ok(Fence::default());
        };
        match read_file(directory, &vfolder.to_string()).map_err(on(EPOCHS, "read"))? {
            None => Ok(Fence::default()),
            Some(content) => Fence::read(content).ok_or(VolumeError::Note(vfolder)),
        }
    }

    /// Notes the fence of `vfolder`. Durable when it returns.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn note_fence(&self, vfolder: Uuid, fence: Fence) -> Result<(), VolumeError> {
        let directory =
            make_directory(&self.journal, &directory_name(), 0o700).map_err(on(EPOCHS, "mkdir"))?;
        let content = fence.write();
        at("fence.note")
            .and_then(|()| replace_file(directory, &vfolder.to_string(), content.as_bytes()))
            .and_then(|()| at("fence.noted"))
            .map_err(on(EPOCHS, "write"))
    }

    /// Removes what was noted for `vfolder`.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn forget_fence(&self, vfolder: Uuid) -> Result<(), VolumeError> {
        match self.notes()? {
            None => Ok(()),
            Some(directory) => remove_file(directory, &vfolder.to_string())
                .map(drop)
                .map_err(on(EPOCHS, "unlink")),
        }
    }

    /// The vfolders whose tree is gone and whose note was written longer than `age` ago.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn outlived_notes(&self, age: Duration) -> Result<Vec<Uuid>, VolumeError> {
        let mut outlived = Vec::new();
        let Some(directory) = self.notes()? else {
            return Ok(outlived);
        };
        let mut dirents = Dirents::default();
        loop {
            let batch = dirents.batch(directory.as_fd(), |name, _| {
                let vfolder = name.to_str().ok().and_then(|n| Uuid::parse_str(n).ok());
                outlived.extend(vfolder.filter(|_| is_older(&directory, name, age)));
                Ok(())
            });
            match batch {
                Ok(Some(_)) => {}
                Err((Fault::System(call, errno), _)) => return Err(on(EPOCHS, call)(errno)),
                Ok(None) | Err(_) => break,
            }
        }
        // What can't be looked at now is kept.
        outlived.retain(|vfolder| matches!(self.tree(*vfolder), Ok(None)));
        Ok(outlived)
    }

    /// Whether `vfolder` is one of [`OpenVolume::outlived_notes`].
    ///
    /// # Errors
    /// Those of the calls.
    pub fn has_outlived_note(&self, vfolder: Uuid, age: Duration) -> Result<bool, VolumeError> {
        let Some(directory) = self.notes()? else {
            return Ok(false);
        };
        let name = CString::new(vfolder.to_string()).unwrap_or_default();
        Ok(is_older(&directory, &name, age) && self.tree(vfolder)?.is_none())
    }

    fn notes(&self) -> Result<Option<OwnedFd>, VolumeError> {
        match open_directory(&self.journal, &directory_name()) {
            Err(Errno::NOENT) => Ok(None),
            opened => opened.map(Some).map_err(on(EPOCHS, "open")),
        }
    }
}

fn is_older(directory: &OwnedFd, name: &std::ffi::CStr, age: Duration) -> bool {
    let Ok(stat) = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return false;
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // Of the future, by a clock that was wrong once: not old.
    now.is_ok_and(|now| {
        u64::try_from(stat.st_mtime).is_ok_and(|written| {
            now.checked_sub(Duration::from_secs(written))
                .is_some_and(|passed| passed > age)
        })
    })
}

fn directory_name() -> CString {
    CString::new(EPOCHS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_never_falls_and_lets_no_writer_in_who_may_not_read() {
        let fence = Fence::for_writers(7);
        assert_eq!(fence.raised_to(Fence::for_writers(3)), fence);
        assert_eq!(fence.raised_to(Fence::for_all(9)), Fence::for_all(9));
        let (writers, readers) = (7, 5);
        assert_eq!(
            fence.raised_to(Fence::for_all(5)),
            Fence { writers, readers }
        );
    }

    #[test]
    fn a_note_reads_as_it_was_written_also_by_an_earlier_version() {
        for fence in [
            Fence::default(),
            Fence::for_writers(7),
            Fence::for_all(i64::MAX),
        ] {
            assert_eq!(Fence::read(fence.write().into_bytes()), Some(fence));
        }
        assert_eq!(Fence::read(b"7".to_vec()), Some(Fence::for_all(7)));
        for broken in [&b""[..], b"x", b"7 x", b"7 3 1", b"3 7", b"\xff"] {
            assert_eq!(Fence::read(broken.to_vec()), None, "{broken:?}");
        }
    }
}
