//! A tree's root, from where everything in the tree is reached.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;

use super::{Fault, RelativePath, error::named, open::open_path};

/// A handle on the root directory of a tree.
#[derive(Debug)]
pub struct TreeRoot(OwnedFd);

impl TreeRoot {
    /// Takes a directory, open for reading or with `O_PATH`.
    #[must_use]
    pub fn new(directory: OwnedFd) -> Self {
        Self(directory)
    }

    /// The directory at `path`, open for reading.
    ///
    /// # Errors
    /// [`Fault::NotFound`], [`Fault::NotADirectory`], [`Fault::Symlink`], [`Fault::MountPoint`] and what open(2) says.
    pub fn directory(&self, path: &RelativePath) -> Result<OwnedFd, Fault> {
        open_path(&self.0, path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(named("open"))
    }
}

impl AsFd for TreeRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
