//! Tasks ended from outside: what is published stays, what isn't never appears, whoever goes away meanwhile.

use std::{fs, time::Duration};

use tokio::time::timeout;
use uuid::Uuid;
use vfolder_storage_proxy::task::{FailureKind, Refused, Work};

use crate::{
    support::Rig,
    tasks::{outcome, reopened},
};

fn journal(rig: &Rig, operation: Uuid, work: Work) {
    let record = serde_json::json!({
        "spec": rig.spec(work), "totals": { "entries": 123, "bytes": 456 },
    });
    let volume = rig.volume.get().unwrap();
    volume.write_journal(operation, &record).unwrap();
}

#[tokio::test]
async fn what_an_earlier_life_has_published_is_not_cancelled_before_this_one_begins() {
    let rig = Rig::new();
    let (source, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
    for (work, there, entries) in [
        (
            Work::Clone {
                source,
                vfolder,
                source_epoch: 1,
                receipt: false,
            },
            true,
            123,
        ),
        (Work::Purge { vfolder }, false, 123),
    ] {
        let operation = Uuid::now_v7();
        journal(&rig, operation, work.clone());
        if there {
            fs::create_dir_all(rig.tree(vfolder)).unwrap();
        } else {
            fs::remove_dir_all(rig.tree(vfolder)).unwrap();
        }
        // On this one-threaded runtime the task does not begin before we wait for something.
        let task = rig.tasks.run(operation, rig.spec(work.clone())).unwrap();
        assert_eq!(
            rig.tasks.cancel(operation, "v", vfolder, 1).await,
            Ok(true),
            "{work:?}"
        );
        let ended = outcome(task).await;
        assert_eq!(
            (ended.failure, ended.progress.entries_done),
            (None, entries)
        );
        assert!(rig.root().join(format!("journal/{operation}")).exists());
        assert_eq!(rig.tree(vfolder).exists(), there);
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_changes_no_verdict() {
    let rig = Rig::new();
    let source = Uuid::now_v7();
    for published in [true, false] {
        let (operation, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
        let work = Work::Clone {
            source,
            vfolder,
            source_epoch: 1,
            receipt: false,
        };
        journal(&rig, operation, work.clone());
        if published {
            fs::create_dir_all(rig.tree(vfolder)).unwrap();
        }
        fs::create_dir_all(rig.root().join(format!("staging/{operation}/tree"))).unwrap();
        let wish = rig.tasks.cancel(operation, "v", vfolder, 1);
        // Hung up on at once; on a busy machine the answer may be there already, and then it is the true one.
        if let Ok(answer) = timeout(Duration::ZERO, wish).await {
            assert_eq!(answer, Ok(published));
        }
        // Until the disk was asked nothing is known, and then the truth: never a verdict on trial.
        let again = loop {
            match rig.tasks.run(operation, rig.spec(work.clone())) {
                Ok(task) => break outcome(task).await,
                Err(refused) => assert_eq!(refused, Refused::Deciding),
            }
            tokio::task::yield_now().await;
        };
        let failure = again.failure.map(|failure| failure.kind);
        assert_eq!(failure, (!published).then_some(FailureKind::Cancelled));
        assert_eq!(
            rig.root().join(format!("journal/{operation}")).exists(),
            published
        );
        assert!(!rig.root().join(format!("staging/{operation}")).exists());
    }
}

#[tokio::test]
async fn without_a_readable_journal_the_tree_decides_whether_it_is_too_late() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    let broken = |operation: Uuid| {
        fs::write(rig.root().join(format!("journal/{operation}")), "{").unwrap();
    };
    for there in [false, true] {
        if there {
            fs::create_dir_all(rig.tree(vfolder)).unwrap();
        }
        for unreadable in [false, true] {
            let operation = Uuid::now_v7();
            if unreadable {
                broken(operation);
            }
            let wish = rig.tasks.cancel(operation, "v", vfolder, 1);
            assert_eq!(wish.await, Ok(there), "unreadable: {unreadable}");
        }
    }
}

#[tokio::test]
async fn what_is_forgotten_leaves_nothing_whenever_its_process_died() {
    for step in 0..6 {
        let rig = Rig::new();
        let (operation, source, vfolder) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let (id, root) = (operation.to_string(), rig.root());
        rig.fill(source);
        let clone = Work::Clone {
            source,
            vfolder,
            source_epoch: 1,
            receipt: false,
        };
        if step > 0 {
            journal(&rig, operation, clone.clone());
        }
        match step {
            // Before and after the journal was written.
            0 | 1 => {}
            // In the middle of the copy.
            2 => fs::create_dir_all(root.join("staging").join(&id).join("tree/sub")).unwrap(),
            // While it was thrown away, by this version and by an older one; once more staged.
            3 => {
                rig.throw_away(&id, |of| fs::create_dir_all(of.join("tree/sub")).unwrap());
                rig.throw_away(format!("{id}.1"), |of| {
                    fs::create_dir_all(of.join("tree")).unwrap();
                });
                fs::create_dir_all(root.join("staging").join(&id).join("tree/sub")).unwrap();
            }
            4 => rig.throw_away(&id, |of| fs::create_dir_all(of.join("0/tree/sub")).unwrap()),
            // After the rename.
            _ => {
                fs::create_dir_all(root.join("staging").join(&id).join("links")).unwrap();
                fs::create_dir_all(rig.tree(vfolder)).unwrap();
            }
        }
        for _ in 0..2 {
            rig.tasks.forget(operation, "v").await.unwrap();
        }
        let late = outcome(rig.tasks.run(operation, rig.spec(clone.clone())).unwrap()).await;
        assert_eq!(late.failure.unwrap().kind, FailureKind::Cancelled);
        assert_eq!((rig.count("staging"), rig.count("journal")), (0, 0));
        assert_eq!(rig.tree(vfolder).exists(), step == 5, "step {step}");
        assert!(rig.tree(source).join("d0/sub/f0").exists());
        // What is left is the reclaimer's, which was woken.
        rig.reclaimed().await;
    }
}

#[tokio::test]
async fn a_purge_without_a_note_of_it_is_known_by_its_tree() {
    let rig = Rig::new();
    let (operation, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
    rig.throw_away(operation, |of| fs::create_dir_all(of.join("sub")).unwrap());
    let Rig { dir, volume, tasks } = rig;
    drop((volume, tasks));
    let rig = reopened(dir).await;
    let work = Work::Purge { vfolder };
    let again = outcome(rig.tasks.run(operation, rig.spec(work.clone())).unwrap()).await;
    assert_eq!(again.failure, None);
    rig.reclaimed().await;
}
