//! Why work on a tree ends without its result.

use rustix::io::Errno;
use thiserror::Error;

/// What went wrong with one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The work was asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The entry vanished from the source meanwhile. Never leaves a walk: it is skipped.
    #[error("vanished while it was read")]
    Gone,
    /// The entry turned into another kind of file between two looks.
    #[error("keeps changing while it is read; stop what writes there and try again")]
    Changed,
    /// Another filesystem is mounted there.
    #[error("is a mount point; unmount it, trees must not contain any")]
    MountPoint,
    /// The owner can't be given, and files must not change hands.
    #[error("can't be given to {uid}:{gid}; run the storage-proxy as root")]
    Owner {
        /// The user it belongs to.
        uid: u32,
        /// The group it belongs to.
        gid: u32,
    },
    /// The path leads through a symlink.
    #[error("is or leads through a symlink; name the path that it points to")]
    Symlink,
    /// A component of the path is no directory.
    #[error("is or leads through something that is no directory")]
    NotADirectory,
    /// There is nothing.
    #[error("does not exist")]
    NotFound,
    /// There is something already.
    #[error("exists already")]
    Exists,
    /// The copy's directory has something of a name that it takes for this one.
    #[error(
        "can't be copied beside an entry whose name differs in case only: the copy's filesystem takes both for one; rename one of them, or copy to a filesystem that tells them apart"
    )]
    Alike,
    /// A directory has something in it.
    #[error("is not empty; remove what is in it first, or remove it recursively")]
    NotEmpty,
    /// It would be inside itself.
    #[error("is inside what is to be moved, or is the root")]
    Inside,
    /// Symlinks' and special files' attributes are reached through /proc.
    #[error("/proc is not mounted; mount it for the storage-proxy")]
    NoProc,
    /// A system call failed.
    #[error("{0} failed: {1}")]
    System(&'static str, Errno),
}

/// A [`Fault`] and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeError {
    /// What went wrong.
    pub fault: Fault,
    /// The entry's path from the tree's root; empty: the root.
    pub path: Vec<u8>,
}

impl TreeError {
    /// A fault at `path`.
    #[must_use]
    pub fn new(fault: Fault, path: impl Into<Vec<u8>>) -> Self {
        Self {
            fault,
            path: path.into(),
        }
    }

    /// The same as seen from further up: where the work began is at `base`.
    #[must_use]
    pub fn below(mut self, base: &super::RelativePath) -> Self {
        let mut path = base.as_bytes().to_vec();
        if !path.is_empty() && !self.path.is_empty() {
            path.push(b'/');
        }
        path.append(&mut self.path);
        self.path = path;
        self
    }

    /// Whether the work was asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.fault == Fault::Cancelled
    }
}

impl std::error::Error for TreeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.fault)
    }
}

impl std::fmt::Display for TreeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// Paths of very deep trees are cut: the end says more than the beginning.
        const SHOWN: usize = 512;
        if self.is_cancelled() {
            return write!(f, "{}", self.fault);
        }
        let (dots, path) = match self.path.len().checked_sub(SHOWN) {
            Some(cut) if cut > 0 => ("…", &self.path[cut..]),
            _ if self.path.is_empty() => ("", &b"."[..]),
            _ => ("", &self.path[..]),
        };
        write!(f, "\"{dots}{}\" {}", path.escape_ascii(), self.fault)
    }
}

/// `map_err` for calls that change what only we write to: every error is one.
pub(crate) fn system(call: &'static str) -> impl Fn(Errno) -> Fault {
    move |errno| Fault::System(call, errno)
}

/// `map_err` for calls that look at what others may be changing.
pub(crate) fn looking(call: &'static str) -> impl Fn(Errno) -> Fault {
    move |errno| match errno {
        Errno::NOENT | Errno::STALE => Fault::Gone,
        // ENXIO: open(2) of a socket.
        Errno::LOOP | Errno::NOTDIR | Errno::NXIO | Errno::ISDIR => Fault::Changed,
        Errno::XDEV => Fault::MountPoint,
        other => Fault::System(call, other),
    }
}

/// `map_err` for calls on a path that a user gave.
pub(crate) fn named(call: &'static str) -> impl Fn(Errno) -> Fault {
    move |errno| match errno {
        Errno::NOENT | Errno::STALE => Fault::NotFound,
        Errno::EXIST => Fault::Exists,
        Errno::LOOP => Fault::Symlink,
        Errno::NOTDIR => Fault::NotADirectory,
        Errno::XDEV => Fault::MountPoint,
        other => Fault::System(call, other),
    }
}
