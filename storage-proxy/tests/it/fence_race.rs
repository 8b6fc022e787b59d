//! Fences against those who are faster, or not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    thread,
};

use uuid::Uuid;
use vfolder_storage_proxy::{
    task::{FailureKind, Stay, Work},
    volume::Fence,
};

use crate::{
    support::{Dice, Rig},
    tasks::outcome,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tree_appears_once_a_fence_was_answered() {
    let rig = Rig::new();
    let source = Uuid::now_v7();
    rig.fill(source);
    let (mut dice, mut published, mut fenced) = (Dice(17), 0, 0);
    for round in 0..120 {
        let vfolder = Uuid::now_v7();
        let source_epoch = 1;
        let (work, longest) = match round % 3 {
            0 => (
                Work::Clone {
                    source,
                    vfolder,
                    source_epoch,
                    receipt: false,
                },
                400,
            ),
            _ => (Work::Create { vfolder }, 60),
        };
        let task = rig.tasks.run(Uuid::now_v7(), rig.spec(work)).unwrap();
        for _ in 0..dice.roll(longest) {
            tokio::task::yield_now().await;
        }
        let fence = Fence::for_writers(2);
        rig.tasks.fence("v", vfolder, fence).await.unwrap();
        let there = rig.tree(vfolder).exists();
        let failure = outcome(task).await.failure.map(|failure| failure.kind);
        assert_eq!(rig.tree(vfolder).exists(), there, "round {round}");
        match there {
            true => published += 1,
            false => fenced += 1,
        }
        let wanted = (!there).then_some(FailureKind::Stale);
        assert_eq!(failure, wanted, "round {round}");
    }
    eprintln!("{published} published, {fenced} fenced off");
}

/// A purge by an older epoch neither takes the tree away once the fence was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tree_disappears_once_a_fence_was_answered() {
    let rig = Rig::new();
    let mut dice = Dice(23);
    for round in 0..60 {
        let vfolder = Uuid::now_v7();
        std::fs::create_dir_all(rig.tree(vfolder)).unwrap();
        let work = Work::Purge { vfolder };
        let task = rig.tasks.run(Uuid::now_v7(), rig.spec(work)).unwrap();
        for _ in 0..dice.roll(60) {
            tokio::task::yield_now().await;
        }
        let fence = Fence::for_writers(2);
        rig.tasks.fence("v", vfolder, fence).await.unwrap();
        let there = rig.tree(vfolder).exists();
        let failure = outcome(task).await.failure.map(|failure| failure.kind);
        assert_eq!(rig.tree(vfolder).exists(), there, "round {round}");
        assert_eq!(failure, there.then_some(FailureKind::Stale));
    }
}

#[test]
fn nobody_older_is_inside_once_a_fence_is_raised() {
    const ROUNDS: i64 = 300;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    let (volume, fences) = (rig.volume.get().unwrap(), rig.tasks.fences("v").unwrap());
    let raised = Arc::new(AtomicI64::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            let (rig, raised) = (&rig, &raised);
            scope.spawn(move || {
                while raised.load(SeqCst) < ROUNDS {
                    let epoch = raised.load(SeqCst) + 1;
                    let Ok(guard) = rig.enter(vfolder, Stay::Writing, epoch) else {
                        continue;
                    };
                    for _ in 0..50 {
                        let now = raised.load(SeqCst);
                        assert!(now <= epoch, "inside by {epoch}, and {now} was answered");
                        if guard.is_cut() {
                            break;
                        }
                        thread::yield_now();
                    }
                }
            });
        }
        for epoch in 1..=ROUNDS {
            let fence = Fence::for_writers(epoch);
            fences.raise(&volume, vfolder, fence).unwrap();
            raised.store(epoch, SeqCst);
        }
    });
}
