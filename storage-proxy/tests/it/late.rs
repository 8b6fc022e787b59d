//! Tasks that ended badly stay ended: asked for late, by a manager that was paused, they do nothing.

use std::fs;

use uuid::Uuid;
use vfolder_storage_proxy::task::{Failure, FailureKind, Removal, Stay, TaskSpec, Work};

use crate::{archives::path, support::Rig, tasks::outcome};

async fn failure(rig: &Rig, operation: Uuid, spec: &TaskSpec) -> Option<Failure> {
    let task = rig.tasks.run(operation, spec.clone()).unwrap();
    outcome(task).await.failure
}

async fn fails(rig: &Rig, operation: Uuid, spec: &TaskSpec) -> FailureKind {
    failure(rig, operation, spec).await.unwrap().kind
}

fn clone(rig: &Rig, source: Uuid, vfolder: Uuid) -> TaskSpec {
    rig.spec(Work::Clone {
        source,
        vfolder,
        source_epoch: 2,
        receipt: false,
    })
}

#[tokio::test]
async fn a_cancelled_task_makes_no_tree_after_it_was_forgotten_and_a_restart() {
    for known in [true, false] {
        let rig = Rig::new();
        let (operation, source, vfolder) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        rig.fill(source);
        let spec = clone(&rig, source, vfolder);
        // On this one-threaded runtime the task does not begin before we wait for something.
        let task = known.then(|| rig.tasks.run(operation, spec.clone()).unwrap());
        let cancelled = rig.tasks.cancel(operation, "v", vfolder, 1).await;
        assert_eq!(cancelled, Ok(false));
        if let Some(task) = task {
            let kind = outcome(task).await.failure.unwrap().kind;
            assert_eq!(kind, FailureKind::Cancelled);
        }
        assert_eq!(fails(&rig, operation, &spec).await, FailureKind::Cancelled);
        let rig = rig.restarted().await;
        assert_eq!(fails(&rig, operation, &spec).await, FailureKind::Stale);
        rig.tasks.forget(operation, "v").await.unwrap();
        let rig = rig.restarted().await;
        assert_eq!(fails(&rig, operation, &spec).await, FailureKind::Stale);
        let state = (rig.count("staging"), rig.count("journal"));
        assert_eq!((state, rig.tree(vfolder).exists()), ((0, 0), false));
    }
}

#[tokio::test]
async fn a_verdict_outlives_a_restart_and_what_it_was_about() {
    let rig = Rig::new();
    let (operation, source, vfolder) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let spec = clone(&rig, source, vfolder);
    let before = failure(&rig, operation, &spec).await.unwrap();
    assert_eq!(before.kind, FailureKind::SourceMissing);
    let rig = rig.restarted().await;
    // Now it could succeed.
    rig.fill(source);
    let again = failure(&rig, operation, &spec).await;
    assert_eq!(again.as_ref(), Some(&before));
    rig.tasks.forget(operation, "v").await.unwrap();
    let rig = rig.restarted().await;
    assert_eq!(fails(&rig, operation, &spec).await, FailureKind::Stale);
    let state = (rig.count("staging"), rig.count("journal"));
    assert_eq!((state, rig.tree(vfolder).exists()), ((0, 0), false));
    // Of the vfolder that it was about, as of any other.
    let create = rig.spec(Work::Create { vfolder });
    let late = Uuid::now_v7();
    assert_eq!(fails(&rig, late, &create).await, FailureKind::Stale);
}

#[tokio::test]
async fn a_task_that_was_given_up_while_it_could_still_succeed_makes_no_tree() {
    let rig = Rig::new();
    let (operation, source, vfolder) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    rig.fill(source);
    let spec = clone(&rig, source, vfolder);
    let writer = rig.enter(source, Stay::Writing, 1).unwrap();
    assert_eq!(fails(&rig, operation, &spec).await, FailureKind::Busy);
    drop(writer);
    rig.tasks.forget(operation, "v").await.unwrap();
    let rig = rig.restarted().await;
    assert_eq!(fails(&rig, operation, &spec).await, FailureKind::Stale);
    assert!(!rig.tree(vfolder).exists());
}

#[tokio::test]
async fn a_task_that_has_succeeded_fences_nobody_off_when_it_is_forgotten() {
    let rig = Rig::new();
    for lost in [false, true] {
        let (operation, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
        let spec = rig.spec(Work::Create { vfolder });
        assert_eq!(failure(&rig, operation, &spec).await, None);
        if lost {
            // Not by anything that was asked for.
            fs::remove_dir(rig.tree(vfolder)).unwrap();
        }
        rig.tasks.forget(operation, "v").await.unwrap();
        assert!(rig.enter(vfolder, Stay::Writing, 1).is_ok(), "{lost}");
    }
}

#[tokio::test]
async fn work_in_a_tree_that_is_done_and_forgotten_is_not_done_again() {
    let rig = Rig::new();
    let (operation, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
    rig.fill(vfolder);
    let file = rig.tree(vfolder).join("twice");
    fs::write(&file, "before").unwrap();
    let spec = rig.spec(Work::Remove(Removal {
        vfolder,
        paths: vec![path("twice")],
        missing_ok: true,
    }));
    assert_eq!(failure(&rig, operation, &spec).await, None);
    rig.tasks.forget(operation, "v").await.unwrap();
    // By the epoch that the vfolder has since.
    let writer = rig.enter(vfolder, Stay::Writing, 2).unwrap();
    fs::write(&file, "since").unwrap();
    drop(writer);
    let rig = rig.restarted().await;
    assert_eq!(fails(&rig, operation, &spec).await, FailureKind::Stale);
    assert_eq!(fs::read_to_string(&file).unwrap(), "since");
    assert_eq!(rig.count("journal"), 0);
}

#[tokio::test]
async fn what_was_purged_since_is_not_made_again() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    let (create, purge) = (Uuid::now_v7(), Uuid::now_v7());
    let spec = rig.spec(Work::Create { vfolder });
    assert_eq!(failure(&rig, create, &spec).await, None);
    rig.tasks.forget(create, "v").await.unwrap();
    let rig = rig.restarted().await;
    // Forgotten because it succeeded: asked for late, it finds its tree, and leaves no trace.
    assert_eq!(failure(&rig, create, &spec).await, None);
    assert_eq!(rig.count("journal"), 0);
    let spec_of_purge = rig.spec_at(2, Work::Purge { vfolder });
    assert_eq!(failure(&rig, purge, &spec_of_purge).await, None);
    rig.tasks.forget(purge, "v").await.unwrap();
    let rig = rig.restarted().await;
    assert_eq!(fails(&rig, create, &spec).await, FailureKind::Stale);
    assert_eq!(
        (rig.tree(vfolder).exists(), rig.count("journal")),
        (false, 0)
    );
    // A purge that has succeeded succeeds again, and leaves no trace either.
    assert_eq!(failure(&rig, purge, &spec_of_purge).await, None);
    assert_eq!(rig.count("journal"), 0);
}

#[tokio::test]
async fn a_purge_that_was_given_up_destroys_nothing_later() {
    let rig = Rig::new();
    let (operation, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
    let tree = rig.fill(vfolder);
    let reader = rig.enter(vfolder, Stay::Reading, 1).unwrap();
    let spec = rig.spec_at(2, Work::Purge { vfolder });
    assert_eq!(fails(&rig, operation, &spec).await, FailureKind::Busy);
    drop(reader);
    rig.tasks.forget(operation, "v").await.unwrap();
    let rig = rig.restarted().await;
    assert_eq!(fails(&rig, operation, &spec).await, FailureKind::Stale);
    assert!(tree.join("d0/sub/f0").exists());
    assert!(
        fs::read_dir(rig.root().join("trash"))
            .unwrap()
            .next()
            .is_none()
    );
    // The next one does.
    let next = rig.spec_at(3, Work::Purge { vfolder });
    assert_eq!(failure(&rig, Uuid::now_v7(), &next).await, None);
    assert!(!tree.exists());
}
