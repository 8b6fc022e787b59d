//! Digests as tasks: of a copy before it appears, and of a tree as it is.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    time::{Duration, SystemTime},
};

use uuid::Uuid;
use vfolder_storage_proxy::{
    task::{FailureKind, Outcome, Receipt, Stay, Work},
    volume::Fence,
};

use crate::{digest_reference as reference, support::Rig, tasks::outcome};

async fn run(rig: &Rig, work: Work) -> Outcome {
    outcome(rig.tasks.run(Uuid::now_v7(), rig.spec(work)).unwrap()).await
}

async fn verified(rig: &Rig, vfolder: Uuid) -> Receipt {
    let ended = run(rig, Work::Verify { vfolder }).await;
    assert_eq!(ended.failure, None);
    let receipt = ended.receipt.unwrap();
    let progress = ended.progress;
    assert_eq!(
        (receipt.entries, receipt.bytes),
        (progress.entries_done, progress.bytes_done)
    );
    assert_eq!(progress.entries_total, progress.entries_done);
    receipt
}

#[tokio::test]
async fn a_clones_receipt_is_the_digest_of_its_source_and_verifying_finds_it_again() {
    let rig = Rig::new();
    let (source, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
    let root = rig.fill(source);
    let work = Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: true,
    };
    let cloned = run(&rig, work).await;
    let receipt = cloned.receipt.unwrap();
    assert_eq!(receipt.digest, reference::digest(&reference::read(&root)));
    // What was read to digest it is not told as more work.
    assert_eq!(receipt.entries, cloned.progress.entries_done);
    assert_eq!(receipt.bytes, cloned.progress.bytes_done);
    for of in [source, vfolder] {
        assert_eq!(verified(&rig, of).await, receipt);
    }
    // One byte, and no trace in the times.
    let file = rig.tree(vfolder).join("d7/sub/f3");
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    let open = fs::File::options().write(true).open(&file).unwrap();
    open.write_all_at(b"C", 0).unwrap();
    open.set_modified(before).unwrap();
    assert_ne!(verified(&rig, vfolder).await.digest, receipt.digest);
    assert_eq!(verified(&rig, source).await, receipt);
}

#[tokio::test]
async fn a_receipt_is_told_again_after_a_restart() {
    let rig = Rig::new();
    let (operation, source, vfolder) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    rig.fill(source);
    let work = Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: true,
    };
    let first = outcome(rig.tasks.run(operation, rig.spec(work.clone())).unwrap()).await;
    let rig = rig.restarted().await;
    // Taken from the journal: the tree is another by now.
    fs::write(rig.tree(vfolder).join("more"), "").unwrap();
    let second = outcome(rig.tasks.run(operation, rig.spec(work.clone())).unwrap()).await;
    assert!(first.receipt.is_some());
    assert_eq!(first.receipt, second.receipt);
}

#[tokio::test]
async fn verifying_leaves_nothing_behind_and_can_be_repeated_after_a_restart() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    rig.fill(vfolder);
    let operation = Uuid::now_v7();
    let spec = rig.spec(Work::Verify { vfolder });
    let first = outcome(rig.tasks.run(operation, spec.clone()).unwrap()).await;
    for area in ["journal", "staging", "trash"] {
        assert_eq!(rig.count(area), 0, "{area}");
    }
    let rig = rig.restarted().await;
    let second = outcome(rig.tasks.run(operation, spec).unwrap()).await;
    assert_eq!(first.receipt, second.receipt);
    rig.tasks.forget(operation, "v").await.unwrap();
    // Had it been taken for a task that changes the tree, its end would have cut off who writes.
    drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
}

#[tokio::test]
async fn a_tree_that_is_not_there_is_said_not_to_be_and_nothing_is_fenced() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    let operation = Uuid::now_v7();
    let spec = rig.spec(Work::Verify { vfolder });
    let ended = outcome(rig.tasks.run(operation, spec).unwrap()).await;
    assert_eq!(ended.failure.unwrap().kind, FailureKind::SourceMissing);
    rig.tasks.forget(operation, "v").await.unwrap();
    assert!(!rig.tasks.cancel_reading(Uuid::now_v7(), "v").await.unwrap());
    assert_eq!(rig.count("journal"), 0);
    drop(rig.enter(vfolder, Stay::Publishing, 1).unwrap());
}

/// A tree whose digest takes about a second: two gibibytes to hash, in few blocks on disk.
fn fill_large(rig: &Rig, vfolder: Uuid) {
    const BLOCKS: u64 = 16 * 1024;
    let root = rig.tree(vfolder);
    fs::create_dir_all(&root).unwrap();
    for name in ["one", "other"] {
        let file = fs::File::create(root.join(name)).unwrap();
        file.set_len(BLOCKS << 16).unwrap();
        for block in 0..BLOCKS {
            file.write_all_at(b"x", block << 16).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_the_tree_away_from_readers_ends_the_digest_and_it_says_why() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    fill_large(&rig, vfolder);
    let (volume, fences) = (rig.volume.get().unwrap(), rig.tasks.fences("v").unwrap());
    // Writers and clones don't: only who keeps readers out.
    fences
        .raise(&volume, vfolder, Fence::for_writers(5))
        .unwrap();
    assert!(!verified(&rig, vfolder).await.disturbed);
    fences.raise(&volume, vfolder, Fence::for_all(6)).unwrap();
    let late = run(&rig, Work::Verify { vfolder }).await;
    assert_eq!(late.failure.unwrap().kind, FailureKind::Stale);

    let other = Uuid::now_v7();
    fill_large(&rig, other);
    let task = rig
        .tasks
        .run(Uuid::now_v7(), rig.spec(Work::Verify { vfolder: other }))
        .unwrap();
    while task.progress().entries_done == 0 {
        tokio::task::yield_now().await;
    }
    fences.raise(&volume, other, Fence::for_all(2)).unwrap();
    let failure = outcome(task).await.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Stale);
    assert!(failure.message.contains("verify it again"), "{failure:?}");
}

#[tokio::test]
async fn who_writes_meanwhile_is_noted() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    rig.fill(vfolder);
    let writer = rig.enter(vfolder, Stay::Writing, 1).unwrap();
    assert!(verified(&rig, vfolder).await.disturbed);
    drop(writer);
    assert!(!verified(&rig, vfolder).await.disturbed);
    let verifier = rig.enter(vfolder, Stay::Verifying, 1).unwrap();
    drop(rig.enter(vfolder, Stay::Reading, 1).unwrap());
    assert!(!verifier.is_disturbed());
    drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
    assert!(verifier.is_disturbed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_is_heard_soon() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    fill_large(&rig, vfolder);
    let operation = Uuid::now_v7();
    let task = rig
        .tasks
        .run(operation, rig.spec(Work::Verify { vfolder }))
        .unwrap();
    while task.progress().entries_done == 0 {
        tokio::task::yield_now().await;
    }
    let asked = SystemTime::now();
    assert!(!rig.tasks.cancel_reading(operation, "v").await.unwrap());
    assert!(asked.elapsed().unwrap() < Duration::from_secs(5));
    assert_eq!(
        outcome(task).await.failure.unwrap().kind,
        FailureKind::Cancelled
    );
}
