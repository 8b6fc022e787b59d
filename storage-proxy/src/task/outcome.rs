//! How tasks end.

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{EnterError, RaiseError};
use crate::{
    account::{Exceeded, NotReserved},
    tree::{Fault, Progress, TreeDigest, TreeError},
    volume::VolumeError,
};

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was done in all.
    pub progress: Progress,
    /// What the tree is, if it was asked for and the task succeeded.
    pub receipt: Option<Receipt>,
    /// None: it succeeded, and the result is durable.
    pub failure: Option<Failure>,
}

/// What a task that succeeded has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// In all.
    pub progress: Progress,
    /// If it was asked for.
    pub receipt: Option<Receipt>,
}

impl From<Progress> for Done {
    fn from(progress: Progress) -> Self {
        Self {
            progress,
            receipt: None,
        }
    }
}

/// What a tree is, as a task found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The text of its digest; empty if it was only counted.
    pub digest: String,
    /// Directory entries, the root included.
    pub entries: u64,
    /// Bytes of file data, each hard-linked file once.
    pub bytes: u64,
    /// Somebody had the right to write there meanwhile: then it may be the digest of no moment.
    pub disturbed: bool,
}

impl Receipt {
    /// Of a tree that was only counted.
    pub(super) fn counted(entries: u64, bytes: u64, disturbed: bool) -> Self {
        Self {
            digest: String::new(),
            entries,
            bytes,
            disturbed,
        }
    }

    pub(super) fn new(digest: &TreeDigest, disturbed: bool) -> Self {
        Self {
            digest: digest.to_string(),
            entries: digest.entries,
            bytes: digest.bytes,
            disturbed,
        }
    }
}

/// Why a task ended without its result. Nothing of it is visible, but for what works in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub kind: FailureKind,
    /// For a person.
    pub message: String,
    /// The same task may succeed later without anybody's help.
    pub retryable: bool,
    /// Of [`FailureKind::QuotaExceeded`]: which limit, where it is one of ours.
    pub exceeded: Option<Box<Exceeded>>,
}

/// Why a task failed. The names are also those in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// It was asked to stop.
    Cancelled,
    /// No space or no inodes left.
    VolumeFull,
    /// A quota, of ours or of the filesystem's.
    QuotaExceeded,
    /// Mounted read-only.
    VolumeReadOnly,
    /// Not there now.
    VolumeUnavailable,
    /// The tree to copy is not there.
    SourceMissing,
    /// What the tree holds can't be worked on.
    TreeUnsupported,
    /// The filesystem's permissions refuse.
    FilePermission,
    /// The vfolder has changed hands since.
    Stale,
    /// Somebody is still at work in the tree.
    Busy,
    /// The file is no archive that can be unpacked safely.
    ArchiveInvalid,
    /// The archive unpacks to more than it may.
    ArchiveTooLarge,
    /// There is something already.
    FileExists,
    /// There is nothing.
    FileNotFound,
    /// Something else than a regular file.
    NotAFile,
    /// A component of a path is no directory.
    NotADirectory,
    /// A component of a path is a symlink.
    SymlinkInPath,
    /// The filesystem reported an error.
    IoError,
    /// A fault of ours.
    Internal,
}

impl Failure {
    /// One that will not pass by itself.
    #[must_use]
    pub fn lasting(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retryable: false,
            exceeded: None,
        }
    }

    /// One that may pass by itself.
    #[must_use]
    pub fn passing(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retryable: true,
            exceeded: None,
        }
    }

    /// It was asked to stop.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::lasting(FailureKind::Cancelled, "the operation was cancelled")
    }
}

impl From<VolumeError> for Failure {
    fn from(error: VolumeError) -> Self {
        let message = error.to_string();
        match error {
            VolumeError::Unavailable { .. } => {
                Self::passing(FailureKind::VolumeUnavailable, message)
            }
            VolumeError::TreeExists | VolumeError::NotATree(_) => {
                Self::lasting(FailureKind::TreeUnsupported, message)
            }
            VolumeError::Tree(error) => error.into(),
            VolumeError::Journal(..) | VolumeError::Note(_) => {
                Self::lasting(FailureKind::IoError, message)
            }
            VolumeError::System { errno, .. } => of_errno(errno, message),
        }
    }
}

impl From<TreeError> for Failure {
    fn from(error: TreeError) -> Self {
        let message = error.to_string();
        match error.fault {
            Fault::Cancelled => Self::cancelled(),
            Fault::MountPoint
            | Fault::Changed
            | Fault::Alike
            | Fault::NotEmpty
            | Fault::Inside
            | Fault::Exists
            | Fault::Symlink
            | Fault::NotADirectory => Self::lasting(FailureKind::TreeUnsupported, message),
            Fault::Gone | Fault::NotFound => Self::lasting(FailureKind::SourceMissing, message),
            Fault::Owner { .. } => Self::lasting(FailureKind::FilePermission, message),
            Fault::NoProc => Self::lasting(FailureKind::Internal, message),
            Fault::System(_, errno) => of_errno(errno, message),
        }
    }
}

impl From<Exceeded> for Failure {
    fn from(exceeded: Exceeded) -> Self {
        Self {
            exceeded: Some(Box::new(exceeded.clone())),
            ..Self::lasting(FailureKind::QuotaExceeded, exceeded.to_string())
        }
    }
}

impl From<NotReserved> for Failure {
    fn from(why: NotReserved) -> Self {
        match why {
            NotReserved::Exceeded(exceeded) => exceeded.into(),
            why @ NotReserved::Uncountable { .. } => {
                Self::lasting(FailureKind::IoError, why.to_string())
            }
        }
    }
}

impl From<EnterError> for Failure {
    fn from(error: EnterError) -> Self {
        match error {
            EnterError::Stale { .. } => Self::lasting(FailureKind::Stale, error.to_string()),
            EnterError::Volume(error) => error.into(),
        }
    }
}

impl From<RaiseError> for Failure {
    fn from(error: RaiseError) -> Self {
        match error {
            RaiseError::Occupied(_) => Self::passing(FailureKind::Busy, error.to_string()),
            RaiseError::Volume(error) => error.into(),
        }
    }
}

fn of_errno(errno: Errno, message: String) -> Failure {
    match errno {
        Errno::NOSPC => Failure::lasting(
            FailureKind::VolumeFull,
            format!("{message}; free space or inodes on the volume and try again"),
        ),
        Errno::DQUOT => Failure::lasting(
            FailureKind::QuotaExceeded,
            format!("{message}; raise the quota, or free some of it"),
        ),
        Errno::ROFS => Failure::lasting(FailureKind::VolumeReadOnly, message),
        Errno::ACCESS | Errno::PERM => Failure::lasting(FailureKind::FilePermission, message),
        // Of the machine, at this moment.
        Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::AGAIN => {
            Failure::passing(FailureKind::IoError, message)
        }
        _ => Failure::lasting(FailureKind::IoError, message),
    }
}
