//! What is said to be in a tree is in there: counted when it has to be, and believed when it can be.

use std::{
    fs,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use uuid::Uuid;
use vfolder_common::token::Quota;
use vfolder_storage_proxy::{
    account::{Amount, Change},
    task::{Stay, Work},
    tree::Control,
};

use super::{OWNER, accounts, found, note, quota, run, used};
use crate::support::Rig;

#[tokio::test]
async fn sixty_four_at_once_are_never_let_in_beyond_a_limit() {
    const LIMIT: u64 = 1000;
    let rig = Rig::new();
    let vfolders = [Uuid::now_v7(), Uuid::now_v7()];
    for vfolder in vfolders {
        accounts(&rig).learn(vfolder, &quota(1, 0, 0, LIMIT));
        assert_eq!(run(&rig, Work::Create { vfolder }).await.failure, None);
    }
    let accounts = accounts(&rig);
    let (start, looked) = (Arc::new(Barrier::new(64)), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..64_u64)
        .map(|number| {
            let (accounts, start) = (Arc::clone(&accounts), Arc::clone(&start));
            let looked = Arc::clone(&looked);
            let vfolder = vfolders[usize::try_from(number % 2).unwrap()];
            thread::spawn(move || {
                start.wait();
                let mut kept = 0;
                for round in 0..200_u64 {
                    while round == 100 && looked.load(SeqCst) < 10 {
                        thread::yield_now();
                    }
                    let bytes = 1 + (number * 7 + round * 13) % 40;
                    let asked = Amount { bytes, files: 1 };
                    let Ok(mut reserved) = accounts.reserve(vfolder, asked) else {
                        continue;
                    };
                    let grown = reserved.grow(asked).is_ok();
                    match round % 3 {
                        0 => drop(reserved),
                        // Less than was set aside.
                        1 => reserved.settle(Change::default()),
                        _ if kept < 8 => {
                            let bytes = i64::try_from(reserved.amount().bytes).unwrap();
                            kept += u64::try_from(bytes).unwrap();
                            assert_eq!(grown, reserved.amount().bytes > asked.bytes);
                            reserved.settle(Change { bytes, files: 1 });
                        }
                        _ => drop(reserved),
                    }
                }
                kept
            })
        })
        .collect();
    let volume = rig.volume.get().unwrap();
    // Meanwhile, at no moment.
    while !threads.iter().all(|thread| thread.is_finished()) {
        let now = accounts.owner_use(&volume, OWNER).unwrap();
        assert!(now.used.bytes + now.reserved.bytes <= LIMIT, "{now:?}");
        looked.fetch_add(1, SeqCst);
    }
    let kept: u64 = threads.into_iter().map(|t| t.join().unwrap()).sum();
    let end = accounts.owner_use(&volume, OWNER).unwrap();
    assert_eq!((end.used.bytes, end.reserved), (kept, Amount::default()));
    assert!(kept > LIMIT / 2, "{kept}");
}

#[tokio::test]
async fn what_was_changed_before_a_crash_is_counted_and_what_came_to_rest_is_believed() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    let limits = quota(1, 1 << 40, 0, 0);
    accounts(&rig).learn(vfolder, &limits);
    assert_eq!(run(&rig, Work::Create { vfolder }).await.failure, None);
    let writer = rig.enter(vfolder, Stay::Writing, 1).unwrap();
    // Before the first byte, the volume knows not to believe its figures.
    assert!(note(&rig, vfolder).unwrap().contains("\"used\":null"));
    let tree = rig.tree(vfolder);
    fs::write(tree.join("one"), [1; 1000]).unwrap();
    drop(writer);
    // The process dies before anything is said of it.
    let rig = rig.restarted().await;
    accounts(&rig).learn(vfolder, &limits);
    drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
    assert_eq!(used(&rig), found(&tree));

    let volume = rig.volume.get().unwrap();
    accounts(&rig).rest(&volume, Duration::ZERO).unwrap();
    assert!(note(&rig, vfolder).unwrap().contains("1000"));
    drop(volume);
    // Not even looked at: what is changed past us is not seen, until somebody asks.
    fs::write(tree.join("two"), [1; 500]).unwrap();
    let rig = rig.restarted().await;
    assert_eq!(used(&rig).bytes, 1000);
    let counted = run(&rig, Work::Recount { vfolder }).await;
    assert_eq!(counted.failure, None);
    assert_eq!(used(&rig), found(&tree));
    assert_eq!(used(&rig).bytes, 1500);
    assert!(!counted.receipt.unwrap().disturbed);
    // A session gave up its mount: counted before the next writer is let in.
    fs::remove_file(tree.join("one")).unwrap();
    let mounted = Quota {
        mounted: 2,
        ..quota(2, 1 << 40, 0, 0)
    };
    accounts(&rig).learn(vfolder, &mounted);
    drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
    assert_eq!(used(&rig), found(&tree));
}

#[tokio::test]
async fn a_count_beside_a_writer_says_so_and_is_done_again() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    accounts(&rig).learn(vfolder, &quota(1, 1 << 40, 0, 0));
    let tree = rig.fill(vfolder);
    let writer = rig.enter(vfolder, Stay::Writing, 1).unwrap();
    let counted = run(&rig, Work::Recount { vfolder }).await;
    assert!(counted.receipt.unwrap().disturbed);
    fs::write(tree.join("late"), [0; 7]).unwrap();
    drop(writer);
    // It is not taken for final.
    let volume = rig.volume.get().unwrap();
    accounts(&rig).rest(&volume, Duration::ZERO).unwrap();
    assert!(note(&rig, vfolder).unwrap().contains("\"used\":null"));
    drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
    assert_eq!(used(&rig), found(&tree));
}

#[tokio::test]
async fn a_hard_link_counts_once_and_a_hole_by_its_length() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    let tree = rig.fill(vfolder);
    fs::File::create(tree.join("hole"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    fs::hard_link(tree.join("hole"), tree.join("again")).unwrap();
    accounts(&rig).learn(vfolder, &quota(1, 1 << 40, 0, 0));
    drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
    let there = found(&tree);
    assert!(there.bytes > 1 << 30 && there.bytes < 2 << 30);
    assert_eq!(used(&rig), there);
}

#[tokio::test]
async fn a_vfolder_without_limits_leaves_no_note_and_is_not_counted() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    accounts(&rig).learn(vfolder, &quota(1, 0, 0, 0));
    rig.fill(vfolder);
    drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
    assert_eq!(note(&rig, vfolder), None);
    let volume = rig.volume.get().unwrap();
    let there = accounts(&rig).owner_use(&volume, OWNER).unwrap();
    assert_eq!((there.used, there.uncounted), (Amount::default(), 1));
}

#[tokio::test]
async fn a_limit_below_what_is_there_takes_nothing_away_and_lets_nothing_in() {
    let rig = Rig::new();
    let vfolder = Uuid::now_v7();
    rig.fill(vfolder);
    accounts(&rig).learn(vfolder, &quota(1, 10, 5, 0));
    let volume = rig.volume.get().unwrap();
    accounts(&rig)
        .make_ready(&volume, vfolder, &Control::default())
        .unwrap();
    for asked in [Amount { bytes: 1, files: 0 }, Amount { bytes: 0, files: 1 }] {
        accounts(&rig).reserve(vfolder, asked).unwrap_err();
    }
    // Who removes, or writes over, comes in.
    drop(accounts(&rig).reserve(vfolder, Amount::default()).unwrap());
    drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
}
