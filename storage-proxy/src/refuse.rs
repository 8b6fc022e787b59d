//! The domain's errors as refusals: each in one `match`.

use std::time::Duration;

use rustix::io::Errno;
use uuid::Uuid;
use vfolder_common::{
    error::{Reason, Refusal},
    path::shown,
};

use crate::{
    task::{EnterError, FailureKind, Refused},
    tree::{Fault, TreeError},
    volume::VolumeError,
};

/// When to ask again for a volume that is not there.
const RETRY: Duration = Duration::from_secs(2);

/// Of a volume.
pub fn by_volume(error: &VolumeError) -> Refusal {
    let text = error.to_string();
    match error {
        VolumeError::Unavailable { name, why } => Refusal::new(Reason::VolumeUnavailable, text)
            .with_retry(RETRY)
            .with_resource("volume", name, why),
        VolumeError::TreeExists | VolumeError::NotATree(_) => {
            Refusal::new(Reason::TreeUnsupported, text)
        }
        VolumeError::Tree(error) => by_tree(error),
        VolumeError::Journal(..) | VolumeError::Note(_) => Refusal::new(Reason::IoError, text),
        VolumeError::System { errno, .. } => Refusal::new(of_errno(*errno), text),
    }
}

/// Of a request about tasks.
pub fn by_tasks(refused: &Refused) -> Refusal {
    let text = refused.to_string();
    match refused {
        Refused::ArgumentsDiffer => Refusal::field("operation_id", text),
        Refused::TaskRunning => Refusal::new(Reason::TaskRunning, text),
        Refused::VolumeUnknown(name) => Refusal::new(Reason::VolumeNotFound, text).with_resource(
            "volume",
            name,
            "not configured here",
        ),
        Refused::Stopping | Refused::Deciding | Refused::Occupied(_) => {
            Refusal::new(Reason::VolumeUnavailable, text).with_retry(RETRY)
        }
        Refused::Internal => Refusal::internal(refused),
        Refused::Volume(error) => by_volume(error),
    }
}

/// Of somebody who would come into a tree.
pub fn by_fence(error: &EnterError) -> Refusal {
    match error {
        EnterError::Stale { .. } => Refusal::new(Reason::GrantStale, error.to_string()),
        EnterError::Volume(error) => by_volume(error),
    }
}

/// Of a walk through a tree.
pub fn by_tree(error: &TreeError) -> Refusal {
    by_fault(error.fault, &shown(&error.path))
}

/// A vfolder without a tree.
pub fn no_tree(vfolder: Uuid) -> Refusal {
    Refusal::new(
        Reason::VFolderNotFound,
        format!("the vfolder {vfolder} has no tree on this volume"),
    )
    .with_resource("vfolder", vfolder.to_string(), "no tree")
}

/// Of one file: its path as [`shown`].
pub fn by_fault(fault: Fault, path: &str) -> Refusal {
    let text = format!("\"{path}\" {fault}");
    let reason = match fault {
        Fault::Cancelled => Reason::Cancelled,
        Fault::NotFound | Fault::Gone => Reason::FileNotFound,
        Fault::Exists => Reason::FileExists,
        Fault::NotADirectory => Reason::NotADirectory,
        Fault::NotEmpty => Reason::DirectoryNotEmpty,
        Fault::Inside => return Refusal::field("new_path", fault.to_string()),
        Fault::Symlink => Reason::SymlinkInPath,
        Fault::MountPoint | Fault::Changed | Fault::Alike => Reason::TreeUnsupported,
        Fault::Owner { .. } => Reason::FilePermission,
        Fault::NoProc => Reason::IoError,
        // This filesystem's limit, below Linux's.
        Fault::System(_, Errno::NAMETOOLONG) => return Refusal::field("path", fault.to_string()),
        Fault::System(_, errno) => of_errno(errno),
    };
    Refusal::new(reason, text).with_resource("file", path, fault.to_string())
}

/// Why a task failed, as the manager and the users know it.
pub fn reason(kind: FailureKind) -> Reason {
    match kind {
        FailureKind::Cancelled => Reason::Cancelled,
        FailureKind::VolumeFull => Reason::VolumeFull,
        FailureKind::QuotaExceeded => Reason::QuotaExceeded,
        FailureKind::VolumeReadOnly => Reason::VolumeReadOnly,
        FailureKind::VolumeUnavailable => Reason::VolumeUnavailable,
        FailureKind::SourceMissing => Reason::SourceMissing,
        FailureKind::TreeUnsupported => Reason::TreeUnsupported,
        FailureKind::FilePermission => Reason::FilePermission,
        FailureKind::Stale => Reason::GrantStale,
        FailureKind::Busy => Reason::VFolderBusy,
        FailureKind::ArchiveInvalid => Reason::ArchiveInvalid,
        FailureKind::ArchiveTooLarge => Reason::ArchiveTooLarge,
        FailureKind::FileExists => Reason::FileExists,
        FailureKind::FileNotFound => Reason::FileNotFound,
        FailureKind::NotAFile => Reason::NotAFile,
        FailureKind::NotADirectory => Reason::NotADirectory,
        FailureKind::SymlinkInPath => Reason::SymlinkInPath,
        FailureKind::IoError => Reason::IoError,
        FailureKind::Internal => Reason::Internal,
    }
}

/// Of a call on one of our own files on a volume.
pub fn by_errno(what: &str, errno: Errno) -> Refusal {
    Refusal::new(of_errno(errno), format!("{what}: {errno}"))
}

fn of_errno(errno: Errno) -> Reason {
    match errno {
        Errno::NOSPC => Reason::VolumeFull,
        Errno::DQUOT => Reason::QuotaExceeded,
        Errno::ROFS => Reason::VolumeReadOnly,
        Errno::ACCESS | Errno::PERM => Reason::FilePermission,
        _ => Reason::IoError,
    }
}
