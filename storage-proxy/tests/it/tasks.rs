//! Tasks: asked for twice they run once, and of cancel and publication one wins.

use std::fs;

use uuid::Uuid;
use vfolder_storage_proxy::task::{Attachment, End, FailureKind, Outcome, Refused, Work};

use crate::{
    oracle,
    support::{Dice, Home, Rig},
};

pub async fn outcome(mut task: Attachment) -> Outcome {
    match task.end().await {
        End::Outcome(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn create_clone_and_purge_end_with_what_they_say() {
    let rig = Rig::new();
    let (source, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
    let run = |work| rig.tasks.run(Uuid::now_v7(), rig.spec(work)).unwrap();
    assert_eq!(
        outcome(run(Work::Create { vfolder: source })).await.failure,
        None
    );
    assert!(rig.tree(source).is_dir());
    rig.fill(source);
    let cloned = outcome(run(Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: false,
    }))
    .await;
    assert_eq!(cloned.failure, None);
    assert_eq!(
        cloned.progress.entries_done,
        oracle::walk(&rig.tree(source)).len() as u64
    );
    oracle::assert_same(
        &oracle::describe(&rig.tree(source)),
        &oracle::describe(&rig.tree(vfolder)),
    );
    assert_eq!(outcome(run(Work::Purge { vfolder })).await.failure, None);
    assert!(!rig.tree(vfolder).exists());
    assert_eq!((rig.count("staging"), rig.count("journal")), (0, 3));
    rig.reclaimed().await;
}

#[tokio::test]
async fn asking_again_attaches_or_answers_and_other_arguments_are_refused() {
    let rig = Rig::new();
    let (operation, source, vfolder) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    rig.fill(source);
    let spec = rig.spec(Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: false,
    });
    let first = rig.tasks.run(operation, spec.clone()).unwrap();
    let second = rig.tasks.run(operation, spec.clone()).unwrap();
    let other = rig.spec(Work::Clone {
        source,
        vfolder: Uuid::now_v7(),
        source_epoch: 1,
        receipt: false,
    });
    assert_eq!(
        rig.tasks.run(operation, other.clone()).unwrap_err(),
        Refused::ArgumentsDiffer
    );
    let ended = outcome(first).await;
    assert_eq!(ended.failure, None);
    assert_eq!(outcome(second).await, ended);
    assert_eq!(
        outcome(rig.tasks.run(operation, spec.clone()).unwrap()).await,
        ended
    );
    assert_eq!(
        rig.tasks.run(operation, other.clone()).unwrap_err(),
        Refused::ArgumentsDiffer
    );

    // After a restart the disk knows.
    let Rig { dir, volume, tasks } = rig;
    drop((volume, tasks));
    let rig = reopened(dir).await;
    let again = outcome(rig.tasks.run(operation, spec).unwrap()).await;
    assert_eq!(
        (again.failure, again.progress.entries_done),
        (None, ended.progress.entries_done)
    );
    let rig2 = rig.tasks.run(operation, other).map(|_| ());
    assert_eq!(rig2, Err(Refused::ArgumentsDiffer));
}

/// The reclaimer lets go of the volume's lock soon after the tasks are dropped.
pub async fn reopened(dir: Home) -> Rig {
    let path = dir.path().join("v/lock");
    tokio::task::spawn_blocking(move || {
        let lock = fs::File::open(path).unwrap();
        rustix::fs::flock(lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    })
    .await
    .unwrap();
    Rig::on(dir)
}

#[tokio::test]
async fn a_missing_source_is_told_and_leaves_nothing() {
    let rig = Rig::new();
    let work = Work::Clone {
        source: Uuid::now_v7(),
        vfolder: Uuid::now_v7(),
        source_epoch: 1,
        receipt: false,
    };
    let operation = Uuid::now_v7();
    let failure = outcome(rig.tasks.run(operation, rig.spec(work)).unwrap())
        .await
        .failure
        .unwrap();
    assert_eq!(
        (failure.kind, failure.retryable),
        (FailureKind::SourceMissing, false)
    );
    assert_eq!((rig.count("staging"), rig.count("tree")), (0, 0));
    rig.tasks.forget(operation, "v").await.unwrap();
    rig.tasks.forget(operation, "v").await.unwrap();
    assert_eq!(rig.count("journal"), 0);
}

#[tokio::test]
async fn a_volume_that_comes_back_lets_the_same_task_succeed() {
    let rig = Rig::new();
    let (operation, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
    let away = rig.dir.path().join("away");
    fs::rename(rig.root(), &away).unwrap();
    let run = || {
        rig.tasks
            .run(operation, rig.spec(Work::Create { vfolder }))
            .unwrap()
    };
    let failure = outcome(run()).await.failure.unwrap();
    assert_eq!(
        (failure.kind, failure.retryable),
        (FailureKind::VolumeUnavailable, true)
    );
    fs::rename(&away, rig.root()).unwrap();
    // The reclaimer may hold the old handles for a moment.
    loop {
        match outcome(run()).await.failure {
            None => break,
            Some(failure) => assert!(failure.retryable),
        }
    }
    assert!(rig.tree(vfolder).is_dir());
}

#[tokio::test]
async fn a_running_task_can_be_cancelled_and_not_forgotten() {
    let rig = Rig::new();
    let (operation, source, vfolder) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    rig.fill(source);
    let spec = rig.spec(Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: false,
    });
    // On this one-threaded runtime the task does not begin before we wait for something.
    let task = rig.tasks.run(operation, spec.clone()).unwrap();
    assert_eq!(
        rig.tasks.forget(operation, "v").await,
        Err(Refused::TaskRunning)
    );
    assert_eq!(
        rig.tasks.cancel(operation, "v", vfolder, 1).await,
        Ok(false)
    );
    assert_eq!(
        outcome(task).await.failure.unwrap().kind,
        FailureKind::Cancelled
    );
    assert!(!rig.tree(vfolder).exists());
    // A late request doesn't raise it from the dead, not even after it is forgotten.
    for _ in 0..2 {
        let late = outcome(rig.tasks.run(operation, spec.clone()).unwrap()).await;
        assert_eq!(late.failure.unwrap().kind, FailureKind::Cancelled);
        rig.tasks.forget(operation, "v").await.unwrap();
    }
    assert_eq!((rig.count("staging"), rig.count("journal")), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_cancel_and_publication_exactly_one_wins() {
    let rig = Rig::new();
    let source = Uuid::now_v7();
    rig.fill(source);
    let mut dice = Dice(11);
    let (mut published, mut cancelled) = (0, 0);
    for round in 0..60 {
        let (operation, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
        let work = if round % 2 == 0 {
            Work::Clone {
                source,
                vfolder,
                source_epoch: 1,
                receipt: false,
            }
        } else {
            Work::Create { vfolder }
        };
        let task = rig.tasks.run(operation, rig.spec(work)).unwrap();
        for _ in 0..dice.roll(400) {
            tokio::task::yield_now().await;
        }
        let (one, two) = tokio::join!(
            rig.tasks.cancel(operation, "v", vfolder, 1),
            rig.tasks.cancel(operation, "v", vfolder, 1)
        );
        assert_eq!(one, two);
        let ended = outcome(task).await;
        assert_eq!(ended.failure.is_none(), one == Ok(true), "{ended:?}");
        assert_eq!(rig.tree(vfolder).exists(), one == Ok(true));
        assert!(!rig.root().join(format!("staging/{operation}")).exists());
        if one == Ok(true) {
            published += 1;
        } else {
            cancelled += 1;
            assert!(!rig.root().join(format!("journal/{operation}")).exists());
        }
    }
    eprintln!("{published} published, {cancelled} cancelled");
}

#[tokio::test]
async fn what_does_not_run_is_cancelled_on_disk() {
    let rig = Rig::new();
    let (source, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
    let volume = rig.volume.get().unwrap();
    for (work, tree_there, published) in [
        (
            Work::Clone {
                source,
                vfolder,
                source_epoch: 1,
                receipt: false,
            },
            false,
            false,
        ),
        (
            Work::Clone {
                source,
                vfolder,
                source_epoch: 1,
                receipt: false,
            },
            true,
            true,
        ),
        (Work::Create { vfolder }, true, true),
        (Work::Purge { vfolder }, true, false),
        (Work::Purge { vfolder }, false, true),
    ] {
        let operation = Uuid::now_v7();
        let record = serde_json::json!({ "spec": rig.spec(work.clone()), "totals": null });
        volume.write_journal(operation, &record).unwrap();
        fs::create_dir_all(rig.root().join(format!("staging/{operation}/tree"))).unwrap();
        if tree_there {
            fs::create_dir_all(rig.tree(vfolder)).unwrap();
        }
        assert_eq!(
            rig.tasks.cancel(operation, "v", vfolder, 1).await,
            Ok(published),
            "{work:?}"
        );
        assert_eq!(
            rig.root().join(format!("journal/{operation}")).exists(),
            published
        );
        assert_eq!(rig.tree(vfolder).exists(), tree_there);
        let _ = fs::remove_dir(rig.tree(vfolder));
    }
    assert_eq!(
        rig.tasks
            .cancel(Uuid::now_v7(), "v", Uuid::now_v7(), 1)
            .await,
        Ok(false)
    );
    assert_eq!(
        rig.tasks
            .cancel(Uuid::now_v7(), "w", Uuid::now_v7(), 1)
            .await,
        Err(Refused::VolumeUnknown("w".into()))
    );
}

#[tokio::test]
async fn an_older_epoch_is_refused_also_after_a_restart() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    let spec = |epoch, work| vfolder_storage_proxy::task::TaskSpec {
        volume: "v".into(),
        epoch,
        work,
    };
    let purge = Uuid::now_v7();
    let ended = outcome(
        rig.tasks
            .run(purge, spec(7, Work::Purge { vfolder }))
            .unwrap(),
    )
    .await;
    assert_eq!(ended.failure, None);
    let Rig { dir, volume, tasks } = rig;
    drop((volume, tasks));
    let rig = reopened(dir).await;
    let late = outcome(
        rig.tasks
            .run(Uuid::now_v7(), spec(6, Work::Create { vfolder }))
            .unwrap(),
    )
    .await;
    assert_eq!(late.failure.unwrap().kind, FailureKind::Stale);
    // Not even once the purge is forgotten.
    rig.tasks.forget(purge, "v").await.unwrap();
    let late = rig
        .tasks
        .run(Uuid::now_v7(), spec(6, Work::Create { vfolder }));
    let late = outcome(late.unwrap()).await;
    assert_eq!(late.failure.unwrap().kind, FailureKind::Stale);
}

#[tokio::test]
async fn a_suspended_task_goes_on_after_a_restart() {
    let rig = Rig::new();
    let (operation, source, vfolder) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    rig.fill(source);
    let spec = rig.spec(Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: false,
    });
    let mut task = rig.tasks.run(operation, spec.clone()).unwrap();
    rig.tasks.suspend().await;
    assert!(matches!(task.end().await, End::Suspended));
    assert_eq!(
        rig.tasks.run(Uuid::now_v7(), spec.clone()).unwrap_err(),
        Refused::Stopping
    );
    let Rig { dir, volume, tasks } = rig;
    drop((volume, tasks));
    let rig = reopened(dir).await;
    assert_eq!(
        outcome(rig.tasks.run(operation, spec).unwrap())
            .await
            .failure,
        None
    );
    oracle::assert_same(
        &oracle::describe(&rig.tree(source)),
        &oracle::describe(&rig.tree(vfolder)),
    );
}
