//! A directory on the way.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::Place;
use crate::tree::Meta;

/// A directory from when it is opened until all in it is done.
#[derive(Debug)]
pub struct Dir<D> {
    /// Where it is.
    pub place: Arc<Place>,
    /// As it was before anything was read: reading changes the access time.
    pub meta: Meta,
    /// What the visitor keeps of it.
    pub data: D,
    pub(super) parent: Option<Arc<Self>>,
    /// Subdirectories that are not done, and one more while it is being read itself.
    pub(super) pending: AtomicUsize,
}

impl<D> Dir<D> {
    /// Whether the walk began here.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// The directory that contains it; nothing for the root.
    #[must_use]
    pub fn parent(&self) -> Option<&Self> {
        self.parent.as_deref()
    }

    /// So many things more must be done before it can be left.
    pub(super) fn awaits(&self, more: usize) {
        self.pending.fetch_add(more, Ordering::Relaxed);
    }

    /// One of them is done. Answers whether it was the last; whoever hears so sees all that the others did.
    pub(super) fn one_done(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl<D> Drop for Dir<D> {
    /// One by one: a chain of thousands of parents would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut last) = next.and_then(Arc::into_inner) {
            next = last.parent.take();
        }
    }
}
