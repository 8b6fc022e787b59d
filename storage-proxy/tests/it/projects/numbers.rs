//! Which tree, and what else, has which number.

use std::{
    collections::HashSet,
    fs::{self, File},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::Path,
    sync::Barrier,
    thread,
};

use uuid::Uuid;
use vfolder_ioctl::{
    project::{self, Project},
    quota::{self, Account},
};
use vfolder_storage_proxy::{backend::probe, task::Work, volume::init};

use super::{
    MIB, account, assert_all_in, clone_of, create, done, has_projects, limit, limits, project_of,
    rig,
};
use crate::{
    proxy::Proxy,
    support::{Rig, directory, eventually},
    tasks::outcome,
    transfers::{Client, blake3_check, content, pieces, target},
};

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn each_tree_is_a_project_of_its_own_that_all_below_inherits() {
    let rig = rig();
    let ((first, one), (_, two)) = (create(&rig).await, create(&rig).await);
    for tree in [&one, &two] {
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/f"), "x").unwrap();
        assert_all_in(tree);
    }
    let before = project_of(&one);
    assert_ne!(before.id, project_of(&two).id);
    // A number stays through a restart, and so does a limit.
    limit(&rig, first, &limits(1, MIB, 0));
    let rig = has_projects(rig.restarted().await);
    assert_eq!(project_of(&one), before);
    assert_eq!(account(&one).most_bytes, Some(MIB));
    // The probe leaves nothing, and neither what the volume keeps for itself nor the way to a tree is in a project.
    assert_eq!(rig.count("staging"), 0);
    for path in ["", "tree", "staging", "trash", "journal", "uploads"] {
        assert_eq!(
            project_of(rig.root().join(path)),
            Project::default(),
            "{path}"
        );
    }
    assert_eq!(project_of(one.parent().unwrap()), Project::default());
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn what_is_purged_leaves_no_record_and_its_number_is_free() {
    let rig = rig();
    let vfolder = Uuid::now_v7();
    let tree = rig.fill(vfolder);
    limit(&rig, vfolder, &limits(1, 64 * MIB, 1_000));
    let (number, root) = (project_of(&tree).id, File::open(rig.root()).unwrap());
    assert!(account(&tree).most_inodes.is_some());
    done(&rig, Work::Purge { vfolder }).await;
    rig.reclaimed().await;
    // XFS frees inodes a moment after they are gone.
    eventually("the record is empty", || {
        quota::account(&root, number).unwrap() == Account::default()
    })
    .await;
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn a_clone_that_is_given_up_leaves_no_record() {
    let rig = rig();
    let (source, copy) = (Uuid::now_v7(), Uuid::now_v7());
    rig.fill(source);
    let staging = rig.root().join("staging");
    let operation = Uuid::now_v7();
    // As after a kill in the midst of it, with limits already.
    let volume = rig.volume.get().unwrap();
    let staged = volume.begin_staging(operation).unwrap();
    let new = &volume.new_trees;
    staged.make_empty_tree(volume.backend(), new).unwrap();
    let tree = staging.join(format!("{operation}/tree"));
    let (number, root) = (project_of(&tree).id, File::open(rig.root()).unwrap());
    quota::limit(&root, number, Some(MIB), Some(10)).unwrap();
    drop((staged, volume));
    let given_up = rig.tasks.run(operation, rig.spec(clone_of(source, copy)));
    assert_eq!(outcome(given_up.unwrap()).await.failure, None);
    assert_ne!(project_of(rig.tree(copy)).id, number);
    rig.reclaimed().await;
    eventually("the record is empty", || {
        quota::account(&root, number).unwrap() == Account::default()
    })
    .await;
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn volumes_on_one_filesystem_never_share_a_number() {
    const EACH: usize = 60;
    let rigs = [rig(), rig()];
    let start = Barrier::new(4);
    let numbers: Vec<u32> = thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|maker| {
                let (rig, start) = (&rigs[maker % 2], &start);
                scope.spawn(move || {
                    start.wait();
                    (0..EACH)
                        .map(|_| project_of(rig.make_tree(Uuid::now_v7())).id)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let made = makers.into_iter().map(|maker| maker.join().unwrap());
        made.flatten().collect()
    });
    assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 4 * EACH);
    assert!(numbers.iter().all(|number| *number >= 0x4000_0000));
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn the_next_number_is_skipped_if_somebody_has_limits_or_files_there() {
    let rig = rig();
    let (_, tree) = create(&rig).await;
    let next = project_of(&tree).id + 1;
    let root = File::open(rig.root()).unwrap();
    quota::limit(&root, next, Some(MIB), None).unwrap();
    let (_, second) = create(&rig).await;
    let taken = project_of(&second).id;
    assert_ne!(taken, next);
    let theirs = rig.dir.path().join("theirs");
    fs::write(&theirs, "x").unwrap();
    let id = taken + 1;
    project::set(File::open(&theirs).unwrap(), Project { id, inherit: false }).unwrap();
    let (_, third) = create(&rig).await;
    assert_ne!(project_of(&third).id, id);
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn a_tree_from_before_is_left_as_it_is_and_its_clone_is_a_project() {
    let rig = rig();
    let (before, copy) = (Uuid::now_v7(), Uuid::now_v7());
    let old = rig.tree(before);
    fs::create_dir_all(old.join("d")).unwrap();
    fs::write(old.join("d/f"), "x").unwrap();
    limit(&rig, before, &limits(1, MIB, 0));
    assert_eq!(project_of(&old), Project::default());
    // Its own files can still be moved in there.
    fs::rename(old.join("d/f"), old.join("f")).unwrap();
    done(&rig, clone_of(before, copy)).await;
    assert_all_in(&rig.tree(copy));
    done(&rig, Work::Purge { vfolder: before }).await;
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn a_volume_in_an_administrators_project_is_left_to_it() {
    let rig = rig();
    let path = rig.dir.path().join("w");
    fs::create_dir(&path).unwrap();
    let theirs = Project {
        id: 77,
        inherit: true,
    };
    project::set(File::open(&path).unwrap(), theirs).unwrap();
    let inner = path.join("v");
    init(&inner, "v").unwrap();
    let staging = directory(&inner.join("staging"));
    let backend = probe(staging.as_fd(), false);
    assert_eq!(
        (backend.name(), backend.capabilities().quota),
        ("plain", false)
    );
    let dir = tempfile::TempDir::new_in(&path).unwrap();
    init(&dir.path().join("v"), "v").unwrap();
    let other = Rig::on(dir);
    let (vfolder, tree) = create(&other).await;
    assert_eq!(project_of(&tree), theirs);
    done(&other, clone_of(vfolder, Uuid::now_v7())).await;
    done(&other, Work::Purge { vfolder }).await;
    other.reclaimed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs project quotas: make test-projquota"]
async fn an_upload_lands_by_a_rename_and_counts_from_its_first_byte() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let tree = client.path("");
    let whole = content(1, 3 << 20);
    let size = Some(i64::try_from(whole.len()).unwrap());
    let upload = client.create(target("f"), size).await.unwrap();
    let id = upload.id.clone();
    client
        .send(&id, Some(0), pieces(&whole, 1 << 20))
        .await
        .unwrap();
    let folder = format!("v/uploads/{}/{id}/data", client.vfolder);
    let arriving = proxy.dir.path().join(folder);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = inode(&arriving);
    assert_eq!(project_of(&arriving).id, project_of(&tree).id);
    File::open(&arriving).unwrap().sync_all().unwrap();
    assert!(account(&tree).bytes >= 3 * MIB);
    client.commit(&id, blake3_check(&whole)).await.unwrap();
    assert_eq!(inode(&client.path("f")), before, "it was copied");
    client
        .write(target("g"), blake3_check(&whole), pieces(&whole, 1 << 20))
        .await
        .unwrap();
    assert_all_in(&tree);
    assert_eq!(account(&tree).inodes, 3);
    // The process dies while one arrives: what the filesystem has counted goes with it.
    let left = client.create(target("h"), size).await.unwrap();
    client
        .send(&left.id, Some(0), pieces(&whole, 1 << 20))
        .await
        .unwrap();
    let vfolder = client.vfolder;
    let proxy = Proxy::start_in(proxy.kill()).await;
    let client = Client::new(&proxy, vfolder);
    assert_eq!(account(&tree).inodes, 4);
    client.abort(&left.id).await.unwrap();
    let counted = || {
        let now = account(&client.path(""));
        (now.inodes, now.bytes / MIB)
    };
    eventually("what was aborted counts no more", || counted() == (3, 6)).await;
}
