//! Files of other users, and files that are not what their numbers say.

use std::{
    env,
    fs::{self, File},
    os::unix::{
        fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use rustix::{
    fs::{FallocateFlags, XattrFlags, fallocate, setxattr},
    io::Errno,
};
use vfolder_images::is_root;
use vfolder_storage_proxy::tree::{Control, Fault};

use crate::{
    oracle,
    support::{clone, reachable},
};

const NOBODY: u32 = 65_534;
/// Set for the test that runs as another user, in a process of its own.
const DIRECTORY: &str = "VFOLDER_TEST_FOREIGN_DIRECTORY";

fn setuid_source(dir: &Path) {
    let tool = dir.join("source/tool");
    fs::create_dir(dir.join("source")).unwrap();
    fs::write(&tool, "x").unwrap();
    chown(&tool, Some(1234), Some(2345)).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o4755)).unwrap();
}

#[test]
fn a_users_setuid_file_stays_theirs() {
    if !is_root() {
        eprintln!("NOT CHECKED: not root, so not how files of other users are copied");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    setuid_source(dir.path());
    clone(
        &dir.path().join("source"),
        dir.path(),
        "copy",
        &Control::default(),
    )
    .unwrap();
    let meta = fs::metadata(dir.path().join("copy/tool")).unwrap();
    assert_eq!(
        (meta.uid(), meta.gid(), meta.mode() & 0o7777),
        (1234, 2345, 0o4755)
    );
}

#[test]
fn one_who_may_not_give_files_away_copies_no_other_users_setuid_file() {
    if !is_root() {
        eprintln!("NOT CHECKED: not root, so not what another user may copy");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    setuid_source(dir.path());
    for path in [dir.path(), &dir.path().join("source")] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let test = "foreign::the_copy_that_another_user_tries";
    let tried = Command::new(reachable(&env::current_exe().unwrap(), dir.path()))
        .args(["--exact", test, "--nocapture"])
        .env(DIRECTORY, dir.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    assert!(tried.status.success(), "{tried:?}");
    let copy = fs::metadata(dir.path().join("copy/tool")).unwrap();
    assert_eq!((copy.uid(), copy.mode() & 0o7077), (NOBODY, 0));
}

#[test]
fn the_copy_that_another_user_tries() {
    let Some(dir) = env::var_os(DIRECTORY) else {
        return;
    };
    let dir = Path::new(&dir);
    assert!(!is_root());
    let refused = clone(&dir.join("source"), dir, "copy", &Control::default()).unwrap_err();
    let (uid, gid) = (1234, 2345);
    assert_eq!(refused.fault, Fault::Owner { uid, gid });
}

#[test]
fn a_file_with_more_blocks_than_its_size_needs_keeps_its_holes() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    let file = File::create(source.join("file")).unwrap();
    file.write_all_at(&[b'x'; 4096], 0).unwrap();
    file.set_len(1 << 20).unwrap();
    // Beyond the end: blocks that the size knows nothing of.
    let flags = FallocateFlags::KEEP_SIZE;
    if fallocate(&file, flags, 1 << 20, 2 << 20).is_err() {
        eprintln!("NOT CHECKED: no fallocate(2) here, so not whether hidden holes are kept");
        return;
    }
    let meta = file.metadata().unwrap();
    assert!(meta.blocks() * 512 >= meta.len());
    clone(&source, dir.path(), "copy", &Control::default()).unwrap();
    let copy = dir.path().join("copy");
    oracle::assert_same(&oracle::describe(&source), &oracle::describe(&copy));
    let copied = fs::metadata(copy.join("file")).unwrap().blocks() * 512;
    assert!(copied < 1 << 20, "{copied} bytes on disk");
}

#[test]
fn every_directory_on_the_way_down_keeps_its_extended_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let mut path = source.clone();
    for depth in 0..60 {
        path = path.join(format!("d{depth}"));
        fs::create_dir_all(&path).unwrap();
        match setxattr(&path, "user.depth", &[b'x'; 500], XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => {
                eprintln!("NOT CHECKED: no extended attributes on this filesystem");
                return;
            }
            done => done.unwrap(),
        }
    }
    clone(&source, dir.path(), "copy", &Control::default()).unwrap();
    let copy = dir.path().join("copy");
    oracle::assert_same(&oracle::describe(&source), &oracle::describe(&copy));
}
