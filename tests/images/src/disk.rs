//! A filesystem of one's own.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::keeper::Keeper;

/// A filesystem in a file, mounted; or a directory. Gone when this is dropped; an image also when the process is killed.
#[derive(Debug)]
pub struct Disk(Kept);

#[derive(Debug)]
enum Kept {
    Image(Keeper),
    Plain(TempDir),
}

impl Disk {
    pub(crate) fn plain() -> Self {
        Self(Kept::Plain(new_directory()))
    }

    pub(crate) const fn kept(keeper: Keeper) -> Self {
        Self(Kept::Image(keeper))
    }

    /// Its root. A new ext4 has a `lost+found` there.
    #[must_use]
    pub fn path(&self) -> &Path {
        match &self.0 {
            Kept::Image(keeper) => keeper.mounted_at(),
            Kept::Plain(directory) => directory.path(),
        }
    }

    /// Writes back all that is dirty on it, so that blocks are where they will be.
    pub fn sync(&self) {
        rustix::fs::syncfs(File::open(self.path()).expect("it is mounted")).expect("a sync");
    }
}

/// A new directory where images lie, which its owner removes.
pub(crate) fn new_directory() -> TempDir {
    let parent = env::var_os("VFOLDER_TEST_IMAGES").map_or_else(
        || {
            let memory = PathBuf::from("/dev/shm");
            let usable = rustix::fs::access(&memory, rustix::fs::Access::WRITE_OK).is_ok();
            if usable { memory } else { env::temp_dir() }
        },
        PathBuf::from,
    );
    tempfile::Builder::new()
        .prefix("vfolder-disk-")
        .tempdir_in(&parent)
        .unwrap_or_else(|error| panic!("no new directory in {}: {error}", parent.display()))
}
