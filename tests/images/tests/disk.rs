//! Disks are there while they are held, and gone afterwards.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    env, fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use vfolder_images::{Filesystem, on_each_filesystem};

const SIZE: u64 = 64 << 20;
/// Set for the process that is killed: where it tells where its disk is.
const TELL: &str = "VFOLDER_TEST_DISK_TELL";

on_each_filesystem!(a_panic_takes_its_disk_along, many_at_once_are_many);

/// The type that the kernel says is mounted there.
fn mounted(path: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut mounts = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    mounts
        .find(|mount| Path::new(mount[1]) == path)
        .map(|mount| mount[2].to_owned())
}

fn a_panic_takes_its_disk_along(filesystem: Filesystem) {
    let Some(disk) = filesystem.make(SIZE) else {
        return;
    };
    let path = disk.path().to_owned();
    let wanted = match filesystem {
        Filesystem::Plain => None,
        image => Some(image.to_string().to_lowercase()),
    };
    assert_eq!(mounted(&path), wanted);
    fs::write(path.join("file"), "x").unwrap();
    let panicked = catch_unwind(move || {
        let _held = disk;
        panic!("of a test");
    });
    assert!(panicked.is_err());
    assert_eq!((mounted(&path), path.exists()), (None, false));
}

fn many_at_once_are_many(filesystem: Filesystem) {
    let make = || {
        let disk = filesystem.make(SIZE)?;
        fs::create_dir(disk.path().join("mine")).unwrap();
        Some(disk)
    };
    let disks: Vec<_> = thread::scope(|scope| {
        let makers: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
        makers
            .into_iter()
            .filter_map(|m| m.join().unwrap())
            .collect()
    });
    let mut paths: Vec<_> = disks.iter().map(|disk| disk.path().to_owned()).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), disks.len());
}

#[test]
fn a_killed_process_leaves_no_mount() {
    let told = tempfile::NamedTempFile::new().unwrap();
    let mut process = Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--nocapture"])
        .env(TELL, told.path())
        .spawn()
        .unwrap();
    let look = || fs::read_to_string(told.path()).unwrap();
    until(|| !look().is_empty() || process.try_wait().unwrap().is_some());
    let path = PathBuf::from(look());
    // Where it can't mount, it has said so and ended.
    if path.as_os_str().is_empty() {
        return;
    }
    assert!(mounted(&path).is_some());
    process.kill().unwrap();
    process.wait().unwrap();
    until(|| mounted(&path).is_none() && !path.exists());
}

#[test]
fn the_process_that_is_killed() {
    let Some(tell) = env::var_os(TELL) else {
        return;
    };
    if let Some(disk) = Filesystem::Ext4.make(SIZE) {
        fs::write(tell, disk.path().as_os_str().as_encoded_bytes()).unwrap();
        loop {
            thread::park();
        }
    }
}

fn until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain");
        thread::sleep(Duration::from_millis(5));
    }
}
