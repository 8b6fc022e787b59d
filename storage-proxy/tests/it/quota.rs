//! Accounts: nobody is let in beyond a limit, and what is said to be in a tree is in there, also after a crash.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use tonic::{Code, Request};
use tonic_types::StatusExt as _;
use uuid::Uuid;
use vfolder_common::token::{GRANT_HEADER, Grant, GrantMode, Limits, Quota};
use vfolder_proto::{storage::GetOwnerUsageRequest, v1::CreateDirectoryRequest};
use vfolder_storage_proxy::{
    account::{Accounts, Amount, Change},
    task::{FailureKind, Outcome, Stay, Work},
    tree::Control,
};

use crate::{
    proxy::Proxy,
    support::{Dice, Rig},
    tasks::outcome,
};

pub const OWNER: &str = "user:alice";

pub fn quota(revision: i64, bytes: u64, files: u64, all: u64) -> Quota {
    Quota {
        owner: OWNER.into(),
        revision,
        vfolder: Limits { bytes, files },
        owner_revision: revision,
        all: Limits {
            bytes: all,
            files: 0,
        },
        ..Quota::default()
    }
}

/// What is in a tree, found without any of the code that is tested.
pub fn found(tree: &Path) -> Amount {
    fn walk(directory: &Path, seen: &mut Vec<u64>, sum: &mut Amount) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            sum.files += 1;
            if meta.is_dir() {
                walk(&entry.path(), seen, sum);
            } else if meta.is_file() && (meta.nlink() == 1 || !seen.contains(&meta.ino())) {
                seen.push(meta.ino());
                sum.bytes += meta.len();
            }
        }
    }
    let mut sum = Amount::default();
    walk(tree, &mut Vec::new(), &mut sum);
    sum
}

pub fn accounts(rig: &Rig) -> Arc<Accounts> {
    rig.tasks.accounts("v").unwrap()
}

pub fn used(rig: &Rig) -> Amount {
    let volume = rig.volume.get().unwrap();
    accounts(rig).owner_use(&volume, OWNER).unwrap().used
}

fn note(rig: &Rig, vfolder: Uuid) -> Option<String> {
    fs::read_to_string(rig.root().join(format!("journal/quotas/{vfolder}"))).ok()
}

async fn run(rig: &Rig, work: Work) -> Outcome {
    outcome(rig.tasks.run(Uuid::now_v7(), rig.spec(work)).unwrap()).await
}

fn clone_of(source: Uuid, vfolder: Uuid) -> Work {
    Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: false,
    }
}

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
    let start = Arc::new(Barrier::new(64));
    let threads: Vec<_> = (0..64_u64)
        .map(|number| {
            let (accounts, start) = (Arc::clone(&accounts), Arc::clone(&start));
            let vfolder = vfolders[usize::try_from(number % 2).unwrap()];
            thread::spawn(move || {
                start.wait();
                let mut kept = 0;
                for round in 0..200_u64 {
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

/// A request with a grant that brings `quota` along.
pub fn granted<T>(proxy: &Proxy, vfolder: Uuid, quota: &Quota, message: T) -> Request<T> {
    let grant = Grant {
        vfolder,
        volume: "v".into(),
        mode: GrantMode::ReadWrite,
        epoch: 1,
        subject: "alice".into(),
        path: Vec::new(),
        quota: Some(quota.clone()),
    };
    let token = proxy.secret.sign_grant(&grant, Duration::from_secs(60));
    let mut request = Request::new(message);
    let token = token.unwrap().parse().unwrap();
    request.metadata_mut().insert(GRANT_HEADER, token);
    request
}

fn mkdir(vfolder: Uuid, path: String) -> CreateDirectoryRequest {
    CreateDirectoryRequest {
        vfolder_id: vfolder.to_string(),
        path,
        ..CreateDirectoryRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_at_any_moment_the_first_figures_told_are_those_of_the_disk() {
    let seed = crate::support::seed();
    println!("VFOLDER_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let mut proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    let limits = quota(1, 1 << 40, 1 << 30, 0);
    for life in 0..8 {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let mut files = proxy.files();
                let requests: Vec<_> = (0..1_000)
                    .map(|n| mkdir(vfolder, format!("{life}-{writer}-{n}")))
                    .map(|message| granted(&proxy, vfolder, &limits, message))
                    .collect();
                tokio::spawn(async move {
                    for request in requests {
                        if files.create_directory(request).await.is_err() {
                            break;
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(dice.roll(150) as u64)).await;
        proxy = Proxy::start_in(proxy.kill()).await;
        for writer in writers {
            writer.await.unwrap();
        }
        // The first who writes again makes it known.
        let first = granted(&proxy, vfolder, &limits, mkdir(vfolder, format!("{life}")));
        proxy.files().create_directory(first).await.unwrap();
        let asked = GetOwnerUsageRequest {
            volume: "v".into(),
            owner: OWNER.into(),
        };
        let told = proxy.storage().get_owner_usage(proxy.signed(asked)).await;
        let told = told.unwrap().into_inner();
        let there = found(&proxy.tree(vfolder));
        assert_eq!(
            (told.bytes, told.files),
            (there.bytes, there.files),
            "{life}"
        );
        assert_eq!((told.reserved_files, told.uncounted), (0, 0));
    }
}

#[tokio::test]
async fn a_refusal_names_limit_used_and_asked() {
    let proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    let limits = quota(1, 0, 2, 0);
    let make = async |path: &str| {
        let request = granted(&proxy, vfolder, &limits, mkdir(vfolder, path.into()));
        proxy.files().create_directory(request).await
    };
    make("a").await.unwrap();
    make("b").await.unwrap();
    let status = make("c").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "QUOTA_EXCEEDED");
    let said = |key: &str| info.metadata[key].clone();
    let subject = format!("vfolder:{vfolder}");
    assert_eq!(
        (said("subject"), said("unit")),
        (subject.clone(), "files".into())
    );
    assert_eq!(
        [said("limit"), said("used"), said("asked")],
        ["2", "2", "1"]
    );
    let quota = status.get_details_quota_failure().unwrap();
    assert_eq!(quota.violations[0].subject, subject);
    // An old grant does not bring the old limit back, and a new one lifts it at once.
    let unlimited = Quota {
        revision: 2,
        vfolder: Limits::default(),
        ..limits.clone()
    };
    let lifted = granted(&proxy, vfolder, &unlimited, mkdir(vfolder, "c".into()));
    proxy.files().create_directory(lifted).await.unwrap();
    make("d").await.unwrap();
}
