//! A writer in the tree can make the work fail or see its own changes. It can never make it reach outside.
//!
//! What is outside is watched with inotify while several hostile writers change the tree and the engine works on it, with
//! delays between its steps. Each test tells its seed; `VFOLDER_TEST_SEED` gives it back.

mod hostile;
mod requests;
mod scene;
mod witness;

use std::{
    env, fs,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use vfolder_common::fault;
use vfolder_images::{Filesystem, on_each_filesystem};
use vfolder_storage_proxy::{
    faults::POINTS,
    tree::{
        Checkpoint, Control, Order, Reading, RelativePath, Shelf, TreeRoot, diff, digest, usage,
    },
};

use self::scene::{OURS, Scene, VAST};
use crate::{
    oracle::walk,
    support::{clone, clone_digested, clone_resumed, directory, remove, seed, workers},
};

on_each_filesystem!(
    a_clone_reaches_nothing_outside_its_source,
    a_clone_that_goes_on_reaches_nothing_outside_its_source,
    a_digest_reaches_nothing_outside_the_tree,
    a_removal_reaches_nothing_outside_the_tree,
    a_look_around_reaches_nothing_outside_the_tree,
);

const WRITERS: u64 = 2;
const DELAYS: &str = "clone.copying=jitter,remove.entry=jitter";

/// Rounds of `work` on a tree of its own each, with writers in it, until the time is up.
fn race(filesystem: Filesystem, work: impl Fn(&Scene, &Path)) {
    let time = match env::var_os("VFOLDER_TEST_LONG") {
        Some(_) => Duration::from_secs(60),
        None => Duration::from_secs(1),
    };
    let Some(disk) = filesystem.make(1 << 30) else {
        return;
    };
    let seed = seed();
    eprintln!("VFOLDER_TEST_SEED={seed}");
    fault::arm(DELAYS, POINTS).unwrap();
    let (begun, changes) = (Instant::now(), AtomicU64::new(0));
    let mut rounds = 0;
    while begun.elapsed() < time {
        let root = disk.path().join(format!("round{rounds}"));
        let scene = Scene::build(&root);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop = StopOnDrop(&stop);
            for writer in 0..WRITERS {
                let (handles, stop, changes) = (&scene.handles, &stop, &changes);
                let seed = seed ^ (rounds * WRITERS + writer);
                scope.spawn(move || hostile::write(handles, seed, stop, changes));
            }
            let before = changes.load(Relaxed);
            while changes.load(Relaxed) == before {
                thread::yield_now();
            }
            work(&scene, &root);
        });
        scene.check_and_remove(&format!("round {rounds} with the seed {seed}"));
        rounds += 1;
    }
    eprintln!(
        "{rounds} rounds, {} changes meanwhile",
        changes.load(Relaxed)
    );
}

/// A failed assertion ends the writers, too.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn a_clone_reaches_nothing_outside_its_source(filesystem: Filesystem) {
    let [whole, failed] = [(); 2].map(|()| AtomicU64::new(0));
    race(filesystem, |scene, root| {
        match clone(&scene.tree(), root, "copy", &Control::default()) {
            Ok(()) => whole.fetch_add(1, Relaxed),
            Err(_) => failed.fetch_add(1, Relaxed),
        };
        holds_nothing_else(&root.join("copy"));
    });
    let (whole, failed) = (whole.into_inner(), failed.into_inner());
    eprintln!("{whole} clones ended, {failed} gave up");
    assert!(whole > 0, "none of {failed} clones succeeded");
}

/// A copy has the bytes of the tree's files, and of no others.
fn holds_nothing_else(copy: &Path) {
    for path in walk(copy) {
        let path = copy.join(path);
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_file() {
            assert!(meta.size() < VAST, "{}", path.display());
            let content = fs::read(&path).unwrap();
            let strange = content.iter().find(|byte| ![0, OURS].contains(byte));
            assert_eq!(strange, None, "{}", path.display());
        }
    }
}

/// Each life is stopped on its way, and the next keeps what it can: contents are compared, links looked up.
fn a_clone_that_goes_on_reaches_nothing_outside_its_source(filesystem: Filesystem) {
    const LIVES: u64 = 4;
    let resumed = AtomicU64::new(0);
    race(filesystem, |scene, root| {
        for life in 0..LIVES {
            // All has changed since, and has to be made anew; or nothing has, and is compared.
            let began = if life % 2 == 0 { 0 } else { i64::MAX };
            let checkpoint = Checkpoint::first((began, 0));
            let control = Control::default();
            let cloned = thread::scope(|scope| {
                let cloning = scope.spawn(|| {
                    let resume = (life > 0).then_some(&checkpoint);
                    clone_resumed(&scene.tree(), root, "copy", resume, &control)
                });
                let far = |done: u64| done >= 10 * (life + 1);
                while !far(control.progress().entries_done) && !cloning.is_finished() {
                    thread::yield_now();
                }
                if life + 1 < LIVES {
                    control.stop();
                }
                cloning.join().unwrap()
            });
            if let Ok(cloned) = cloned {
                resumed.fetch_add(cloned.kept_entries, Relaxed);
                break;
            }
        }
        holds_nothing_else(&root.join("copy"));
    });
    let resumed = resumed.into_inner();
    eprintln!("{resumed} entries were kept");
    assert!(resumed > 0, "none was ever gone on with");
}

/// Also on the way of a clone, and where two trees are compared.
fn a_digest_reaches_nothing_outside_the_tree(filesystem: Filesystem) {
    let [whole, rounds] = [(); 2].map(|()| AtomicU64::new(0));
    race(filesystem, |scene, root| {
        let (control, tree) = (Control::default(), directory(&scene.tree()));
        let digested = match rounds.fetch_add(1, Relaxed) % 3 {
            0 => {
                digest(tree.as_fd(), &tempfile::tempfile, workers(), &control).map(|all| all.bytes)
            }
            1 => clone_digested(&scene.tree(), root, "copy", &control).map(|all| all.bytes),
            _ => {
                let (again, tell) = (directory(&scene.tree()), |_| {});
                diff(tree.as_fd(), again.as_fd(), workers(), &control, &tell).map(|_| 0)
            }
        };
        if let Ok(bytes) = digested {
            whole.fetch_add(1, Relaxed);
            assert!(bytes < VAST, "{bytes}");
        }
    });
    assert!(whole.into_inner() > 0, "none succeeded");
}

fn a_removal_reaches_nothing_outside_the_tree(filesystem: Filesystem) {
    let gone = AtomicU64::new(0);
    race(filesystem, |scene, _| {
        // It may give up on a directory that is filled again and again.
        if remove(&scene.tree(), &Control::default()).is_ok() {
            gone.fetch_add(1, Relaxed);
        }
    });
    assert!(gone.into_inner() > 0, "none succeeded");
}

fn a_look_around_reaches_nothing_outside_the_tree(filesystem: Filesystem) {
    let path = |path: &str| RelativePath::parse(path.as_bytes()).unwrap();
    let chain = format!("chain{}", "/x".repeat(40));
    let places = ["d0", "d1/sub", "chain/x/x", &chain].map(path);
    race(filesystem, |scene, _| {
        let (control, shelf) = (Control::default(), Shelf::default());
        let tree = directory(&scene.tree());
        if let Ok(counted) = usage(tree.as_fd(), workers(), &control) {
            assert!(counted.bytes < VAST, "{counted:?}");
        }
        let tree = TreeRoot::new(tree);
        for _ in 0..20 {
            for place in &places {
                let reading = Reading {
                    shelf: &shelf,
                    since: 0,
                    control: &control,
                };
                if let Ok(page) = tree.list(place, Order::default(), None, 100, reading) {
                    let mut names = page.entries.iter().map(|entry| entry.name.as_bytes());
                    assert!(!names.any(|name| name == b"vast"));
                }
            }
            for place in ["d0/new", "d1/sub/new", "chain/x/x/new"] {
                let _ = tree.create_directory(&path(place), true, 0o755);
            }
        }
    });
}
