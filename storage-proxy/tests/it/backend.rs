//! What is found out about a volume's filesystem.

use std::{fs, os::fd::AsFd as _, path::Path};

use vfolder_storage_proxy::{
    backend::{Method, probe},
    tree::{Filesystem, Workers},
};

use crate::{mounted::Mounted, support::directory};

fn is_found(at: &Path, kind: &str, method: Method, one_removes: bool) {
    let staging = directory(at);
    assert_eq!(Filesystem::of(&staging).unwrap().to_string(), kind);
    let found = probe(staging.as_fd(), false).capabilities();
    let (one, cores) = (Workers::ONE, Workers::all_cores());
    assert_eq!((found.method, found.quota), (method, false), "{kind}");
    assert_eq!(
        (found.clone_workers, found.remove_workers),
        (cores, if one_removes { one } else { cores }),
        "{kind}"
    );
    let left: Vec<_> = fs::read_dir(at)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_str().unwrap().contains("probe"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // Nothing is tried where nothing may be written.
    assert_eq!(
        probe(staging.as_fd(), true).capabilities().method,
        Method::Copy
    );
}

#[test]
fn each_filesystem_is_known_by_what_it_can_do() {
    for (kind, method, one_removes) in [
        ("ext4", Method::Copy, false),
        ("xfs", Method::Reflink, false),
        ("btrfs", Method::Snapshot, true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        if let Some(_mounted) = Mounted::image(kind, &path, 512 << 20) {
            is_found(&path, kind, method, one_removes);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    if let Some(_mounted) = Mounted::tmpfs(&path, "size=4m") {
        is_found(&path, "tmpfs", Method::Copy, false);
    }
}
