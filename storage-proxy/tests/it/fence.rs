//! Fences, clones and those who are in the tree: a clone is of one moment.

use std::{fs, time::Duration};

use uuid::Uuid;
use vfolder_storage_proxy::{
    task::{EnterError, FailureKind, OUTLIVES_ITS_TREE, Refused, Stay, Work},
    volume::Fence,
};

use crate::{support::Rig, tasks::outcome};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_waits_for_writers_and_copies_nothing_while_one_is_in_the_tree() {
    let rig = Rig::new();
    let (operation, source, vfolder) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let tree = rig.fill(source);
    let writer = rig.enter(source, Stay::Writing, 1).unwrap();
    let reader = rig.enter(source, Stay::Reading, 1).unwrap();
    let clone = rig.spec(Work::Clone {
        source,
        vfolder,
        source_epoch: 2,
        receipt: false,
    });
    let run = || rig.tasks.run(operation, clone.clone()).unwrap();
    let failure = outcome(run()).await.failure.unwrap();
    assert_eq!(
        (failure.kind, failure.retryable),
        (FailureKind::Busy, true),
        "{failure:?}"
    );
    assert!(writer.is_cut() && !reader.is_cut());
    assert_eq!(
        (rig.count("staging"), rig.tree(vfolder).exists()),
        (0, false)
    );

    // One that hears in time is waited for: what it has written last is in the copy.
    let again = run();
    writer.cut().await;
    assert_eq!(again.progress().entries_done, 0);
    fs::write(tree.join("last"), "words").unwrap();
    drop(writer);
    assert_eq!(outcome(again).await.failure, None);
    assert!(rig.tree(vfolder).join("last").exists());
    let refused = rig.enter(source, Stay::Writing, 1).unwrap_err();
    assert!(matches!(refused, EnterError::Stale { current: 2, .. }));
    drop(reader);
}

#[tokio::test]
async fn a_clone_does_not_begin_under_a_newer_writer_or_fence() {
    let rig = Rig::new();
    let source = Uuid::now_v7();
    rig.fill(source);
    let writer = rig.enter(source, Stay::Writing, 3).unwrap();
    for by in ["writer", "fence"] {
        let vfolder = Uuid::now_v7();
        let work = Work::Clone {
            source,
            vfolder,
            source_epoch: 2,
            receipt: false,
        };
        let task = rig.tasks.run(Uuid::now_v7(), rig.spec(work)).unwrap();
        let failure = outcome(task).await.failure.unwrap();
        assert_eq!(
            (failure.kind, failure.retryable),
            (FailureKind::Stale, false),
            "{by}: {failure:?}"
        );
        assert_eq!(
            (rig.count("staging"), rig.tree(vfolder).exists()),
            (0, false)
        );
        if by == "writer" {
            assert!(!writer.is_cut());
            let fence = Fence::for_writers(3);
            rig.tasks.fence("v", source, fence).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_takes_the_tree_from_readers_too() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    let tree = rig.fill(vfolder);
    let reader = rig.enter(vfolder, Stay::Reading, 1).unwrap();
    let purge = rig.spec_at(2, Work::Purge { vfolder });
    let task = rig.tasks.run(Uuid::now_v7(), purge).unwrap();
    reader.cut().await;
    assert!(tree.exists(), "it was purged under a reader's hands");
    drop(reader);
    assert_eq!(outcome(task).await.failure, None);
    let refused = rig.enter(vfolder, Stay::Reading, 1).unwrap_err();
    assert!(matches!(refused, EnterError::Stale { current: 2, .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_waits_only_for_those_in_its_own_tree() {
    let rig = Rig::new();
    let (here, there) = (Uuid::now_v7(), Uuid::now_v7());
    let writer = rig.enter(here, Stay::Writing, 1).unwrap();
    let tasks = rig.tasks.clone();
    let fence = Fence::for_writers(2);
    let waiting = tokio::spawn(async move { tasks.fence("v", here, fence).await });
    writer.cut().await;
    rig.tasks.fence("v", there, fence).await.unwrap();
    assert!(!waiting.is_finished());
    assert!(matches!(waiting.await.unwrap(), Err(Refused::Occupied(_))));
    // The one who does not leave gets no company, and once it has left the fence stands.
    assert!(rig.enter(here, Stay::Writing, 1).is_err());
    drop(writer);
    rig.tasks.fence("v", here, fence).await.unwrap();
}

#[tokio::test]
async fn a_fence_is_forgotten_only_long_after_its_tree() {
    let rig = Rig::new();
    let ids = [(); 3].map(|()| Uuid::now_v7());
    let [gone, fresh, living] = ids;
    rig.fill(living);
    for vfolder in ids {
        let fence = Fence::for_writers(7);
        rig.tasks.fence("v", vfolder, fence).await.unwrap();
    }
    let note = |vfolder| rig.root().join(format!("journal/epochs/{vfolder}"));
    let long_ago = std::time::SystemTime::now() - OUTLIVES_ITS_TREE - Duration::from_secs(60);
    for vfolder in [gone, living] {
        let note = fs::File::options().write(true).open(note(vfolder)).unwrap();
        note.set_modified(long_ago).unwrap();
    }
    let (volume, fences) = (rig.volume.get().unwrap(), rig.tasks.fences("v").unwrap());
    fences.sweep(&volume, OUTLIVES_ITS_TREE).unwrap();
    assert_eq!(ids.map(|id| note(id).exists()), [false, true, true]);
    assert!(rig.enter(gone, Stay::Writing, 1).is_ok());
    for vfolder in [fresh, living] {
        assert!(rig.enter(vfolder, Stay::Writing, 6).is_err());
    }
}

#[tokio::test]
async fn a_note_that_does_not_read_lets_nobody_in() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    let fence = Fence::for_writers(7);
    rig.tasks.fence("v", vfolder, fence).await.unwrap();
    let note = rig.root().join(format!("journal/epochs/{vfolder}"));
    fs::write(&note, "7 and").unwrap();
    let rig = rig.restarted().await;
    let refused = rig
        .enter(vfolder, Stay::Writing, 9)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("remove it"), "{refused}");
    fs::remove_file(note).unwrap();
    assert!(rig.enter(vfolder, Stay::Writing, 9).is_ok());
}
