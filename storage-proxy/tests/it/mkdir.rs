//! Directories that are made in trees.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
};

use vfolder_images::is_root;
use vfolder_storage_proxy::tree::{Fault, RelativePath, TreeRoot};

use crate::support::directory;

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text.as_bytes()).unwrap()
}

#[test]
fn a_directory_belongs_to_the_owner_of_what_it_is_in_and_has_its_mode_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let root = TreeRoot::new(directory(dir.path()));
    root.create_directory(&path("theirs"), false, 0o777)
        .unwrap();
    if is_root() {
        chown(dir.path().join("theirs"), Some(1234), Some(2345)).unwrap();
    }
    fs::set_permissions(
        dir.path().join("theirs"),
        fs::Permissions::from_mode(0o2775),
    )
    .unwrap();
    let made = root
        .create_directory(&path("theirs/a/b"), true, 0o1777)
        .unwrap();
    let parent = fs::metadata(dir.path().join("theirs")).unwrap();
    for (name, mode) in [("theirs/a", 0o2755), ("theirs/a/b", 0o3777)] {
        let meta = fs::metadata(dir.path().join(name)).unwrap();
        assert_eq!(
            (meta.uid(), meta.gid()),
            (parent.uid(), parent.gid()),
            "{name}"
        );
        assert_eq!(meta.mode() & 0o7777, mode, "{name}");
    }
    assert_eq!(made.meta.mode, 0o3777);
}

#[test]
fn what_is_in_the_way_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    symlink("d", dir.path().join("l")).unwrap();
    let root = TreeRoot::new(directory(dir.path()));
    for (name, parents, wanted) in [
        ("d", false, Some(Fault::Exists)),
        ("d", true, None),
        ("f", true, Some(Fault::Exists)),
        ("l", true, Some(Fault::Exists)),
        ("f/x", true, Some(Fault::NotADirectory)),
        ("l/x", true, Some(Fault::Symlink)),
        ("l/x", false, Some(Fault::Symlink)),
        ("none/x", false, Some(Fault::NotFound)),
        ("", false, Some(Fault::Exists)),
        ("", true, None),
    ] {
        let made = root.create_directory(&path(name), parents, 0o755);
        assert_eq!(made.err(), wanted, "{name}, parents: {parents}");
    }
    assert_eq!(fs::read_dir(dir.path().join("d")).unwrap().count(), 0);
}
