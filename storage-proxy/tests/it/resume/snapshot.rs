//! Which files a tree consists of, so that it can be told later which were made again.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
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
            (!meta.is_dir()).then_some((path, inode))
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
