//! The name that a copy has in the tree for a moment, before it replaces another file.
//!
//! A crash in that moment leaves it there. It is removed by the next granted call that writes to the vfolder's uploads: no
//! tree is changed without a grant, since it may be a copy's source at that moment, or somebody else's.

use std::ffi::CString;

use rustix::fs::{AtFlags, statat, unlinkat};
use uuid::Uuid;

use super::live::Live;
use crate::{
    account::{Accounts, Change},
    file::{Files, Visit},
    tree::{Meta, RelativePath, TreeRoot},
    volume::{Landing, UploadRecord},
};

/// The name.
pub fn hidden_name(upload: Uuid) -> CString {
    CString::new(format!(".vfolder-upload-{upload}")).unwrap_or_default()
}

/// Whether a commit that was broken off may have left it.
pub fn may_be_left(record: &UploadRecord) -> bool {
    let copied = |landing: &Landing| landing.copied;
    record.committed.is_none() && record.landing.as_ref().is_some_and(copied)
}

/// Removes it, if it is there, for whoever is in the tree as a writer. It was counted with the rest of the tree.
pub fn clear_hidden(tree: &TreeRoot, accounts: &Accounts, live: &Live, record: &UploadRecord) {
    let path = RelativePath::parse(&record.path).ok();
    let Some((above, _)) = path.and_then(|path| path.split_last()) else {
        return;
    };
    let Ok(parent) = tree.directory(&above) else {
        return;
    };
    let name = hidden_name(live.id);
    let Ok(there) = statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).map(Meta::from) else {
        return;
    };
    if unlinkat(&parent, &name, AtFlags::empty()).is_ok() {
        // Of a file with another name the bytes stay.
        let bytes = if there.links > 1 { 0 } else { there.size };
        let bytes = i64::try_from(bytes).map_or(i64::MIN, |bytes| -bytes);
        accounts.changed(live.vfolder, Change { bytes, files: -1 });
    }
}

impl Files {
    /// Removes what uploads of this vfolder have left in its tree that are no more, and then what is left of them.
    pub(super) fn clear_left(&self, visit: &Visit<'_>, vfolder: Uuid) {
        for live in self.uploads().take_left(visit.volume, vfolder) {
            let record = live.lock().record.clone();
            clear_hidden(visit.tree, visit.accounts, &live, &record);
            match visit.volume.remove_upload(vfolder, live.id) {
                Ok(()) => self.uploads().drop_gone(&live),
                // The sweep comes back to it.
                Err(error) => {
                    tracing::warn!(upload = %live.id, %error, "can't remove what is left of an upload");
                }
            }
        }
    }
}
