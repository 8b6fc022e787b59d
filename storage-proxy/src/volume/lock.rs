//! One owner per volume.

use std::{
    fmt, fs,
    os::fd::{AsFd, OwnedFd},
    process,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, fsync, ftruncate, openat, statat},
    io::{Errno, pwrite},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    durable::{read_file, replace_file},
    layout::LOCK,
};
use crate::{
    faults::at,
    tree::{Meta, meta::FileId},
};

/// Who holds a volume, as the lock file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// Its process id there.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// New at every start of a process.
    pub instance_id: Uuid,
    /// Since when; seconds since 1970.
    pub since: u64,
}

impl Holder {
    /// This process.
    #[must_use]
    pub fn this(instance_id: Uuid) -> Self {
        Self {
            pid: process::id(),
            host: fs::read_to_string("/proc/sys/kernel/hostname")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            instance_id,
            since: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return f.write_str("one that has not said who it is");
        }
        write!(
            f,
            "process {} on {} (instance {}, since {} s after 1970)",
            self.pid, self.host, self.instance_id, self.since
        )
    }
}

/// Why there is no lock.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else has it.
    Held(Holder),
    /// A system call failed.
    System(&'static str, Errno),
}

/// Takes the lock in `root` for as long as the answer lives, and writes `holder` into it where that is possible. On a
/// read-only volume without a lock file there is nothing to take, and no need.
pub fn take(
    root: impl AsFd,
    holder: &Holder,
    read_only: bool,
) -> Result<Option<OwnedFd>, LockError> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let flags = flags
        | if read_only {
            OFlags::RDONLY
        } else {
            OFlags::RDWR | OFlags::CREATE
        };
    let file = match openat(&root, LOCK, flags, Mode::from_raw_mode(0o644)) {
        Err(Errno::NOENT) if read_only => return Ok(None),
        opened => opened.map_err(|errno| LockError::System("open", errno))?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => {
            let holder = read_file(&root, LOCK).ok().flatten();
            let holder = holder.and_then(|content| serde_json::from_slice(&content).ok());
            return Err(LockError::Held(holder.unwrap_or_default()));
        }
        done => done.map_err(|errno| LockError::System("flock", errno))?,
    }
    at("open.locked").map_err(|errno| LockError::System("flock", errno))?;
    if !read_only {
        match write_holder(&file, holder) {
            // It is held all the same; only who holds it can't be told.
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::ROFS)) => {
                tracing::warn!(%errno, "can't write into the volume's lock who holds it");
            }
            done => done.map_err(|errno| LockError::System("write", errno))?,
        }
    }
    at("open.held").map_err(|errno| LockError::System("write", errno))?;
    Ok(Some(file))
}

/// Whether what is called the lock in `root` is what was locked. If not, somebody else may have locked what is there now.
pub fn is_in_place(root: impl AsFd, lock: &OwnedFd) -> bool {
    let id = |stat| -> FileId { Meta::from(stat).id };
    let there = statat(root, LOCK, AtFlags::SYMLINK_NOFOLLOW).map(id);
    there.is_ok_and(|there| fstat(lock).map(id).is_ok_and(|ours| ours == there))
}

/// Makes the lock file of a new volume, with a block into which a holder can be written when no other is left. Never on a
/// volume that somebody may hold: the lock is on the file, and this makes another one.
pub fn prepare(root: impl AsFd) -> Result<(), Errno> {
    match read_file(&root, LOCK)? {
        Some(_) => Ok(()),
        None => replace_file(&root, LOCK, &padded(&Holder::default())),
    }
}

fn write_holder(file: &OwnedFd, holder: &Holder) -> Result<(), Errno> {
    let content = padded(holder);
    // The file is never shortened first: on a full volume its block would be gone.
    pwrite(file, &content, 0)?;
    ftruncate(file, content.len() as u64)?;
    fsync(file)
}

/// As JSON, followed by enough white space that the length changes little from one holder to the next, and that no
/// filesystem keeps it inside the inode.
fn padded(holder: &Holder) -> Vec<u8> {
    const LENGTH: usize = 1024;
    let mut content = serde_json::to_vec(holder).unwrap_or_default();
    content.resize(content.len().max(LENGTH - 1), b' ');
    content.push(b'\n');
    content
}
