//! Makes directories.

use std::sync::Arc;

use vfolder_common::{error::Refusal, token::Grant};

use super::{Files, in_scope};
use crate::{
    account::{Amount, Change},
    refuse,
    task::Stay,
    tree::{Control, Entry, Fault, RelativePath},
};

impl Files {
    /// Makes the directory at `path`: see [`crate::tree::TreeRoot::create_directory`].
    ///
    /// # Errors
    /// FILE_EXISTS, FILE_NOT_FOUND, NOT_A_DIRECTORY, SYMLINK_IN_PATH, QUOTA_EXCEEDED, GRANT_TOO_SMALL, those of
    /// [`Files::in_tree`].
    pub async fn create_directory(
        &self,
        grant: Grant,
        path: RelativePath,
        parents: bool,
        mode: u32,
    ) -> Result<Entry, Refusal> {
        in_scope(&grant, &path)?;
        let (vfolder, control) = (grant.vfolder, Arc::new(Control::default()));
        let made = self.in_tree(grant, Stay::Writing, Arc::clone(&control), move |visit| {
            let refused = |fault: Fault| refuse::by_fault(fault, &path.to_string());
            let files = match parents {
                true => visit.tree.missing(&path).map_err(refused)?,
                false => 1,
            };
            let reserved = visit
                .accounts
                .reserve(vfolder, Amount { bytes: 0, files })?;
            let made = visit
                .tree
                .create_directory_with(&path, parents, mode, &control);
            // Also what was made on the way to where it failed.
            let files = i64::try_from(control.progress().entries_done).unwrap_or(i64::MAX);
            reserved.settle(Change { bytes: 0, files });
            made.map_err(refused)
        });
        made.await
    }
}
