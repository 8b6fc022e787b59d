//! Which files a tree consists of, so that it can be told later which were made again.

use std::{
    collections::HashMap,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::oracle::walk;

/// Of each path that is no directory its inode: the number, and when it was made, since numbers are used again.
#[derive(Default)]
pub struct Snapshot(HashMap<PathBuf, (u64, SystemTime)>);

impl Snapshot {
    /// Of the tree in `root`, if there is one.
    pub fn of(root: &Path) -> Self {
        if !root.exists() {
            return Self::default();
        }
        let inode = |path: PathBuf| {
            let meta = fs::symlink_metadata(root.join(&path)).unwrap();
            let inode = (meta.ino(), meta.created().unwrap());
            // On btrfs the names that linked files have meanwhile are in the tree.
            let passing = path.as_os_str().as_bytes().starts_with(b".links-");
            (!meta.is_dir() && !passing).then_some((path, inode))
        };
        Self(walk(root).into_iter().filter_map(inode).collect())
    }

    /// How many of its files are not in the later one, or are other files there.
    pub fn lost_in(&self, later: &Self) -> u64 {
        let lost =
            |(path, inode): &(&PathBuf, &(u64, SystemTime))| later.0.get(*path) != Some(inode);
        self.0.iter().filter(lost).count() as u64
    }
}
