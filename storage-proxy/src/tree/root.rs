//! A tree's root, from where everything in the tree is reached.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::fs::OFlags;

use super::{Fault, NameLock, RelativePath, error::named, open::open_path};

/// A handle on the root directory of a tree.
#[derive(Debug)]
pub struct TreeRoot {
    directory: OwnedFd,
    name_lock: Arc<NameLock>,
}

impl TreeRoot {
    /// Takes a directory, open for reading or with `O_PATH`.
    #[must_use]
    pub fn new(directory: OwnedFd) -> Self {
        Self {
            directory,
            name_lock: Arc::default(),
        }
    }

    /// With what all have who change this tree.
    #[must_use]
    pub fn with_name_lock(self, name_lock: Arc<NameLock>) -> Self {
        Self { name_lock, ..self }
    }

    /// For who takes names away in it.
    #[must_use]
    pub fn name_lock(&self) -> &Arc<NameLock> {
        &self.name_lock
    }

    /// The directory at `path`, open for reading.
    ///
    /// # Errors
    /// [`Fault::NotFound`], [`Fault::NotADirectory`], [`Fault::Symlink`], [`Fault::MountPoint`] and what open(2) says.
    pub fn directory(&self, path: &RelativePath) -> Result<OwnedFd, Fault> {
        open_path(&self.directory, path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(named("open"))
    }
}

impl AsFd for TreeRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}
