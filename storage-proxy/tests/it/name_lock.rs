//! Two who take the place of one thing at once, or take it away: between them they tell of every file that is gone, once.

use std::{
    fs,
    path::Path,
    sync::{Arc, Barrier},
    thread,
};

use rustix::fs::{Mode, OFlags, open};
use tempfile::TempDir;
use vfolder_storage_proxy::tree::{Control, RelativePath, TreeRoot};

const ROUNDS: usize = 1_500;
/// Of the files: no two sums of some of them are alike.
const SIZES: [(&str, usize); 3] = [("a", 1), ("b", 2), ("x", 4)];

/// What one of the two does with "x"; how many bytes went, and how many names. None: it can't tell.
type Deed = fn(&TreeRoot) -> Option<(u64, u64)>;

fn path(name: &str) -> RelativePath {
    RelativePath::parse(name.as_bytes()).unwrap()
}

fn moves(tree: &TreeRoot, from: &str) -> Option<(u64, u64)> {
    let moved = tree.rename(&path(from), &path("x"), true, &Control::default());
    // Else what it has moved was removed before it could say what that is.
    let replaced = moved.ok()?.replaced;
    Some(replaced.map_or((0, 0), |replaced| (replaced.bytes, 1)))
}

fn removes(tree: &TreeRoot) -> Option<(u64, u64)> {
    let control = Control::default();
    // There may be nothing to remove.
    let _ = tree.remove(&path("x"), false, &control);
    let gone = control.progress();
    Some((gone.bytes_done, gone.entries_done))
}

fn count(directory: &Path) -> (u64, u64) {
    let entries = fs::read_dir(directory).unwrap();
    entries.fold((0, 0), |(bytes, names), entry| {
        let size = entry.unwrap().metadata().unwrap().len();
        (bytes + size, names + 1)
    })
}

#[test]
fn who_replaces_or_removes_at_once_tells_of_each_file_once() {
    // On a disk, each rename waits for it.
    let place = Some("/dev/shm").filter(|place| Path::new(place).is_dir());
    let dir = place.map_or_else(TempDir::new, TempDir::new_in).unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let root = open(dir.path(), flags, Mode::empty()).unwrap();
    let tree = Arc::new(TreeRoot::new(root));
    let pairs: [[Deed; 2]; 2] = [
        [|tree| moves(tree, "a"), |tree| moves(tree, "b")],
        [|tree| moves(tree, "a"), removes],
    ];
    for pair in pairs {
        for there in [true, false] {
            let start = Arc::new(Barrier::new(3));
            let end = Arc::new(Barrier::new(3));
            let told = pair.map(|deed| {
                let (tree, start, end) = (Arc::clone(&tree), Arc::clone(&start), Arc::clone(&end));
                let (sender, told) = std::sync::mpsc::channel();
                thread::spawn(move || {
                    for _ in 0..ROUNDS {
                        start.wait();
                        sender.send(deed(&tree)).unwrap();
                        end.wait();
                    }
                });
                told
            });
            let mut compared = 0;
            for round in 0..ROUNDS {
                for (name, size) in SIZES {
                    let file = dir.path().join(name);
                    if name != "x" || there {
                        fs::write(file, vec![0; size]).unwrap();
                    } else {
                        let _ = fs::remove_file(file);
                    }
                }
                let before = count(dir.path());
                start.wait();
                end.wait();
                let gone = told.each_ref().map(|told| told.recv().unwrap());
                let [Some(one), Some(other)] = gone else {
                    continue;
                };
                compared += 1;
                let gone = (one.0 + other.0, one.1 + other.1);
                let after = count(dir.path());
                let missing = (before.0 - after.0, before.1 - after.1);
                assert_eq!(gone, missing, "round {round}, there before: {there}");
            }
            assert!(compared > ROUNDS / 10, "{compared} rounds");
        }
    }
}
