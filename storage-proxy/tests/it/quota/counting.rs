//! While a tree is counted: who waits, for what, and who does not.

use std::{fs, sync::Arc, thread, time::Duration};

use tokio::time::timeout;
use uuid::Uuid;
use vfolder_common::{
    error::Reason,
    token::{Grant, GrantMode, Quota},
};
use vfolder_storage_proxy::{
    account::Amount,
    file::Files,
    task::{FailureKind, LOOKS, Removal, Stay, Work},
    tree::RelativePath,
};

use super::{accounts, found, quota, used};
use crate::{
    mounted::Mounted,
    support::{Rig, eventually},
    tasks::outcome,
};

const SOON: Duration = Duration::from_secs(20);
const PLENTY: u64 = 1 << 40;

fn grant(vfolder: Uuid, quota: &Quota) -> Grant {
    Grant {
        vfolder,
        volume: "v".into(),
        mode: GrantMode::ReadWrite,
        epoch: 1,
        subject: "alice".into(),
        path: Vec::new(),
        quota: Some(quota.clone()),
    }
}

fn path(path: &str) -> RelativePath {
    RelativePath::parse(path.as_bytes()).unwrap()
}

/// A vfolder with a tree that nobody has counted.
fn uncounted(rig: &Rig) -> Uuid {
    let vfolder = Uuid::now_v7();
    fs::create_dir_all(rig.tree(vfolder).join("there")).unwrap();
    vfolder
}

#[tokio::test]
async fn however_many_wait_for_a_count_others_are_served() {
    let rig = Rig::new();
    let (files, limits) = (Files::new(rig.tasks.clone()), quota(1, PLENTY, 0, 0));
    let make = |vfolder: Uuid, name: &str| {
        let (files, grant, name) = (files.clone(), grant(vfolder, &limits), path(name));
        tokio::spawn(async move { files.create_directory(grant, name, false, 0o755).await })
    };
    // Somebody counts, for as long as this is held.
    let counting = accounts(&rig).may_count().await;
    let many: Vec<_> = (0..LOOKS * 2).map(|_| uncounted(&rig)).collect();
    let waiting: Vec<_> = many.iter().map(|vfolder| make(*vfolder, "new")).collect();
    // A client that goes away and comes again is one more.
    let gone = make(many[0], "never");
    eventually("they are known", || {
        many.iter()
            .all(|vfolder| accounts(&rig).is_limited(*vfolder))
    })
    .await;
    gone.abort();
    for _ in 0..3 {
        let free = uncounted(&rig);
        let unlimited = grant(free, &quota(1, 0, 0, 0));
        let made = files.create_directory(unlimited, path("new"), false, 0o755);
        timeout(SOON, made).await.expect("it waits, too").unwrap();
    }
    assert!(waiting.iter().all(|one| !one.is_finished()));
    drop(counting);
    for one in waiting {
        timeout(SOON, one).await.unwrap().unwrap().unwrap();
    }
    let there = many.iter().map(|vfolder| found(&rig.tree(*vfolder)));
    assert_eq!(
        used(&rig),
        there.fold(Amount::default(), Amount::plus),
        "each counted once, and what was added"
    );
}

#[tokio::test]
async fn an_operation_that_waits_for_a_count_hears_that_it_is_cancelled() {
    let rig = Rig::new();
    let (vfolder, operation) = (uncounted(&rig), Uuid::now_v7());
    accounts(&rig).learn(vfolder, &quota(1, PLENTY, 0, 0));
    let _counting = accounts(&rig).may_count().await;
    let work = Work::Remove(Removal {
        vfolder,
        paths: vec![path("there")],
        missing_ok: false,
    });
    let task = rig.tasks.run(operation, rig.spec(work)).unwrap();
    // It takes the tree first, and then waits.
    let fence = rig.root().join(format!("journal/epochs/{vfolder}"));
    eventually("it has begun", || fence.exists()).await;
    let cancelled = rig.tasks.cancel_in_place(operation, "v", vfolder, 1);
    let published = timeout(SOON, cancelled).await.expect("it waits on");
    assert!(!published.unwrap());
    let ended = timeout(SOON, outcome(task)).await.unwrap();
    assert_eq!(ended.failure.unwrap().kind, FailureKind::Cancelled);
    assert!(rig.tree(vfolder).join("there").exists());
}

#[tokio::test]
async fn a_tree_that_cannot_be_counted_takes_nothing_more_and_holds_up_nobody_else() {
    let rig = Rig::new();
    let (broken, other) = (uncounted(&rig), uncounted(&rig));
    let mount_point = rig.tree(broken).join("there");
    // No walk goes on into another filesystem.
    let Some(_mounted) = Mounted::tmpfs(&mount_point, "size=1m") else {
        return;
    };
    let all = quota(1, 0, 0, PLENTY);
    for vfolder in [broken, other] {
        accounts(&rig).learn(vfolder, &all);
    }
    let files = Files::new(rig.tasks.clone());
    let make = async |vfolder| {
        let made = files.create_directory(grant(vfolder, &all), path("new"), false, 0o755);
        made.await
    };
    make(other).await.unwrap();
    assert_eq!(used(&rig), found(&rig.tree(other)));
    let refused = make(broken).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::IoError);
    assert!(refused.text().contains("can't be counted"), "{refused}");
    // Whoever takes something away comes in.
    fs::write(rig.tree(broken).join("old"), "old").unwrap();
    let removal = vfolder_storage_proxy::file::Removal {
        paths: vec![path("old")],
        recursive: false,
        missing_ok: false,
    };
    let removed = files.remove(grant(broken, &all), removal).await.unwrap();
    assert_eq!(removed[0].files, 1);
}

#[tokio::test]
async fn what_a_writer_did_who_panicked_is_counted() {
    let rig = Rig::new();
    let vfolder = uncounted(&rig);
    accounts(&rig).learn(vfolder, &quota(1, PLENTY, 0, 0));
    let writer = rig.enter(vfolder, Stay::Writing, 1).unwrap();
    assert_eq!(used(&rig).bytes, 0);
    let new = rig.tree(vfolder).join("new");
    let panicking = thread::spawn(move || {
        let _writer = writer;
        fs::write(new, [1; 100]).unwrap();
        panic!("as tested");
    });
    assert!(panicking.join().is_err());
    assert!(!accounts(&rig).is_ready(vfolder));
    let next = rig.enter(vfolder, Stay::Writing, 1).unwrap();
    assert_eq!(used(&rig).bytes, 100);
    drop((next, Arc::clone(&rig.volume)));
}
