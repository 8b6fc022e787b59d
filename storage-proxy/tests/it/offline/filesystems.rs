//! Clone and remove on each filesystem, by what it can do.

use vfolder_images::{Filesystem, on_each_filesystem};

use super::*;

on_each_filesystem!(a_tree_is_cloned_and_removed);

fn event(command: &mut Command) -> serde_json::Value {
    let said = succeeds(command.arg("--json"));
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

fn cloned_and_removed(disk: &Path) -> serde_json::Value {
    let (source, copy) = (disk.join("a"), disk.join("b"));
    fill(&source);
    let cloned = event(&mut tree([p("clone"), &source, &copy]));
    assert_same(&describe(&source), &describe(&copy));
    succeeds(&mut tree([p("remove"), &copy]));
    let left = names(disk).into_iter().filter(|name| name != "lost+found");
    assert_eq!(left.collect::<Vec<_>>(), ["a"]);
    cloned
}

fn a_tree_is_cloned_and_removed(filesystem: Filesystem) {
    let Some(disk) = filesystem.make(1 << 30) else {
        return;
    };
    let method = match filesystem {
        Filesystem::Ext4 => Some("copied"),
        Filesystem::Xfs | Filesystem::Btrfs => Some("blocks shared"),
        Filesystem::Plain => None,
    };
    let cloned = cloned_and_removed(disk.path());
    if let Some(method) = method {
        assert_eq!(cloned["method"], method);
    }
}

#[test]
fn blocks_are_not_shared_across_filesystems() {
    let Some(disk) = Filesystem::Xfs.make(1 << 30) else {
        return;
    };
    let elsewhere = tempfile::tempdir().unwrap();
    fill(elsewhere.path());
    let copy = disk.path().join("b");
    let cloned = event(&mut tree([p("clone"), elsewhere.path(), &copy]));
    assert_eq!(cloned["method"], "copied");
    assert_same(&describe(elsewhere.path()), &describe(&copy));
}

#[test]
fn between_two_btrfs_a_tree_is_copied_and_within_one_across_subvolumes_it_shares_blocks() {
    let (Some(here), Some(there)) = (
        Filesystem::Btrfs.make(1 << 30),
        Filesystem::Btrfs.make(1 << 30),
    ) else {
        return;
    };
    fill(&here.path().join("a"));
    subvolume(&here.path().join("s"));
    for (target, method) in [
        (there.path().join("b"), "copied"),
        (here.path().join("s/b"), "blocks shared"),
    ] {
        let cloned = event(&mut tree([p("clone"), &here.path().join("a"), &target]));
        assert_eq!(cloned["method"], method);
    }
}

#[test]
fn what_was_tried_out_by_a_clone_that_was_killed_goes_with_the_next() {
    let Some(disk) = Filesystem::Btrfs.make(1 << 30) else {
        return;
    };
    fill(&disk.path().join("a"));
    let staging = disk.path().join(".b.vfolder-clone");
    fs::create_dir(&staging).unwrap();
    subvolume(&staging.join(".subvolume-probe-1"));
    let mut clone = tree([p("clone"), &disk.path().join("a"), &disk.path().join("b")]);
    succeeds(&mut clone);
    assert_eq!(names(disk.path()), ["a", "b"]);
}

fn subvolume(path: &Path) {
    succeeds(
        Command::new("btrfs")
            .args(["subvolume", "create"])
            .arg(path),
    );
}

#[test]
fn what_is_a_subvolume_is_cloned_by_a_snapshot() {
    let Some(disk) = Filesystem::Btrfs.make(1 << 30) else {
        return;
    };
    subvolume(&disk.path().join("a"));
    assert_eq!(cloned_and_removed(disk.path())["method"], "snapshot");
    let removed = event(&mut tree([p("remove"), &disk.path().join("a")]));
    assert_eq!(removed["method"], "subvolume");
}

#[test]
fn a_read_only_subvolume_in_a_tree_is_removed_with_it() {
    let Some(disk) = Filesystem::Btrfs.make(1 << 30) else {
        return;
    };
    let within = disk.path().join("a/snapshots/first");
    fill(&disk.path().join("a"));
    fs::create_dir(within.parent().unwrap()).unwrap();
    let btrfs = |arguments: &[&str], last: &[&str]| {
        let mut btrfs = Command::new("btrfs");
        succeeds(btrfs.args(arguments).arg(&within).args(last));
    };
    btrfs(&["subvolume", "create"], &[]);
    fill(&within);
    btrfs(&["property", "set", "-ts"], &["ro", "true"]);
    succeeds(&mut tree([p("remove"), &disk.path().join("a")]));
    assert!(names(disk.path()).is_empty());
}
