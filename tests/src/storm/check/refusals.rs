//! What a refusal says of the vfolder.

use vfolder_proto::v1::VFolderStatus;

use super::model::{Access, What};
use crate::storm::history::Deed;

/// None: nothing that the model knows.
pub(super) fn refusal(deed: &Deed, reason: &str, status: Option<VFolderStatus>) -> Option<What> {
    let access = match deed {
        Deed::Clone { .. } => Access::Clonable,
        Deed::Trash { .. } => Access::Deletable,
        Deed::Restore { .. } => Access::Restorable,
        Deed::Purge {
            skip_trash: true, ..
        } => Access::PurgableAtOnce,
        Deed::Purge { .. } => Access::Purgable,
        Deed::Update { .. } => Access::Updatable,
        Deed::Mount { write: true, .. } => Access::MountWrite,
        Deed::Mount { .. } => Access::MountRead,
        Deed::ListFiles { .. } | Deed::ReadFile { .. } => Access::Readable,
        Deed::CreateDirectory { .. }
        | Deed::CreateUpload { .. }
        | Deed::WriteFile { .. }
        | Deed::CommitUpload { .. } => Access::Writable,
        Deed::Extract { .. } | Deed::RemoveTree { .. } => Access::Updatable,
        Deed::Renew { mount, .. } | Deed::Unmount { mount, .. } => {
            return match reason {
                "MOUNT_NOT_FOUND" => Some(What::NoMount { mount: *mount }),
                "VFOLDER_NOT_FOUND" => Some(What::Absent),
                _ => None,
            };
        }
        _ => return (reason == "VFOLDER_NOT_FOUND").then_some(What::Absent),
    };
    match reason {
        "VFOLDER_NOT_FOUND" if matches!(access, Access::Readable | Access::Writable) => {
            Some(What::NoTree)
        }
        "VFOLDER_BUSY" | "VFOLDER_STATUS" => Some(What::RefuseStatus {
            access,
            status: status?,
        }),
        "ETAG_MISMATCH" => {
            let (Deed::Trash { etag, .. } | Deed::Update { etag, .. }) = deed else {
                return None;
            };
            Some(What::RefuseEtag {
                access,
                etag: (*etag)?,
            })
        }
        "NAME_TAKEN" => Some(What::Admit { access }),
        "VFOLDER_NOT_FOUND" => Some(What::Absent),
        _ => None,
    }
}
