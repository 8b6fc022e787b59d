//! What is put gets the destination's owner, and the modes and times that were asked for.

use std::{ffi::CStr, os::fd::BorrowedFd};

use rustix::{
    fs::{
        AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, chownat, fchmod, fchown, fstat,
        futimens, openat, utimensat,
    },
    io::Errno,
    process::geteuid,
};

use super::Put;
use crate::tree::{
    Fault, FileKind, Meta,
    error::{named, system},
};

impl Put {
    /// Of a directory that is made on the way: its time is when that was.
    pub(super) fn dress_new(&self, directory: BorrowedFd<'_>, mode: u32) -> Result<(), Fault> {
        let now = Timestamps {
            last_access: omitted(),
            last_modification: omitted(),
        };
        self.dress_with(directory, mode, &now)
    }

    pub(super) fn dress(
        &self,
        file: BorrowedFd<'_>,
        mode: u32,
        (tv_sec, tv_nsec): (i64, i64),
    ) -> Result<(), Fault> {
        let times = Timestamps {
            last_access: omitted(),
            last_modification: Timespec { tv_sec, tv_nsec },
        };
        self.dress_with(file, mode, &times)
    }

    fn dress_with(&self, file: BorrowedFd<'_>, mode: u32, times: &Timestamps) -> Result<(), Fault> {
        let (uid, gid) = self.owner;
        match fchown(file, Some(uid), Some(gid)) {
            // Not root: then it belongs to us, like all that we make.
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(Fault::System("fchown", errno)),
        }
        fchmod(file, Mode::from_bits_truncate(mode)).map_err(system("fchmod"))?;
        futimens(file, times).map_err(system("futimens"))
    }

    /// What can't be opened, of that kind.
    pub(super) fn dress_entry(
        &self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        kind: FileKind,
        (tv_sec, tv_nsec): (i64, i64),
    ) -> Result<(), Fault> {
        // The entry itself, also if it is a symlink.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = openat(parent, name, flags, Mode::empty()).map_err(named("open"))?;
        let meta = Meta::from(fstat(&entry).map_err(system("fstat"))?);
        // A writer may have put something else into its place: that must not be given away.
        if meta.kind != kind || meta.uid != geteuid().as_raw() {
            return Err(Fault::Exists);
        }
        let (uid, gid) = self.owner;
        match chownat(&entry, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH) {
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(Fault::System("fchown", errno)),
        }
        let times = Timestamps {
            last_access: omitted(),
            last_modification: Timespec { tv_sec, tv_nsec },
        };
        // A handle of O_PATH takes no times, and a time that somebody else's entry gets is no harm.
        utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(system("utimensat"))
    }
}

fn omitted() -> Timespec {
    Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    }
}
