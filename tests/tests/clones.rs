//! Several clones of one source at once: it stays CLONING until the last has ended, in whatever order and whichever way
//! they end, and then rests in what else backs it.

use std::{fs, path::Path};

use futures_util::future::join_all;
use tonic::Code;
use vfolder_proto::{
    google::longrunning::operation::Result as Outcome,
    v1::{MountMode, VFolderStatus},
};
use vfolder_tests::{
    Engine, System, User, assert_refused, assert_same_tree, fill, on_each_engine,
    operation_metadata,
};

use crate::staged::{Staged, StagedClone, release};

on_each_engine!(
    a_source_is_cloning_until_its_last_clone_has_ended_in_whatever_way,
    clones_of_one_source_run_at_once_and_are_all_whole,
    a_cancelled_clone_leaves_nothing,
    a_source_that_another_session_reads_returns_to_mounted,
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Succeed,
    Fail,
    Cancel,
}

const ENDS: [End; 3] = [End::Succeed, End::Fail, End::Cancel];

/// All 27 ways in which three clones can end one after the other, each with a source of its own.
async fn a_source_is_cloning_until_its_last_clone_has_ended_in_whatever_way(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let ways = ENDS.iter().flat_map(|a| {
        ENDS.iter()
            .flat_map(move |b| ENDS.iter().map(move |c| [*a, *b, *c]))
    });
    join_all(ways.map(|way| end_in_this_way(&system, &alice, way))).await;
    system.assert_sound().await;
}

async fn end_in_this_way(system: &System, alice: &User, way: [End; 3]) {
    let source = alice
        .create(&format!("{way:?}").replace(['[', ']', ','], ""))
        .await
        .unwrap()
        .id;
    fs::write(system.tree(&source).join("file"), "content").unwrap();
    let clones = [StagedClone::new(), StagedClone::new(), StagedClone::new()];
    let mut staged = Staged::on(&system.database, &source);
    for clone in &clones {
        staged = staged.clone_to(clone);
    }
    staged.write().await;
    for (number, (clone, end)) in clones.iter().zip(way).enumerate() {
        assert_eq!(
            alice.status(&source).await,
            VFolderStatus::Cloning,
            "{way:?} before {number}"
        );
        end_one(system, alice, &source, clone, end).await;
    }
    assert_eq!(
        alice.status(&source).await,
        VFolderStatus::Ready,
        "{way:?} at the end"
    );
    for (clone, end) in clones.iter().zip(way) {
        let (expected, has_tree) = match end {
            End::Succeed => (VFolderStatus::Ready, true),
            End::Fail | End::Cancel => (VFolderStatus::Deleted, false),
        };
        assert_eq!(
            alice.status(&clone.destination).await,
            expected,
            "{way:?} {end:?}"
        );
        assert_eq!(
            system.tree(&clone.destination).exists(),
            has_tree,
            "{way:?} {end:?}"
        );
    }
}

async fn end_one(system: &System, alice: &User, source: &str, clone: &StagedClone, end: End) {
    let tree = system.tree(source);
    let aside = tree.with_extension("aside");
    match end {
        End::Succeed => {}
        End::Fail => fs::rename(&tree, &aside).unwrap(),
        End::Cancel => alice.cancel(&clone.name()).await.unwrap(),
    }
    release(&system.database, &clone.operation).await;
    let ended = alice.wait(&clone.name()).await;
    match (end, ended.result.as_ref().unwrap()) {
        (End::Succeed, Outcome::Response(_)) => {}
        (End::Fail, Outcome::Error(error)) => {
            assert_eq!(error.code, Code::DataLoss as i32, "{error:?}");
            fs::rename(&aside, &tree).unwrap();
        }
        (End::Cancel, Outcome::Error(error)) => assert_eq!(error.code, Code::Cancelled as i32),
        other => panic!("ended otherwise: {other:?}"),
    }
}

async fn clones_of_one_source_run_at_once_and_are_all_whole(engine: Engine) {
    let system = System::on(engine).with(|s| s.max_tasks = 8).start().await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    fill(&system.tree(&source), 500, 100);
    let names = (0..8).map(|number| format!("copy-{number}"));
    let started = join_all(names.map(|name| {
        let (alice, source) = (&alice, &source);
        async move { alice.clone_to(source, &name).await.unwrap() }
    }))
    .await;
    for operation in started {
        let ended = alice.wait(&operation.name).await;
        assert!(
            matches!(ended.result, Some(Outcome::Response(_))),
            "{ended:?}"
        );
        let copy = operation_metadata(&ended).vfolder_id;
        assert_same_tree(&system.tree(&source), &system.tree(&copy));
    }
    assert_eq!(alice.status(&source).await, VFolderStatus::Ready);
    system.assert_sound().await;
}

async fn a_cancelled_clone_leaves_nothing(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    fill(&system.tree(&source), 5_000, 100);
    let operation = alice.clone_to(&source, "copy").await.unwrap();
    alice.cancel(&operation.name).await.unwrap();
    let ended = alice.wait(&operation.name).await;
    let copy = operation_metadata(&ended).vfolder_id;
    // The wish is honoured while the result is not published.
    match ended.result.unwrap() {
        Outcome::Error(error) => {
            assert_eq!(error.code, Code::Cancelled as i32, "{error:?}");
            assert_eq!(alice.status(&copy).await, VFolderStatus::Deleted);
            assert!(!system.tree(&copy).exists());
            alice.create("copy").await.expect("the name is free");
        }
        Outcome::Response(_) => assert_same_tree(&system.tree(&source), &system.tree(&copy)),
    }
    assert_eq!(alice.status(&source).await, VFolderStatus::Ready);
    assert_empty(&system.volume().join("staging"));
    system.assert_sound().await;
}

async fn a_source_that_another_session_reads_returns_to_mounted(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    let mount = alice
        .mount(&source, "reader", MountMode::ReadOnly)
        .await
        .unwrap();
    let clone = StagedClone::new();
    Staged::on(&system.database, &source)
        .clone_to(&clone)
        .write()
        .await;
    let late = alice
        .mount(&source, "late", MountMode::ReadOnly)
        .await
        .unwrap();
    assert_eq!(alice.status(&source).await, VFolderStatus::Cloning);
    release(&system.database, &clone.operation).await;
    alice.wait(&clone.name()).await;
    assert_eq!(alice.status(&source).await, VFolderStatus::Mounted);
    let refused = alice.trash(&source).await;
    assert_refused(refused, Code::FailedPrecondition, "VFOLDER_STATUS");
    alice.unmount(&mount).await.unwrap();
    alice.unmount(&late).await.unwrap();
    assert_eq!(alice.status(&source).await, VFolderStatus::Ready);
    system.assert_sound().await;
}

fn assert_empty(folder: &Path) {
    let found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert!(found.is_empty(), "left behind: {found:?}");
}
