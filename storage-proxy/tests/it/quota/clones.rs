//! Clones and the limits of what they make.

use uuid::Uuid;
use vfolder_storage_proxy::{
    account::Amount,
    task::{FailureKind, Work},
};

use super::{OWNER, accounts, clone_of, found, note, quota, run, used};
use crate::support::Rig;

#[tokio::test]
async fn a_clone_that_does_not_fit_is_refused_before_a_byte_is_copied() {
    let rig = Rig::new();
    let source = Uuid::now_v7();
    let there = found(&rig.fill(source));
    for (limits, unit, limit) in [
        (quota(1, there.bytes - 1, 0, 0), "bytes", there.bytes - 1),
        (quota(1, 0, there.files - 1, 0), "files", there.files - 1),
        (quota(2, 0, 0, there.bytes - 1), "bytes", there.bytes - 1),
    ] {
        let vfolder = Uuid::now_v7();
        accounts(&rig).learn(vfolder, &limits);
        let ended = run(&rig, clone_of(source, vfolder)).await;
        let failure = ended.failure.unwrap();
        assert_eq!(failure.kind, FailureKind::QuotaExceeded);
        let asked = if unit == "bytes" {
            there.bytes
        } else {
            there.files
        };
        for said in [
            format!("{limit} {unit}"),
            "0 are used".into(),
            format!("{asked} more"),
        ] {
            assert!(
                failure.message.contains(&said),
                "{said}: {}",
                failure.message
            );
        }
        assert_eq!(ended.progress.bytes_done, 0);
        assert_eq!(rig.count("staging"), 0);
        assert!(!rig.tree(vfolder).exists());
        // What was looked at for it is given back.
        assert_eq!(used(&rig), Amount::default());
    }
}

#[tokio::test]
async fn clones_count_for_their_owner_and_a_purge_gives_it_back() {
    let rig = Rig::new();
    let (source, first, second) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let there = found(&rig.fill(source));
    let room_for_one = quota(1, 0, 0, there.bytes * 2 - 1);
    for vfolder in [first, second] {
        accounts(&rig).learn(vfolder, &room_for_one);
    }
    assert_eq!(run(&rig, clone_of(source, first)).await.failure, None);
    assert_eq!(used(&rig), there);
    let refused = run(&rig, clone_of(source, second)).await.failure.unwrap();
    assert!(refused.message.contains(OWNER), "{}", refused.message);
    // It is known again after a restart, without a walk: the note is clean.
    assert!(note(&rig, first).unwrap().contains("\"bytes\""));
    let rig = rig.restarted().await;
    assert_eq!(used(&rig), there);
    assert_eq!(
        run(&rig, Work::Purge { vfolder: first }).await.failure,
        None
    );
    assert_eq!(used(&rig), Amount::default());
    assert_eq!(note(&rig, first), None);
    accounts(&rig).learn(second, &room_for_one);
    assert_eq!(run(&rig, clone_of(source, second)).await.failure, None);
    assert_eq!(used(&rig), there);
}
