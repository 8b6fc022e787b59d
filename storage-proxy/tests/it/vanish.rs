//! A volume that goes away while it is worked on, and a lock that is no longer ours.

use std::{fs, time::Duration};

use tokio::time::sleep;
use uuid::Uuid;
use vfolder_storage_proxy::{
    task::{Attachment, FailureKind, Stay, Work},
    volume::{Fence, Holder, OpenError, Volume, init},
};

use crate::{
    full::{Mounted, rig},
    support::Rig,
    tasks::outcome,
};

fn clone(source: Uuid) -> Work {
    Work::Clone {
        source,
        vfolder: Uuid::now_v7(),
        source_epoch: 1,
    }
}

/// A clone in the middle of its copy.
async fn begun(rig: &Rig, operation: Uuid, work: Work) -> Attachment {
    let Work::Clone { source, .. } = work else {
        panic!("{work:?}");
    };
    for directory in 0..4 {
        let directory = rig.tree(source).join(directory.to_string());
        fs::create_dir_all(&directory).unwrap();
        for number in 0..1000 {
            fs::write(directory.join(number.to_string()), "").unwrap();
        }
    }
    let task = rig.tasks.run(operation, rig.spec(work)).unwrap();
    while task.progress().entries_done == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    task
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_whose_volume_is_unmounted_fails_and_writes_nothing_beneath() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    let Some(mounted) = Mounted::tmpfs(&path, "size=64m") else {
        return;
    };
    init(&path, "v").unwrap();
    let rig = rig(dir);
    let task = begun(&rig, Uuid::now_v7(), clone(Uuid::now_v7())).await;
    mounted.unmount();
    let failure = outcome(task).await.failure.unwrap();
    assert_eq!(
        (failure.kind, failure.retryable),
        (FailureKind::VolumeUnavailable, true),
        "{failure:?}"
    );
    let work = Work::Create {
        vfolder: Uuid::now_v7(),
    };
    let next = rig.tasks.run(Uuid::now_v7(), rig.spec(work)).unwrap();
    let failure = outcome(next).await.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::VolumeUnavailable);
    let fenced = rig
        .tasks
        .fence("v", Uuid::now_v7(), Fence::for_all(2))
        .await;
    assert!(fenced.is_err());
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_whose_lock_is_somebody_elses_publishes_nothing() {
    for replaced in [false, true] {
        let rig = Rig::new();
        let (work, vfolder) = (clone(Uuid::now_v7()), Uuid::now_v7());
        drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
        let task = begun(&rig, Uuid::now_v7(), work).await;
        let lock = rig.root().join("lock");
        if replaced {
            fs::write(rig.root().join("new"), "").unwrap();
            fs::rename(rig.root().join("new"), &lock).unwrap();
        } else {
            fs::remove_file(&lock).unwrap();
        }
        let other = Volume::new("v", rig.root(), Holder::this(Uuid::new_v4()));
        other.open_at_start().unwrap();
        let failure = outcome(task).await.failure.unwrap();
        assert_eq!(
            (failure.kind, failure.retryable),
            (FailureKind::VolumeUnavailable, true),
            "{failure:?}"
        );
        assert!(!rig.tree(work.vfolder()).exists());
        let refused = rig.volume.get().unwrap_err().to_string();
        assert!(refused.contains("held by another"), "{refused}");

        // What the other one has noted meanwhile counts, once the volume is ours again.
        let theirs = other.get().unwrap();
        theirs.note_fence(vfolder, Fence::for_writers(9)).unwrap();
        drop((theirs, other));
        assert!(rig.enter(vfolder, Stay::Writing, 8).is_err());
        assert!(rig.enter(vfolder, Stay::Writing, 9).is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_was_only_removed_is_taken_anew() {
    let rig = Rig::new();
    let (operation, work) = (Uuid::now_v7(), clone(Uuid::now_v7()));
    let task = begun(&rig, operation, work).await;
    fs::remove_file(rig.root().join("lock")).unwrap();
    rig.volume.get().unwrap();
    let other = Volume::new("v", rig.root(), Holder::this(Uuid::new_v4()));
    let opened = other.open_at_start();
    assert!(matches!(opened, Err(OpenError::Held { .. })), "{opened:?}");
    // For a moment it was nobody's: what was begun before begins anew.
    let failure = outcome(task).await.failure.unwrap();
    assert_eq!(
        (failure.kind, failure.retryable),
        (FailureKind::VolumeUnavailable, true),
        "{failure:?}"
    );
    assert!(!rig.tree(work.vfolder()).exists());
    let again = rig.tasks.run(operation, rig.spec(work)).unwrap();
    assert_eq!(outcome(again).await.failure, None);
}
