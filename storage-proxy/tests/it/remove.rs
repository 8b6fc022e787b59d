//! What is destroyed, and what is not.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    thread,
};

use rustix::{
    fs::{FallocateFlags, IFlags, fallocate, inotify, ioctl_getflags, ioctl_setflags},
    io::read,
};
use vfolder_images::is_root;
use vfolder_storage_proxy::tree::Control;

use crate::support::{clone, remove};

#[test]
fn what_symlinks_point_to_stays() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("outside/sub")).unwrap();
    fs::write(dir.path().join("outside/sub/file"), "x").unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    symlink("../outside", tree.join("directory")).unwrap();
    symlink("../../outside/sub/file", tree.join("sub/file")).unwrap();
    remove(&tree, &Control::default()).unwrap();
    assert!(!tree.exists());
    assert!(dir.path().join("outside/sub/file").exists());
    symlink("outside", &tree).unwrap();
    remove(&tree, &Control::default()).unwrap();
    assert!(fs::symlink_metadata(&tree).is_err());
    assert!(dir.path().join("outside/sub/file").exists());
}

#[test]
fn removing_twice_and_at_once_is_as_good_as_once() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    for number in 0..200 {
        fs::create_dir_all(tree.join(format!("{}/{number}", number % 7))).unwrap();
        fs::write(tree.join(format!("{}/{number}/file", number % 7)), "x").unwrap();
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| remove(&tree, &Control::default()).unwrap());
        }
    });
    assert!(!tree.exists());
    remove(&tree, &Control::default()).unwrap();
}

#[test]
fn neither_modes_nor_flags_keep_a_tree() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("locked/in")).unwrap();
    fs::write(tree.join("locked/in/file"), "x").unwrap();
    for path in ["locked/in", "locked"] {
        fs::set_permissions(tree.join(path), fs::Permissions::from_mode(0o0)).unwrap();
    }
    if is_root() {
        fs::create_dir_all(tree.join("fixed")).unwrap();
        fs::write(tree.join("fixed/file"), "x").unwrap();
        for path in ["fixed/file", "fixed"] {
            let file = File::open(tree.join(path)).unwrap();
            let immutable = ioctl_getflags(&file).map(|own| own | IFlags::IMMUTABLE);
            if immutable
                .and_then(|flags| ioctl_setflags(&file, flags))
                .is_err()
            {
                eprintln!("no immutable flag on this filesystem");
            }
        }
    }
    remove(&tree, &Control::default()).unwrap();
    assert!(!tree.exists());
}

#[test]
fn a_huge_files_blocks_are_given_back_and_a_linked_one_is_not_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    File::create(tree.join("huge"))
        .unwrap()
        .set_len(5 << 30)
        .unwrap();
    fs::write(tree.join("linked"), "x").unwrap();
    fs::hard_link(tree.join("linked"), dir.path().join("other-name")).unwrap();
    remove(&tree, &Control::default()).unwrap();
    assert_eq!(
        fs::read_to_string(dir.path().join("other-name")).unwrap(),
        "x"
    );
}

#[test]
fn a_mount_point_in_a_tree_is_an_error_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, point) = (dir.path().join("tree"), dir.path().join("tree/sub/point"));
    fs::create_dir_all(&point).unwrap();
    let mount = |arguments: &[&str]| {
        std::process::Command::new(arguments[0])
            .args(&arguments[1..])
            .output()
    };
    let mounted = mount(&["mount", "-t", "tmpfs", "none", point.to_str().unwrap()]);
    if !mounted.is_ok_and(|done| done.status.success()) {
        eprintln!("can't mount here: not tested");
        return;
    }
    fs::write(point.join("theirs"), "x").unwrap();
    let cloned = clone(&tree, dir.path(), "copy", &Control::default());
    let removed = remove(&tree, &Control::default());
    let survived = point.join("theirs").exists();
    mount(&["umount", point.to_str().unwrap()]).unwrap();
    assert!(survived);
    for failed in [cloned.unwrap_err(), removed.unwrap_err()] {
        assert_eq!(failed.path, b"sub/point");
        assert_eq!(failed.fault, vfolder_storage_proxy::tree::Fault::MountPoint);
    }
    remove(&tree, &Control::default()).unwrap();
}

#[test]
fn real_blocks_are_given_back_by_steps_unless_another_name_has_them_too() {
    const SIZE: u64 = 5 << 29;
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let (huge, linked) = (tree.join("huge"), tree.join("linked"));
    for path in [&huge, &linked] {
        let file = File::create(path).unwrap();
        let allocated = fallocate(&file, FallocateFlags::empty(), 0, SIZE);
        if allocated.is_err() || file.metadata().unwrap().blocks() * 512 < SIZE {
            eprintln!("NOT CHECKED: no room for real blocks, so not how a huge file is truncated");
            return;
        }
    }
    fs::hard_link(&linked, dir.path().join("other")).unwrap();
    let changes = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&changes, &huge, inotify::WatchFlags::MODIFY).unwrap();
    remove(&tree, &Control::default()).unwrap();
    assert!(
        read(changes, &mut [0; 64][..]).unwrap() > 0,
        "not truncated"
    );
    let other = fs::metadata(dir.path().join("other")).unwrap();
    assert_eq!((other.len(), other.nlink()), (SIZE, 1));
}
