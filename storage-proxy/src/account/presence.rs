//! Who may be changing a tree.

use std::{sync::Arc, thread::panicking};

use uuid::Uuid;

use super::accounts::Shared;

/// Somebody is in a tree to change it, until this is dropped: meanwhile its figures are never taken for final.
#[derive(Debug)]
pub struct Presence {
    pub(super) shared: Arc<Shared>,
    pub(super) vfolder: Uuid,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut book = self.shared.book();
        book.leave(self.vfolder);
        if panicking() {
            // What it has done was not told.
            book.unsure(self.vfolder);
        }
    }
}
