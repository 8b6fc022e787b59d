//! What a clone does with symlinks, sockets and a wish to stop. What it copies: `fidelity`.

use std::{
    fs,
    os::{
        fd::AsFd as _,
        unix::{
            fs::{FileExt as _, MetadataExt as _, symlink},
            net::UnixListener,
        },
    },
    path::Path,
    process::Command,
};

use vfolder_images::{Filesystem, on_each_filesystem};
use vfolder_storage_proxy::tree::{Control, Fault, digest};

use crate::{
    mounted::Mounted,
    oracle,
    support::{clone, clone_digested, directory, workers},
};

on_each_filesystem!(large_files_are_copied_to_the_last_byte_and_keep_their_holes);

#[test]
fn a_symlink_is_copied_as_a_symlink_and_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("outside/sub")).unwrap();
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    symlink("../outside", source.join("directory")).unwrap();
    symlink("../outside/secret", source.join("file")).unwrap();
    clone(&source, dir.path(), "copy", &Control::default()).unwrap();
    let copy = dir.path().join("copy");
    assert_eq!(
        fs::read_link(copy.join("directory")).unwrap(),
        Path::new("../outside")
    );
    assert_eq!(
        fs::read_link(copy.join("file")).unwrap(),
        Path::new("../outside/secret")
    );
}

#[test]
fn a_clone_that_is_asked_to_stop_stops() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    let control = Control::default();
    control.stop();
    assert!(
        clone(&source, dir.path(), "copy", &control)
            .unwrap_err()
            .is_cancelled()
    );
}

#[test]
fn a_socket_in_use_is_copied_as_a_socket() {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let source = dir.path().join("s");
    fs::create_dir(&source).unwrap();
    let _listener = UnixListener::bind(source.join("socket")).unwrap();
    clone(&source, dir.path(), "copy", &Control::default()).unwrap();
    use std::os::unix::fs::FileTypeExt as _;
    assert!(
        fs::symlink_metadata(dir.path().join("copy/socket"))
            .unwrap()
            .file_type()
            .is_socket()
    );
}

/// A directory, on a filesystem of its own, that takes names that differ in case only for one.
fn without_case(dir: &Path) -> Option<Mounted<'_>> {
    if !Path::new("/sys/fs/ext4/features/casefold").exists() {
        // Also where all has to be checked: a kernel without CONFIG_UNICODE can't be helped.
        eprintln!(
            "NOT CHECKED: no casefold here, so not what becomes of names that differ in case"
        );
        return None;
    }
    let image = dir.with_extension("image");
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let run = |program: &str, arguments: &[&str], last: &Path| {
        let done = Command::new(program).args(arguments).arg(last).output();
        done.is_ok_and(|done| done.status.success())
    };
    let made = run("mkfs.ext4", &["-qF", "-O", "casefold"], &image);
    assert!(made);
    let mounted = Mounted::file(&image, dir)?;
    assert!(fs::create_dir(dir.join("fold")).is_ok());
    assert!(run("chattr", &["+F"], &dir.join("fold")));
    Some(mounted)
}

/// What it is called, and how to make one.
type Kind<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn names_that_the_copys_directory_takes_for_one_are_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    let Some(_mounted) = without_case(&disk) else {
        return;
    };
    let file = |path: &Path| fs::write(path, path.to_str().unwrap()).unwrap();
    let tree = |path: &Path| {
        fs::create_dir(path).unwrap();
        file(&path.join("in it"));
    };
    let linked = |path: &Path| {
        file(path);
        fs::hard_link(path, path.with_extension("another")).unwrap();
    };
    let fifo = |path: &Path| drop(UnixListener::bind(path).unwrap());
    let kinds: [Kind<'_>; 4] = [
        ("file", &file),
        ("tree", &tree),
        ("linked", &linked),
        ("socket", &fifo),
    ];
    for (kind, make) in kinds {
        let source = dir.path().join(kind);
        fs::create_dir(&source).unwrap();
        make(&source.join("name"));
        let cloned = |copy: &str| {
            let copy = format!("{kind}-{copy}");
            clone(&source, &disk.join("fold"), &copy, &Control::default())
        };
        cloned("alone").unwrap();
        make(&source.join("NAME"));
        let error = cloned("both").unwrap_err();
        assert_eq!(error.fault, Fault::Alike, "{kind}");
        assert_eq!(error.path.to_ascii_lowercase(), b"name", "{kind}");
    }
}

/// Large ones are written past the page cache, in blocks.
fn large_files_are_copied_to_the_last_byte_and_keep_their_holes(filesystem: Filesystem) {
    const LARGE: u64 = 16 << 20;
    let Some(disk) = filesystem.make(1 << 30) else {
        return;
    };
    let source = disk.path().join("source");
    fs::create_dir(&source).unwrap();
    let content: Vec<u8> = (0..LARGE + 8192).map(|at| (at % 251) as u8 + 1).collect();
    for more in [0, 1, 511, 4095, 4096, 4097] {
        let size = (LARGE + more) as usize;
        fs::write(source.join(more.to_string()), &content[..size]).unwrap();
        // The same in pieces, at places that are no blocks'.
        let holes = fs::File::create(source.join(format!("{more} holes"))).unwrap();
        holes.set_len(4 * LARGE + more).unwrap();
        for (at, length) in [(more, 3), (LARGE, 5_000_000), (2 * LARGE + 777, 1 << 20)] {
            holes.write_all_at(&content[..length], at).unwrap();
        }
        holes.write_all_at(b"end", 4 * LARGE + more - 3).unwrap();
    }
    disk.sync();
    let control = Control::default();
    clone(&source, disk.path(), "copy", &control).unwrap();
    let digested = clone_digested(&source, disk.path(), "digested", &control).unwrap();
    for copy in ["copy", "digested"].map(|copy| disk.path().join(copy)) {
        oracle::assert_same(&oracle::describe(&source), &oracle::describe(&copy));
        disk.sync();
        for entry in fs::read_dir(&source).unwrap() {
            let name = entry.unwrap().file_name();
            let blocks = |at: &Path| fs::metadata(at.join(&name)).unwrap().blocks();
            assert!(blocks(&copy) <= blocks(&source) + 64, "{name:?}");
        }
        let root = directory(&copy);
        let read = digest(root.as_fd(), &tempfile::tempfile, workers(), &control).unwrap();
        assert_eq!(read, digested);
    }
}
