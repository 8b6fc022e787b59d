//! Lists directories.

use std::sync::Arc;

use vfolder_common::{error::Refusal, token::Grant};

use super::{Files, in_scope};
use crate::{
    refuse,
    task::Stay,
    tree::{Control, Order, Page, Position, Reading, RelativePath, StopOnDrop},
};

/// Which page of a directory.
#[derive(Clone, Debug)]
pub struct ListPage {
    /// The directory.
    pub path: RelativePath,
    /// In what order.
    pub order: Order,
    /// After this.
    pub after: Option<Position>,
    /// So many entries at most.
    pub size: usize,
    /// When the first page was asked for, by the clock of [`Files::shelf`].
    pub since: u64,
}

impl Files {
    /// A page of a directory.
    ///
    /// # Errors
    /// FILE_NOT_FOUND, NOT_A_DIRECTORY, SYMLINK_IN_PATH, GRANT_TOO_SMALL, those of [`Files::in_tree`].
    pub async fn list(&self, grant: Grant, page: ListPage) -> Result<Page, Refusal> {
        in_scope(&grant, &page.path)?;
        let (shelf, control) = (Arc::clone(self.shelf()), Arc::new(Control::default()));
        let _stop = StopOnDrop(Arc::clone(&control));
        let listed = self.walk_tree(grant, Stay::Reading, Arc::clone(&control), move |visit| {
            let reading = Reading {
                shelf: &shelf,
                since: page.since,
                control: &control,
            };
            let ListPage {
                path,
                order,
                after,
                size,
                ..
            } = page;
            let listed = visit.tree.list(&path, order, after, size, reading);
            listed.map_err(|fault| refuse::by_fault(fault, &path.to_string()))
        });
        listed.await
    }
}
