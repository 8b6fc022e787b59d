//! On btrfs: trees are subvolumes, clones are snapshots, and what isn't or can't be falls back. Needs to mount; where it
//! can't, it says so.

use std::{
    fs,
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use uuid::Uuid;
use vfolder_ioctl::btrfs::{create_subvolume, is_subvolume};
use vfolder_storage_proxy::{
    backend::probe,
    task::{Outcome, Work},
    tree::Control,
    volume::{init, tree_path},
};

use crate::{
    mounted::Mounted,
    oracle,
    support::{Rig, c, directory},
    tasks::outcome,
};

mod quotas;

/// Runs `test` with a volume on a btrfs.
async fn on_btrfs<F: Future<Output = ()>>(test: impl FnOnce(Rig) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    if let Some(_mounted) = Mounted::image("btrfs", &path, 1 << 30) {
        init(&path, "v").unwrap();
        test(Rig::on(dir)).await;
    }
}

/// What `btrfs` says.
fn btrfs(arguments: &[&str], at: &Path) -> String {
    let done = Command::new("btrfs").args(arguments).arg(at).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// The paths of all subvolumes, from the volume's root.
fn subvolumes(rig: &Rig) -> Vec<String> {
    let listed = btrfs(&["subvolume", "list", "-o"], &rig.root());
    let paths = listed
        .lines()
        .map(|line| line.split(" path ").nth(1).unwrap().to_owned());
    let mut all: Vec<_> = paths.collect();
    all.sort();
    all
}

fn shown(what: &str, tree: &Path) -> String {
    let all = btrfs(&["subvolume", "show"], tree);
    let line = all.lines().find(|line| line.trim().starts_with(what));
    let value = line.unwrap().split_once(':').unwrap().1;
    value.trim().to_owned()
}

fn make_subvolume(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    create_subvolume(directory(path.parent().unwrap()), &c(name)).unwrap();
}

async fn run(rig: &Rig, work: Work) -> Outcome {
    let ended = outcome(
        rig.tasks
            .run(Uuid::now_v7(), rig.spec(work.clone()))
            .unwrap(),
    )
    .await;
    assert_eq!(ended.failure, None, "{work:?}");
    ended
}

async fn create(rig: &Rig) -> (Uuid, PathBuf) {
    let vfolder = Uuid::now_v7();
    run(rig, Work::Create { vfolder }).await;
    (vfolder, rig.tree(vfolder))
}

async fn clone(rig: &Rig, source: Uuid) -> (Uuid, PathBuf, Outcome) {
    let vfolder = Uuid::now_v7();
    let work = Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: false,
    };
    let ended = run(rig, work).await;
    (vfolder, rig.tree(vfolder), ended)
}

#[tokio::test]
async fn a_snapshots_receipt_counts_what_nobody_else_has_counted() {
    on_btrfs(async |rig| {
        let (source, tree) = create(&rig).await;
        for number in 0..50 {
            fs::write(tree.join(number.to_string()), "five!").unwrap();
        }
        let vfolder = Uuid::now_v7();
        let work = Work::Clone {
            source,
            vfolder,
            source_epoch: 1,
            receipt: true,
        };
        let cloned = run(&rig, work).await;
        let receipt = cloned.receipt.unwrap();
        assert_eq!((receipt.entries, receipt.bytes), (51, 250));
        assert_eq!(cloned.progress.entries_done, 51);
        assert_eq!(
            shown("Parent UUID", &rig.tree(vfolder)),
            shown("UUID", &tree)
        );
        let verified = run(&rig, Work::Verify { vfolder: source }).await;
        assert_eq!(verified.receipt.unwrap().digest, receipt.digest);
    })
    .await;
}

#[tokio::test]
async fn a_tree_is_a_subvolume_and_its_clone_a_snapshot_of_any_size() {
    on_btrfs(async |rig| {
        let (source, tree) = create(&rig).await;
        assert_eq!(subvolumes(&rig), [tree_path(source)]);
        for files in [10, 20_000] {
            for number in 0..files {
                fs::write(tree.join(number.to_string()), number.to_string()).unwrap();
            }
            fs::set_permissions(&tree, fs::Permissions::from_mode(0o2771)).unwrap();
            let begun = std::time::Instant::now();
            let (vfolder, copy, ended) = clone(&rig, source).await;
            eprintln!("a clone of {files} files: {:?}", begun.elapsed());
            assert_eq!(shown("Parent UUID", &copy), shown("UUID", &tree));
            assert_eq!(shown("Flags", &copy), "-");
            // Nobody has looked at what is in it.
            assert_eq!(
                (ended.progress.entries_done, ended.progress.entries_total),
                (0, 0)
            );
            oracle::assert_same(&oracle::describe(&tree), &oracle::describe(&copy));
            let (of_tree, of_copy) = (tree.metadata().unwrap(), copy.metadata().unwrap());
            assert_eq!(of_copy.mode() & 0o7777, 0o2771);
            assert_eq!(
                (of_tree.mtime(), of_tree.mtime_nsec()),
                (of_copy.mtime(), of_copy.mtime_nsec())
            );

            fs::write(copy.join("3"), "changed").unwrap();
            fs::write(copy.join("new"), "new").unwrap();
            assert_eq!(fs::read_to_string(tree.join("3")).unwrap(), "3");
            assert!(!tree.join("new").exists());

            run(&rig, Work::Purge { vfolder }).await;
            rig.reclaimed().await;
            assert_eq!(subvolumes(&rig), [tree_path(source)]);
        }
        assert_eq!(rig.count("staging"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_published_snapshot_survives_a_power_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (path, again) = (dir.path().join("v"), dir.path().join("again"));
    let Some(mounted) = Mounted::image("btrfs", &path, 1 << 30) else {
        return;
    };
    init(&path, "v").unwrap();
    let rig = Rig::on(dir);
    let (source, tree) = create(&rig).await;
    for number in 0..100 {
        fs::write(tree.join(number.to_string()), vec![b'x'; 10_000]).unwrap();
    }
    let (vfolder, copy, _) = clone(&rig, source).await;
    let (purged, _, _) = clone(&rig, source).await;
    run(&rig, Work::Purge { vfolder: purged }).await;
    let cut = mounted.copy_image();
    let wanted = oracle::describe(&copy);
    // Two filesystems of one id can't be mounted at once.
    let Rig { dir, volume, tasks } = rig;
    tasks.suspend().await;
    drop((volume, tasks));
    mounted.end();
    let _cut = Mounted::file(&cut, &again).unwrap();
    oracle::assert_same(&wanted, &oracle::describe(&again.join(tree_path(vfolder))));
    assert!(!again.join(tree_path(purged)).exists());
    drop(dir);
}

#[tokio::test]
async fn subvolumes_within_a_tree_are_copied_as_directories_and_removed_with_it() {
    on_btrfs(async |rig| {
        let (source, tree) = create(&rig).await;
        fs::write(tree.join("file"), "outer").unwrap();
        for nested in ["in", "in/deep/er", "read-only"] {
            make_subvolume(&tree.join(nested));
            fs::write(tree.join(nested).join("file"), nested).unwrap();
            fs::hard_link(
                tree.join(nested).join("file"),
                tree.join(nested).join("link"),
            )
            .unwrap();
        }
        let protect = ["property", "set", "-ts"];
        let at = tree.join("read-only");
        let done = Command::new("btrfs")
            .args(protect)
            .arg(&at)
            .args(["ro", "true"])
            .status();
        assert!(done.unwrap().success());

        let (vfolder, copy, ended) = clone(&rig, source).await;
        assert_eq!(
            fs::read_to_string(copy.join("in/deep/er/file")).unwrap(),
            "in/deep/er"
        );
        oracle::assert_same(&oracle::describe(&tree), &oracle::describe(&copy));
        assert_eq!(
            ended.progress.entries_done,
            oracle::walk(&tree).len() as u64
        );
        assert_eq!(subvolumes_in(&rig, vfolder), [tree_path(vfolder)]);

        for vfolder in [vfolder, source] {
            run(&rig, Work::Purge { vfolder }).await;
        }
        rig.reclaimed().await;
        assert_eq!(all_subvolumes(&rig), Vec::<String>::new());
    })
    .await;
}

/// Also those within others.
fn all_subvolumes(rig: &Rig) -> Vec<String> {
    let listed = btrfs(&["subvolume", "list"], &rig.root());
    let paths = listed
        .lines()
        .map(|line| line.split(" path ").nth(1).unwrap().to_owned());
    paths.collect()
}

fn subvolumes_in(rig: &Rig, vfolder: Uuid) -> Vec<String> {
    let mut all = all_subvolumes(rig);
    all.retain(|path| path.contains(&vfolder.to_string()));
    all
}

#[tokio::test]
async fn a_tree_from_before_is_cloned_into_a_subvolume_with_its_hard_links() {
    on_btrfs(async |rig| {
        let source = Uuid::now_v7();
        let tree = rig.fill(source);
        assert_eq!(is_subvolume(directory(&tree)), Ok(false));
        let (first, copy, _) = clone(&rig, source).await;
        assert_eq!(subvolumes(&rig), [tree_path(first)]);
        oracle::assert_same(&oracle::describe(&tree), &oracle::describe(&copy));
        let (of_tree, of_copy) = (tree.metadata().unwrap(), copy.metadata().unwrap());
        assert_eq!(of_tree.mtime_nsec(), of_copy.mtime_nsec());
        // From now on it is quick.
        let (_, second, _) = clone(&rig, first).await;
        assert_eq!(shown("Parent UUID", &second), shown("UUID", &copy));
    })
    .await;
}

#[tokio::test]
async fn a_tree_that_its_owner_made_read_only_is_cloned_and_purged() {
    on_btrfs(async |rig| {
        let (source, tree) = create(&rig).await;
        fs::write(tree.join("file"), "x").unwrap();
        let done = Command::new("btrfs")
            .args(["property", "set", "-ts"])
            .arg(&tree)
            .args(["ro", "true"])
            .status();
        assert!(done.unwrap().success());
        let (_, copy, _) = clone(&rig, source).await;
        fs::write(copy.join("file"), "y").unwrap();
        run(&rig, Work::Purge { vfolder: source }).await;
        assert!(!tree.exists());
        rig.reclaimed().await;
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_clone_leaves_no_subvolume() {
    on_btrfs(async |rig| {
        let (source, vfolder, operation) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        // As an earlier life has left it.
        let staged = rig.root().join(format!("staging/{operation}"));
        fs::create_dir_all(staged.join("links")).unwrap();
        make_subvolume(&staged.join("tree"));
        fs::write(staged.join("tree/half"), "half").unwrap();
        let work = Work::Clone {
            source,
            vfolder,
            source_epoch: 1,
            receipt: false,
        };
        let record = serde_json::json!({ "spec": rig.spec(work), "totals": null });
        rig.volume
            .get()
            .unwrap()
            .write_journal(operation, &record)
            .unwrap();
        let cancelled = rig.tasks.cancel(operation, "v", vfolder, 1).await;
        assert_eq!(cancelled, Ok(false));
        rig.reclaimed().await;
        assert_eq!(subvolumes(&rig), Vec::<String>::new());
        assert_eq!(rig.count("staging"), 0);
    })
    .await;
}

#[tokio::test]
async fn what_the_filesystem_refuses_is_walked() {
    on_btrfs(async |rig| {
        let volume = rig.volume.get().unwrap();
        // Not in the trash: what is there the reclaimer destroys.
        let root = rig.root();
        let doomed = root.join("doomed");
        make_subvolume(&doomed);
        make_subvolume(&doomed.join("in"));
        fs::write(doomed.join("in/file"), "x").unwrap();
        // Of this thread: destroying a subvolume takes CAP_SYS_ADMIN, emptying it does not.
        let all = capabilities(None).unwrap();
        let mut fewer = all;
        fewer.effective.remove(CapabilitySet::SYS_ADMIN);
        set_capabilities(None, fewer).unwrap();
        let removed =
            volume
                .backend()
                .remove(directory(&root).as_fd(), c"doomed", &Control::default());
        set_capabilities(None, all).unwrap();
        removed.unwrap();
        assert!(!doomed.exists());
        assert_eq!(subvolumes(&rig), Vec::<String>::new());
    })
    .await;
}

#[test]
fn what_a_crash_has_left_of_the_probe_is_cleared_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    let Some(_mounted) = Mounted::image("btrfs", &path, 1 << 30) else {
        return;
    };
    for name in [".subvolume-probe-1", ".subvolume-probe-2"] {
        make_subvolume(&path.join(name));
    }
    let backend = probe(directory(&path).as_fd(), false);
    assert_eq!(backend.name(), "btrfs");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}
