//! Each step of a task meets each error that a disk can give, one after the other: the task ends for the right reason or
//! succeeds, nothing half-made is visible, and nothing is left once it is forgotten.

use std::{fs, time::Duration};

use tokio::time::{sleep, timeout};
use vfolder_storage_proxy::faults::POINTS;

use crate::{
    oracle,
    proxy::{Proxy, set_up},
    scenario::{Kind, Scenario},
    support::eventually,
};

/// The points that are on the way of a create, a clone, a purge and work inside a tree, and of forgetting them.
fn is_on_the_way(point: &str) -> bool {
    let group = point.split_once('.').unwrap().0;
    !matches!(
        group,
        "cancel" | "files" | "open" | "put" | "reclaim" | "upload"
    ) && !matches!(
        point,
        "clone.noting" | "fence.answer" | "verdict.note" | "verdict.noted" | "remove.step"
    )
}

/// Ends one task, whatever it meets, and looks at what has become of it.
async fn end_one(proxy: &Proxy, kind: Kind, reason: &str) {
    let scenario = Scenario::new(kind, proxy.dir.path().join("v"));
    let trees = |scenario: &Scenario| {
        [scenario.source, scenario.vfolder].map(|vfolder| {
            let tree = scenario.tree(vfolder);
            tree.exists().then(|| oracle::describe(&tree))
        })
    };
    let [source, before] = trees(&scenario);
    let failure = scenario.run(proxy).await.unwrap().failure;
    let [source_now, now] = trees(&scenario);
    let told = failure.as_ref().map(|failure| failure.reason.as_str());
    match (kind, told) {
        (Kind::Create, None) => assert!(now.is_some()),
        // What was done before stays, and nothing else than what was asked for is done.
        (Kind::Extract | Kind::Remove, told) => {
            assert!(now.is_some());
            assert!(told.is_none_or(|told| told == reason), "{failure:?}");
        }
        (Kind::Clone, None) => oracle::assert_same(&source_now.unwrap(), &now.unwrap()),
        (_, None) => assert!(now.is_none()),
        (Kind::Create | Kind::Clone, Some(told)) => {
            assert_eq!((told, now.is_none()), (reason, true), "{failure:?}");
        }
        // Whole, or out of sight.
        (_, Some(told)) => {
            assert_eq!(told, reason, "{failure:?}");
            if let Some(now) = now {
                oracle::assert_same(&before.unwrap(), &now);
            }
        }
    }
    if kind == Kind::Clone {
        assert!(source.is_some());
    }
    // The verdict stays.
    if failure.is_some() {
        assert_eq!(scenario.run(proxy).await.unwrap().failure, failure);
    }
    // Each error is met once.
    let forgotten = async {
        while scenario.forget(proxy).await.is_err() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), forgotten).await.unwrap();
}

async fn each_step_meets(error: &str, reason: &str) {
    let armed: Vec<_> = POINTS.iter().filter(|p| is_on_the_way(p)).collect();
    let faults: Vec<_> = armed.iter().map(|p| format!("{p}={error}@1")).collect();
    let proxy = Proxy::start_armed(set_up(), &faults.join(","))
        .await
        .unwrap();
    let met = |point: &str| {
        let log = fs::read_to_string(proxy.dir.path().join("log")).unwrap();
        log.lines()
            .any(|line| line.contains("passage") && line.contains(&format!("\"{point}\"")))
    };
    let mut rounds = 0;
    while let Some(left) = armed.iter().find(|point| !met(point)) {
        assert!(rounds < 60, "{left} is not met");
        rounds += 1;
        for kind in [
            Kind::Create,
            Kind::Clone,
            Kind::Purge,
            Kind::Extract,
            Kind::Remove,
        ] {
            end_one(&proxy, kind, reason).await;
        }
    }
    // Also what the reclaimer could not destroy at once.
    let proxy = Proxy::start_armed(proxy.kill(), "").await.unwrap();
    let last = Scenario::new(Kind::Clone, proxy.dir.path().join("v"));
    last.check(&proxy, error).await;
}

// The client must hear of the end while the test waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_needs_no_space_for_its_notes() {
    for error in ["ENOSPC", "EDQUOT"] {
        let faults = format!("journal.write={error},fence.note={error}@1");
        let proxy = Proxy::start_armed(set_up(), &faults).await.unwrap();
        let scenario = Scenario::new(Kind::Purge, proxy.dir.path().join("v"));
        assert_eq!(scenario.run(&proxy).await.unwrap().failure, None);
        // The one that matters is written as soon as there is space again.
        let note = format!("v/journal/epochs/{}", scenario.vfolder);
        let note = proxy.dir.path().join(note);
        eventually("the purge's fence is noted", || note.exists()).await;
        scenario.check(&proxy, error).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_meets_a_full_disk() {
    each_step_meets("ENOSPC", "VOLUME_FULL").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_meets_a_quota() {
    each_step_meets("EDQUOT", "QUOTA_EXCEEDED").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_meets_a_broken_disk() {
    each_step_meets("EIO", "IO_ERROR").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_meets_a_disk_that_has_become_read_only() {
    each_step_meets("EROFS", "VOLUME_READ_ONLY").await;
}
