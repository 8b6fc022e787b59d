//! A writer in the tree can make the work fail or see its own changes. It can never make it reach outside.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, Mode, RenameFlags, mkfifoat, renameat_with};
use vfolder_storage_proxy::tree::Control;

use crate::{
    oracle::walk,
    support::{Dice, clone, remove},
};

const SECRET: &str = "not to be read";
const RACE: Duration = Duration::from_millis(1500);

/// Outside the tree, with what must be neither read nor removed; inside, directories and files, and next to each what it
/// is swapped with.
fn set_up(dir: &Path) -> PathBuf {
    fs::create_dir_all(dir.join("outside/sub")).unwrap();
    // Names that the writer, who walks by path and so outside as well, doesn't touch.
    for name in ["outside/secret", "outside/sub/secret"] {
        fs::write(dir.join(name), SECRET).unwrap();
    }
    let tree = dir.join("tree");
    for number in 0..6 {
        let directory = tree.join(format!("d{number}"));
        fs::create_dir_all(directory.join("sub")).unwrap();
        for file in 0..6 {
            fs::write(directory.join(format!("file{file}")), vec![b'x'; 20_000]).unwrap();
            fs::write(directory.join(format!("sub/file{file}")), "inside").unwrap();
            mkfifoat(CWD, directory.join(format!("fifo{file}")), Mode::RWXU).unwrap();
        }
        symlink(dir.join("outside"), tree.join(format!("link{number}"))).unwrap();
        symlink(dir.join("outside/sub"), directory.join("sublink")).unwrap();
    }
    tree
}

/// Swaps directories with symlinks and files with fifos, unlinks and truncates, until told to stop.
fn write_hostile(tree: &Path, seed: u64, stop: &AtomicBool) {
    let swap = |a: PathBuf, b: PathBuf| {
        let _ = renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE);
    };
    let mut dice = Dice(seed);
    while !stop.load(Relaxed) {
        let (number, file) = (dice.roll(6), dice.roll(6));
        let directory = tree.join(format!("d{number}"));
        match dice.roll(10) {
            0..4 => swap(directory, tree.join(format!("link{number}"))),
            4..7 => swap(directory.join("sub"), directory.join("sublink")),
            7 => swap(
                directory.join(format!("file{file}")),
                directory.join(format!("fifo{file}")),
            ),
            8 => drop(
                fs::OpenOptions::new()
                    .write(true)
                    .truncate(true)
                    .open(directory.join(format!("sub/file{file}"))),
            ),
            _ => {
                let _ = fs::remove_file(directory.join(format!("file{file}")));
                let _ = fs::write(directory.join(format!("sub/file{file}")), "again");
            }
        }
        if dice.roll(4) == 0 {
            thread::yield_now();
        }
    }
}

fn race(seed: u64, tree: &Path, mut work: impl FnMut(usize)) -> usize {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| write_hostile(tree, seed, &stop));
        let _stop = StopOnDrop(&stop);
        let (begun, mut rounds) = (Instant::now(), 0);
        while begun.elapsed() < RACE {
            work(rounds);
            rounds += 1;
        }
        rounds
    })
}

/// A failed assertion ends the writer, too.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn a_clone_never_reads_outside_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let tree = set_up(dir.path());
    let mut whole = 0;
    let rounds = race(42, &tree, |round| {
        let name = format!("copy{round}");
        let done = clone(&tree, dir.path(), &name, &Control::default());
        whole += usize::from(done.is_ok());
        let copy = dir.path().join(name);
        for path in walk(&copy) {
            let path = copy.join(path);
            if fs::symlink_metadata(&path).unwrap().is_file() {
                assert_ne!(
                    fs::read(&path).unwrap(),
                    SECRET.as_bytes(),
                    "{}",
                    path.display()
                );
            }
        }
        remove(&copy, &Control::default()).unwrap();
        remove(&dir.path().join(".links"), &Control::default()).unwrap();
    });
    assert!(whole > 0, "none of {rounds} clones succeeded");
}

#[test]
fn a_removal_never_removes_outside_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("precious");
    fs::create_dir_all(outside.join("sub")).unwrap();
    for name in ["a", "sub/b"] {
        fs::write(outside.join(name), SECRET).unwrap();
    }
    let tree = dir.path().join("tree");
    // Made elsewhere and moved in: what is made by a path into the tree might be made outside.
    let build = |round| {
        let _ = fs::create_dir(&tree);
        for number in 0..6 {
            let made = dir.path().join(format!("made-{round}-{number}"));
            fs::create_dir_all(made.join("sub/sub")).unwrap();
            symlink(outside.join("sub"), made.join("sublink")).unwrap();
            let _ = fs::rename(&made, tree.join(format!("d{number}")));
            let _ = symlink(&outside, tree.join(format!("link{number}")));
        }
    };
    race(43, &tree, |round| {
        build(round);
        // It may give up on a directory that is filled again and again.
        let _ = remove(&tree, &Control::default());
        for name in ["a", "sub/b"] {
            assert_eq!(fs::read_to_string(outside.join(name)).unwrap(), SECRET);
        }
    });
}
