//! Limits of projects, on ext4 and XFS: quotactl(2), linux/quota.h, linux/dqblk_xfs.h. The call by a handle exists since
//! Linux 5.14; it needs no path to a block device.

use std::{
    ffi::{c_int, c_uint},
    os::fd::{AsFd, AsRawFd as _},
};

use rustix::io::{Errno, Result};

/// `PRJQUOTA`.
const PROJECTS: c_uint = 2;
const GET: c_uint = 0x80_0007;
const SET: c_uint = 0x80_0008;
/// `Q_XGETQSTATV`.
const STATE: c_uint = 0x5808;
/// `QIF_BLIMITS | QIF_ILIMITS`.
const LIMITS: u32 = 1 | 4;
/// `FS_QUOTA_PDQ_ENFD`.
const ENFORCED: u16 = 1 << 5;
/// `FS_QSTATV_VERSION1`.
const STATE_VERSION: i8 = 1;
/// Limits of bytes are in these (`QIF_DQBLKSIZE`).
const BLOCK: u64 = 1024;

/// `struct if_dqblk`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Record {
    bytes_hard: u64,
    bytes_soft: u64,
    bytes: u64,
    inodes_hard: u64,
    inodes_soft: u64,
    inodes: u64,
    bytes_time: u64,
    inodes_time: u64,
    valid: u32,
}

/// `struct fs_quota_statv`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct State {
    version: i8,
    pad: u8,
    flags: u16,
    in_core: u32,
    files: [[u64; 3]; 3],
    times: [i32; 3],
    warnings: [u16; 4],
    pad_too: u32,
    reserved: [u64; 7],
}

/// What a project has, and may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Bytes on disk that it has.
    pub bytes: u64,
    /// Inodes that it has.
    pub inodes: u64,
    /// Bytes at most; nothing: no limit.
    pub most_bytes: Option<u64>,
    /// Inodes at most; nothing: no limit.
    pub most_inodes: Option<u64>,
}

/// Whether the filesystem of `file` keeps to the limits of projects, as it is mounted now.
#[must_use]
pub fn enforces_projects(file: impl AsFd) -> bool {
    let mut state = State {
        version: STATE_VERSION,
        ..State::default()
    };
    // SAFETY: the kernel reads the version and writes one `struct fs_quota_statv` for this command.
    let asked = unsafe { call(file, STATE, 0, &mut state) };
    asked.is_ok() && state.flags & ENFORCED != 0
}

/// What the project `id` has on the filesystem of `file`; all zeros of one that nobody has ever used.
///
/// # Errors
/// `ESRCH` where projects are not accounted, `EPERM` without `CAP_SYS_ADMIN`, `ENOSYS` before Linux 5.14.
pub fn account(file: impl AsFd, id: u32) -> Result<Account> {
    let mut found = Record::default();
    // SAFETY: the kernel writes one `struct if_dqblk` for this command.
    match unsafe { call(file, GET, id, &mut found) } {
        // XFS has no record of it.
        Err(Errno::NOENT) => return Ok(Account::default()),
        done => done?,
    }
    let limit = |limit: u64| (limit > 0).then_some(limit);
    Ok(Account {
        bytes: found.bytes,
        inodes: found.inodes,
        most_bytes: limit(found.bytes_hard.saturating_mul(BLOCK)),
        most_inodes: limit(found.inodes_hard),
    })
}

/// Limits the project `id` on the filesystem of `file`, or ends its limits. Bytes are rounded up to 1024.
///
/// # Errors
/// As [`account`].
pub fn limit(file: impl AsFd, id: u32, bytes: Option<u64>, inodes: Option<u64>) -> Result<()> {
    // To the kernel, 0 is no limit.
    let mut wanted = Record {
        bytes_hard: bytes.map_or(0, |bytes| bytes.div_ceil(BLOCK).max(1)),
        inodes_hard: inodes.map_or(0, |inodes| inodes.max(1)),
        valid: LIMITS,
        ..Record::default()
    };
    // SAFETY: the kernel reads one `struct if_dqblk` for this command.
    unsafe { call(file, SET, id, &mut wanted) }
}

/// # Safety
/// `T` is what the kernel reads or writes for `command`.
unsafe fn call<T>(file: impl AsFd, command: c_uint, id: u32, argument: &mut T) -> Result<()> {
    let command = (command << 8) | PROJECTS;
    // SAFETY: a valid handle, and memory for what the command says, as the caller promises.
    let done = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            file.as_fd().as_raw_fd(),
            command,
            id,
            std::ptr::from_mut(argument),
        )
    };
    if done == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    let errno: c_int = error.raw_os_error().unwrap_or(libc::EIO);
    Err(Errno::from_raw_os_error(errno))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_structures_are_those_of_the_headers() {
        assert_eq!(size_of::<Record>(), 72);
        assert_eq!(std::mem::offset_of!(Record, valid), 64);
        assert_eq!(size_of::<State>(), 160);
        assert_eq!(std::mem::offset_of!(State, files), 8);
        assert_eq!(std::mem::offset_of!(State, reserved), 104);
    }

    #[test]
    fn other_filesystems_refuse_each_call() {
        let directory = std::fs::File::open("/proc/self").unwrap();
        assert!(!enforces_projects(&directory));
        assert!(account(&directory, 1).is_err());
        assert!(limit(&directory, 1, Some(1), None).is_err());
    }
}
