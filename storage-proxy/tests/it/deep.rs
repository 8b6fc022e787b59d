//! Depth costs neither stack nor descriptors.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, statat};
use vfolder_storage_proxy::tree::{Control, Usage, Workers, usage};

use crate::support::{clone, directory, remove};

const LEVELS: usize = 1200;
/// 1,200 × 201 bytes: far beyond PATH_MAX.
const NAME: [u8; 200] = [b'd'; 200];

fn open_child(parent: &OwnedFd) -> OwnedFd {
    openat(
        parent,
        &NAME[..],
        OFlags::RDONLY | OFlags::DIRECTORY,
        Mode::empty(),
    )
    .unwrap()
}

#[test]
fn a_chain_of_1200_long_names_is_copied_counted_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (dir.path().join("source"), dir.path().join("copy"));
    std::fs::create_dir(&source).unwrap();
    let mut at = directory(&source);
    for level in 0..LEVELS {
        // Siblings before and after, so that every directory is gone on with after its child.
        for sibling in 0..3 {
            mkdirat(&at, format!("{level}-{sibling}"), Mode::RWXU).unwrap();
        }
        mkdirat(&at, &NAME[..], Mode::RWXU).unwrap();
        at = open_child(&at);
    }
    drop(openat(&at, "bottom", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap());

    let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let control = Control::default();
    clone(&source, dir.path(), "copy", &control).unwrap();
    let entries = 1 + LEVELS as u64 * 4 + 1;
    assert_eq!(control.progress().entries_done, entries);
    let mut at = directory(&copy);
    for level in 0..LEVELS {
        for sibling in 0..3 {
            statat(&at, format!("{level}-{sibling}"), AtFlags::empty()).unwrap();
        }
        at = open_child(&at);
    }
    statat(&at, "bottom", AtFlags::empty()).unwrap();
    drop(at);

    let counted = usage(
        directory(&copy).as_fd(),
        Workers::all_cores(),
        &Control::default(),
    )
    .unwrap();
    assert_eq!(
        counted,
        Usage {
            entries,
            bytes: 0,
            disk_bytes: counted.disk_bytes,
            approximate: false,
        }
    );
    for tree in [&source, &copy] {
        let control = Control::default();
        remove(tree, &control).unwrap();
        assert!(!tree.exists());
        assert_eq!(control.progress().entries_done, entries);
    }
    // Other tests run meanwhile; a leak would be of thousands.
    let after = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(
        after < before + 500,
        "{before} descriptors before, {after} after"
    );
}
