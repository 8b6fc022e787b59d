//! Finds what is below a directory.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use vfolder_common::{error::Refusal, token::Grant};

use super::{Files, Glob, in_scope};
use crate::{
    refuse,
    task::Stay,
    tree::{Control, FileKind, Findings, Reading, RelativePath, StopOnDrop, Wanted},
};

/// A page that is searched for ends after this long, however little was found: the caller sees that it goes on, and the
/// thread serves others in between.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which page of what is below a directory.
#[derive(Clone, Debug)]
pub struct Find {
    /// The directory.
    pub path: RelativePath,
    /// So many levels at most; 1 is the directory itself.
    pub max_depth: usize,
    /// After the entry of this path, which is below the directory.
    pub after: Option<RelativePath>,
    /// So many entries at most.
    pub size: usize,
    /// When the first page was asked for, by the clock of [`Files::shelf`].
    pub since: u64,
    /// Only what matches it. Nothing: all, and the page takes as long as it takes.
    pub pattern: Option<Glob>,
    /// Only those that are one of these. None: any.
    pub kinds: Vec<FileKind>,
}

impl Files {
    /// A page of what is below a directory, each directory followed by what is in it.
    ///
    /// # Errors
    /// FILE_NOT_FOUND, NOT_A_DIRECTORY, SYMLINK_IN_PATH, GRANT_TOO_SMALL, those of [`Files::in_tree`].
    pub async fn find(&self, grant: Grant, find: Find) -> Result<Findings, Refusal> {
        in_scope(&grant, &find.path)?;
        let (shelf, control) = (Arc::clone(self.shelf()), Arc::new(Control::default()));
        let _stop = StopOnDrop(Arc::clone(&control));
        let found = self.walk_tree(grant, Stay::Reading, Arc::clone(&control), move |visit| {
            let pattern = find.pattern.as_ref();
            let matching = |path: &[u8], name: &[u8]| {
                pattern.is_none_or(|pattern| pattern.matches(path, name))
            };
            let wanted = Wanted {
                size: find.size,
                max_depth: find.max_depth,
                until: pattern.map(|_| Instant::now() + PATIENCE),
                matching: &matching,
                kinds: &find.kinds,
            };
            let reading = Reading {
                shelf: &shelf,
                since: find.since,
                control: &control,
            };
            let found = visit
                .tree
                .find(&find.path, find.after.as_ref(), &wanted, reading);
            found.map_err(|error| refuse::by_tree(&error))
        });
        found.await
    }
}
