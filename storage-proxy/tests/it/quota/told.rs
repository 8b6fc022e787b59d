//! What others have changed in trees, and who tells: sessions that end, limits that are set, recounts that are asked for.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use uuid::Uuid;
use vfolder_common::token::Quota;
use vfolder_storage_proxy::{
    account::Amount,
    task::{FailureKind, Stay, Work},
    volume::init,
};

use super::{OWNER, accounts, clone_of, found, note, quota, run, used};
use crate::{mounted::Mounted, support::Rig, support::eventually};

const PLENTY: u64 = 1 << 40;

/// Once a session has given up its mount for writing.
fn after_a_session(revision: i64, mounted: i64) -> Quota {
    Quota {
        mounted,
        ..quota(revision, PLENTY, 0, 0)
    }
}

/// An empty tree that the volume has noted as such.
async fn noted_as_empty(rig: &Rig) -> Uuid {
    let vfolder = Uuid::now_v7();
    accounts(rig).learn(vfolder, &quota(1, PLENTY, 0, 0));
    assert_eq!(run(rig, Work::Create { vfolder }).await.failure, None);
    assert!(note(rig, vfolder).unwrap().contains("\"bytes\":0"));
    vfolder
}

#[tokio::test]
async fn what_a_session_wrote_is_never_covered_by_an_older_figure() {
    for then in ["a limit", "a clone", "a recount"] {
        let rig = Rig::new();
        let vfolder = noted_as_empty(&rig).await;
        let tree = rig.tree(vfolder);
        fs::write(tree.join("by a session"), [1; 1000]).unwrap();
        let told = after_a_session(7, 7);
        let told = match then {
            "a limit" => {
                let volume = rig.volume.get().unwrap();
                accounts(&rig).learn(vfolder, &told);
                accounts(&rig).keep(&volume, vfolder).unwrap();
                told
            }
            "a clone" => {
                let copy = Uuid::now_v7();
                accounts(&rig).learn(copy, &quota(1, 999, 0, 0));
                accounts(&rig).learn_source(vfolder, &told, false);
                let refused = run(&rig, clone_of(vfolder, copy)).await;
                let failure = refused.failure.unwrap();
                assert_eq!(failure.kind, FailureKind::QuotaExceeded);
                assert_eq!(refused.progress.bytes_done, 0, "it was copied first");
                told
            }
            // By root, behind everybody's back: nobody has told of a mount.
            _ => {
                assert_eq!(run(&rig, Work::Recount { vfolder }).await.failure, None);
                quota(1, PLENTY, 0, 0)
            }
        };
        let rig = rig.restarted().await;
        accounts(&rig).learn(vfolder, &told);
        drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
        assert_eq!(used(&rig), found(&tree), "after {then}");
        assert_eq!(used(&rig).bytes, 1000);
    }
}

#[tokio::test]
async fn a_recount_takes_the_old_figure_back_first_and_leaves_the_new_one() {
    let rig = Rig::new();
    let vfolder = noted_as_empty(&rig).await;
    fs::write(rig.tree(vfolder).join("by root"), [1; 500]).unwrap();
    let volume = rig.volume.get().unwrap();
    let accounts = accounts(&rig);
    let since = accounts.begin_recount(&volume, vfolder).unwrap();
    assert!(note(&rig, vfolder).unwrap().contains("\"used\":null"));
    let there = found(&rig.tree(vfolder));
    let ended = accounts.end_recount(&volume, vfolder, since, there, true);
    ended.unwrap();
    assert!(note(&rig, vfolder).unwrap().contains("\"bytes\":500"));
    // One that somebody has disturbed is not written down.
    let since = accounts.begin_recount(&volume, vfolder).unwrap();
    drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
    let ended = accounts.end_recount(&volume, vfolder, since, there, true);
    ended.unwrap();
    assert!(note(&rig, vfolder).unwrap().contains("\"used\":null"));
}

#[tokio::test]
async fn an_open_upload_does_not_hide_what_a_session_has_written() {
    let rig = Rig::new();
    let vfolder = noted_as_empty(&rig).await;
    let upload = Amount { bytes: 1, files: 1 };
    let reserved = accounts(&rig).reserve(vfolder, upload).unwrap();
    fs::write(rig.tree(vfolder).join("by a session"), [1; 1000]).unwrap();
    accounts(&rig).learn(vfolder, &after_a_session(2, 2));
    drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
    assert_eq!(used(&rig), found(&rig.tree(vfolder)));
    // Nor somebody who has been in the tree all the time.
    let writer = rig.enter(vfolder, Stay::Writing, 1).unwrap();
    fs::write(rig.tree(vfolder).join("more"), [1; 500]).unwrap();
    accounts(&rig).learn(vfolder, &after_a_session(3, 3));
    drop(rig.enter(vfolder, Stay::Writing, 1).unwrap());
    assert_eq!(used(&rig).bytes, 1500);
    drop((reserved, writer));
}

#[tokio::test]
async fn a_snapshot_beneath_a_session_is_counted_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    let Some(_mounted) = Mounted::image("btrfs", &path, 1 << 30) else {
        return;
    };
    init(&path, "v").unwrap();
    let rig = Rig::on(dir);
    let source = noted_as_empty(&rig).await;
    let stop = Arc::new(AtomicBool::new(false));
    let session = {
        let (tree, stop) = (rig.tree(source), Arc::clone(&stop));
        thread::spawn(move || write_until(&tree, &stop))
    };
    eventually("the session writes", || found(&rig.tree(source)).files > 0).await;
    for _ in 0..5 {
        let copy = Uuid::now_v7();
        accounts(&rig).learn_source(source, &quota(1, PLENTY, 0, 0), true);
        accounts(&rig).learn(copy, &quota(1, PLENTY, 0, 0));
        assert_eq!(run(&rig, clone_of(source, copy)).await.failure, None);
        let there = found(&rig.tree(copy));
        let said = note(&rig, copy).unwrap();
        let figures = format!("\"bytes\":{},\"files\":{}", there.bytes, there.files);
        assert!(said.contains(&figures), "{figures}: {said}");
    }
    stop.store(true, SeqCst);
    session.join().unwrap();
}

fn write_until(tree: &Path, stop: &AtomicBool) {
    for number in 0.. {
        if stop.load(SeqCst) {
            return;
        }
        fs::write(tree.join(format!("f{number}")), [1; 10]).unwrap();
    }
}

#[tokio::test]
async fn a_clone_that_has_failed_leaves_nothing_to_be_counted() {
    let rig = Rig::new();
    let (source, refused, other) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let there = found(&rig.fill(source));
    let all = quota(1, 0, 0, there.bytes - 1);
    for vfolder in [refused, other] {
        accounts(&rig).learn(vfolder, &all);
    }
    assert_eq!(
        run(&rig, Work::Create { vfolder: other }).await.failure,
        None
    );
    for _ in 0..2 {
        let ended = run(&rig, clone_of(source, refused)).await;
        assert_eq!(ended.failure.unwrap().kind, FailureKind::QuotaExceeded);
        assert!(accounts(&rig).is_ready(other));
        // It is told again with the next attempt, and not known until then.
        assert!(!accounts(&rig).is_limited(refused));
        accounts(&rig).learn(refused, &all);
    }
    let volume = rig.volume.get().unwrap();
    let told = accounts(&rig).owner_use(&volume, OWNER).unwrap();
    assert_eq!((told.used, told.reserved), Default::default());
    // One without limits is known for as long as somebody may come back with a grant.
    let free = Uuid::now_v7();
    accounts(&rig).learn(free, &quota(9, 0, 0, 0));
    accounts(&rig).forget_unheard(Duration::ZERO);
    let told = accounts(&rig).owner_use(&volume, OWNER).unwrap();
    assert_eq!(told.uncounted, 0);
}
