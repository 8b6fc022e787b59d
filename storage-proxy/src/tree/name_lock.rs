//! Who takes names of files away.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Who takes a name away, and says afterwards how many bytes went with it, looks first what the name leads to. This keeps
/// others in this process from changing that in between: else two would count the same file, or none of them. Of a tree, all
/// must have the same one.
#[derive(Debug, Default)]
pub struct NameLock(RwLock<()>);

impl NameLock {
    /// To unlink names: two who unlink the same one can't both succeed. Not for one name of several.
    pub fn beside_others(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// To put something in the place of something else; or to unlink one name of several, where one must find that it is
    /// the last.
    pub fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
