//! Renames.

use std::sync::Arc;

use vfolder_common::{error::Refusal, token::Grant};

use super::{Files, in_scope};
use crate::{
    account::Change,
    refuse,
    task::Stay,
    tree::{Control, Entry, Fault, RelativePath},
};

impl Files {
    /// Gives what is at `from` the path `to`: see [`crate::tree::TreeRoot::rename`].
    ///
    /// # Errors
    /// FILE_NOT_FOUND, FILE_EXISTS, NOT_A_DIRECTORY, SYMLINK_IN_PATH, FIELD_INVALID, GRANT_TOO_SMALL, those of
    /// [`Files::in_tree`].
    pub async fn rename(
        &self,
        grant: Grant,
        from: RelativePath,
        to: RelativePath,
        replace: bool,
    ) -> Result<Entry, Refusal> {
        in_scope(&grant, &from)?;
        in_scope(&grant, &to)?;
        let (vfolder, control) = (grant.vfolder, Arc::new(Control::default()));
        let moved = self.in_tree(grant, Stay::Writing, Arc::clone(&control), move |visit| {
            let renamed = visit.tree.rename(&from, &to, replace, &control);
            let renamed = renamed.map_err(|error| {
                // Perhaps only once something was replaced, which was not told.
                let before = matches!(error.fault, Fault::Exists | Fault::Inside);
                if replace && !before {
                    visit.accounts.unsure(vfolder);
                }
                refuse::by_tree(&error)
            })?;
            if let Some(replaced) = renamed.replaced {
                let bytes = i64::try_from(replaced.bytes).unwrap_or(i64::MAX);
                visit.accounts.changed(
                    vfolder,
                    Change {
                        bytes: -bytes,
                        files: -1,
                    },
                );
            }
            Ok(renamed.entry)
        });
        moved.await
    }
}
