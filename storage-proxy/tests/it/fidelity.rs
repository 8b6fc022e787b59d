//! A clone has everything that its source has, on each filesystem: by our own oracle, and by one that we have not written.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use vfolder_images::{Filesystem, on_each_filesystem};
use vfolder_storage_proxy::tree::Control;

use crate::{
    everything, oracle, rsync,
    support::{clone, remove},
};

on_each_filesystem!(a_clone_has_everything_that_its_source_has);

fn a_clone_has_everything_that_its_source_has(filesystem: Filesystem) {
    let Some(disk) = filesystem.make(4 << 30) else {
        return;
    };
    let (source, copy) = (disk.path().join("source"), disk.path().join("copy"));
    everything::build(&source);
    // So that data and holes are where they stay.
    disk.sync();
    let wanted = oracle::describe(&source);
    let paths: Vec<PathBuf> = wanted.keys().cloned().collect();
    everything::set_times(&source, &paths);
    let wanted_times = oracle::times(&source, &paths);

    let control = Control::default();
    clone(&source, disk.path(), "copy", &control).unwrap();
    disk.sync();

    let times = oracle::times(&copy, &paths);
    for path in &paths {
        assert_eq!(
            wanted_times[path],
            times[path],
            "times of {}",
            path.display()
        );
    }
    rsync::assert_same(&source, &copy, Some(everything::HUGE));
    assert_no_more_blocks(&source, &copy, &paths);
    oracle::assert_same(&wanted, &oracle::describe(&copy));
    assert_eq!(control.progress().entries_done, paths.len() as u64);
    remove(&copy, &Control::default()).unwrap();
    remove(&source, &Control::default()).unwrap();
}

/// Holes, and what was allocated and never written, by the number that quotas go by.
fn assert_no_more_blocks(source: &Path, copy: &Path, paths: &[PathBuf]) {
    // Trees of extents, and blocks of attributes, may differ a little.
    const SLACK: u64 = 64 << 10;
    for path in paths {
        let look = |root: &Path| fs::symlink_metadata(root.join(path)).unwrap();
        let (theirs, ours) = (look(source), look(copy));
        assert!(
            !theirs.is_file() || ours.blocks() * 512 <= theirs.blocks() * 512 + SLACK,
            "{} has {} blocks, and {} in the source",
            path.display(),
            ours.blocks(),
            theirs.blocks()
        );
    }
}
