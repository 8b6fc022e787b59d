//! A stay in a tree.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio_util::sync::CancellationToken;

use super::tree::Tree;
use crate::account::Presence;

/// What somebody is in a tree for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// Reading files.
    Reading,
    /// Reading all of it, to say what it is: it is noted if anybody writes meanwhile.
    Verifying,
    /// Changing them.
    Writing,
    /// Copying all of it as of one moment: any writer who comes in afterwards ends this stay.
    Copying,
    /// Making it appear or disappear, by one rename.
    Publishing,
}

/// Somebody is in a tree, until this is dropped. Whoever stays long looks at [`Guard::is_cut`], at the `Control` that it
/// came with, or waits for [`Guard::cut`]: afterwards it must not change anything, and leave soon.
#[derive(Debug)]
#[must_use = "dropping it is leaving"]
pub struct Guard {
    pub(super) tree: Arc<Tree>,
    pub(super) number: u64,
    pub(super) cut: CancellationToken,
    pub(super) disturbed: Arc<AtomicBool>,
    /// Of [`Stay::Writing`]: for as long, the figures of what is in the tree are not final.
    pub(super) account: Option<Presence>,
}

impl Guard {
    /// Whether the tree belongs to somebody else by now.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// Of [`Stay::Verifying`]: whether somebody was in the tree for writing meanwhile.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        self.disturbed.load(Relaxed)
    }

    /// Waits until it does.
    pub async fn cut(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tree.leave(self.number);
    }
}
