//! What a file or directory is, and how much is in it.

use std::{os::fd::AsFd as _, sync::Arc};

use vfolder_common::{error::Refusal, token::Grant};

use super::{Files, in_scope};
use crate::{
    refuse,
    task::Stay,
    tree::{Control, Entry, FileKind, RelativePath, StopOnDrop, TreeError, Usage, Workers, usage},
};

impl Files {
    /// The entry at `path`.
    ///
    /// # Errors
    /// FILE_NOT_FOUND, NOT_A_DIRECTORY, SYMLINK_IN_PATH, GRANT_TOO_SMALL, those of [`Files::in_tree`].
    pub async fn stat(&self, grant: Grant, path: RelativePath) -> Result<Entry, Refusal> {
        in_scope(&grant, &path)?;
        let looked = self.in_tree(grant, Stay::Reading, Arc::default(), move |visit| {
            let entry = visit.tree.stat(&path);
            entry.map_err(|fault| refuse::by_fault(fault, &path.to_string()))
        });
        looked.await
    }

    /// Counts the entry at `path` with what is below it, by one thread: the others serve others.
    ///
    /// # Errors
    /// As [`Files::stat`].
    pub async fn usage(&self, grant: Grant, path: RelativePath) -> Result<Usage, Refusal> {
        in_scope(&grant, &path)?;
        let control = Arc::new(Control::default());
        let _stop = StopOnDrop(Arc::clone(&control));
        let counted = self.walk_tree(grant, Stay::Reading, Arc::clone(&control), move |visit| {
            let at = |fault| refuse::by_tree(&TreeError::new(fault, path.as_bytes()));
            let meta = visit.tree.stat(&path).map_err(at)?.meta;
            if meta.kind != FileKind::Directory {
                return Ok(Usage {
                    entries: 1,
                    bytes: match meta.kind {
                        FileKind::Regular => meta.size,
                        _ => 0,
                    },
                    disk_bytes: meta.disk_bytes,
                    approximate: false,
                });
            }
            let directory = visit.tree.directory(&path).map_err(at)?;
            usage(directory.as_fd(), Workers::ONE, &control)
                .map_err(|error| refuse::by_tree(&error.below(&path)))
        });
        counted.await
    }
}
