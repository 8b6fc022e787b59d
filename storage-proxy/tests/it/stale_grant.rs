//! What an old grant can still do, over the wire: nothing, once the request that took the tree away was answered.

use std::{fs, time::Duration};

use tonic::Code;
use uuid::Uuid;
use vfolder_common::token::GrantMode;
use vfolder_proto::{
    storage::{CloneTree, CreateTree, FenceTreeRequest, PurgeTree, run_task_request::Task},
    v1::{CreateDirectoryRequest, ListFilesRequest},
};

use crate::proxy::{Proxy, refused, set_up};

async fn make(proxy: &Proxy, epoch: i64, vfolder: Uuid, path: &str) -> Result<(), (Code, String)> {
    let message = CreateDirectoryRequest {
        vfolder_id: vfolder.to_string(),
        path: path.into(),
        ..Default::default()
    };
    let request = proxy.granted_at(epoch, vfolder, GrantMode::ReadWrite, message);
    match proxy.files().create_directory(request).await {
        Ok(_) => Ok(()),
        refusal => Err(refused(refusal)),
    }
}

async fn list(proxy: &Proxy, epoch: i64, vfolder: Uuid) -> Result<(), (Code, String)> {
    let message = ListFilesRequest {
        vfolder_id: vfolder.to_string(),
        ..Default::default()
    };
    // A right to write that is out of date is still one to read.
    let request = proxy.granted_at(epoch, vfolder, GrantMode::ReadWrite, message);
    match proxy.files().list_files(request).await {
        Ok(_) => Ok(()),
        refusal => Err(refused(refusal)),
    }
}

fn stale() -> Result<(), (Code, String)> {
    Err((Code::Aborted, "GRANT_STALE".into()))
}

pub async fn fence(proxy: &Proxy, vfolder: Uuid, epoch: i64, readers: bool) {
    let request = FenceTreeRequest {
        volume: "v".into(),
        vfolder_id: vfolder.to_string(),
        epoch,
        readers,
    };
    let request = proxy.signed(request);
    proxy.storage().fence_tree(request).await.unwrap();
}

/// As [`fence`], which waits for who is held meanwhile: it is held itself, at `fence.noted`, where nobody older may go on
/// any more; then all are released.
pub async fn fence_held(proxy: &Proxy, vfolder: Uuid, epoch: i64) {
    let release = async {
        logged(proxy, "\"fence.noted\"").await;
        proxy.release();
    };
    tokio::join!(fence(proxy, vfolder, epoch, false), release);
}

async fn logged(proxy: &Proxy, text: &str) {
    let log = proxy.dir.path().join("log");
    while !fs::read_to_string(&log).unwrap().contains(text) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn clone(proxy: &Proxy, source: Uuid, source_epoch: i64) {
    let task = Task::CloneTree(CloneTree {
        source_id: source.to_string(),
        vfolder_id: Uuid::now_v7().to_string(),
        source_epoch,
        receipt: false,
    });
    let ended = proxy.run(Uuid::now_v7(), task).await.unwrap();
    assert_eq!(ended.failure, None);
}

async fn purge(proxy: &Proxy, vfolder: Uuid, epoch: i64) {
    let task = Task::PurgeTree(PurgeTree {
        vfolder_id: vfolder.to_string(),
    });
    let ended = proxy.run_at(epoch, Uuid::now_v7(), task).await.unwrap();
    assert_eq!(ended.failure, None);
}

// The client must hear of the end while the test waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_grant_writes_nothing_once_the_tree_was_taken_away() {
    let mut proxy = Proxy::start().await;
    let mut taken = Vec::new();
    for how in ["fence", "clone", "fence for readers too", "purge"] {
        let vfolder = proxy.create().await;
        assert_eq!(make(&proxy, 1, vfolder, "before").await, Ok(()), "{how}");
        match how {
            "fence" => fence(&proxy, vfolder, 2, false).await,
            "clone" => clone(&proxy, vfolder, 2).await,
            "purge" => purge(&proxy, vfolder, 2).await,
            _ => fence(&proxy, vfolder, 2, true).await,
        }
        let reading = match how {
            "fence" | "clone" => Ok(()),
            _ => stale(),
        };
        taken.push((how, vfolder, reading));
    }
    for life in 0..2 {
        for (how, vfolder, reading) in &taken {
            let refusal = make(&proxy, 1, *vfolder, "after").await;
            assert_eq!(refusal, stale(), "{how}, life {life}");
            assert_eq!(&list(&proxy, 1, *vfolder).await, reading, "{how}, {life}");
            assert!(!proxy.tree(*vfolder).join("after").exists());
            if *how != "purge" {
                let path = format!("now{life}");
                assert_eq!(make(&proxy, 2, *vfolder, &path).await, Ok(()), "{how}");
            }
        }
        if life == 0 {
            proxy = Proxy::start_in(proxy.stop()).await;
        }
    }
}

/// A task that is paused at a fault point, or held there until `meanwhile` is over or releases it.
pub async fn held_up<T>(
    proxy: &Proxy,
    at: &str,
    task: impl Future<Output = T>,
    meanwhile: impl Future<Output = ()>,
) -> T {
    let arrived = async {
        logged(proxy, at).await;
        meanwhile.await;
        proxy.release();
    };
    tokio::join!(task, arrived).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_under_way_is_waited_for_by_a_fence_and_by_a_purge() {
    let armed = Proxy::start_armed(set_up(), "publish.begin=pause").await;
    let proxy = armed.unwrap();
    for (passage, purging) in [(1, false), (2, true)] {
        let vfolder = Uuid::now_v7();
        let task = Task::CreateTree(CreateTree {
            vfolder_id: vfolder.to_string(),
        });
        let (create, there) = (Uuid::now_v7(), || proxy.tree(vfolder).exists());
        let at = format!("\"publish.begin\" passage={passage}");
        let made = held_up(&proxy, &at, proxy.run(create, task), async {
            match purging {
                true => purge(&proxy, vfolder, 2).await,
                false => fence(&proxy, vfolder, 2, false).await,
            }
            // Of what was answered nothing is taken back.
            assert_eq!(there(), !purging);
        });
        assert_eq!(made.await.unwrap().failure, None);
        assert_eq!(there(), !purging);
    }
}

/// A clone that is held up, and ends stale by what happens meanwhile.
async fn outdated_at(point: &str, by_a_fence: bool) {
    // The first to be noted is the clone's own.
    let faults = format!("{point}=hold@1,fence.noted=hold@2");
    let armed = Proxy::start_armed(set_up(), &faults).await;
    let proxy = armed.unwrap();
    let (source, operation, vfolder) = (proxy.create().await, Uuid::now_v7(), Uuid::now_v7());
    assert_eq!(make(&proxy, 1, source, "some").await, Ok(()));
    let task = Task::CloneTree(CloneTree {
        source_id: source.to_string(),
        vfolder_id: vfolder.to_string(),
        source_epoch: 2,
        receipt: false,
    });
    let passage = format!("\"{point}\" passage=1");
    let cloned = held_up(
        &proxy,
        &passage,
        proxy.run(operation, task.clone()),
        async {
            match by_a_fence {
                true => fence_held(&proxy, source, 3).await,
                false => assert_eq!(make(&proxy, 3, source, "new").await, Ok(())),
            }
        },
    );
    let failure = cloned.await.unwrap().failure.unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.retryable),
        ("GRANT_STALE", false),
        "{failure:?}"
    );
    assert!(!proxy.tree(vfolder).exists());
    let staging = proxy.dir.path().join(format!("v/staging/{operation}"));
    assert!(!staging.exists());
    // Also when the writer is gone.
    assert_eq!(
        proxy.run(operation, task).await.unwrap().failure,
        Some(failure)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_clone_is_cut_by_a_newer_writer() {
    outdated_at("clone.copying", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_clone_is_cut_by_a_fence() {
    outdated_at("clone.copying", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_who_comes_when_all_is_copied_still_ends_the_clone() {
    outdated_at("clone.totalled", false).await;
}

#[tokio::test]
async fn an_older_fence_changes_nothing_and_a_newer_grant_raises_none() {
    let proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    fence(&proxy, vfolder, 5, false).await;
    fence(&proxy, vfolder, 3, true).await;
    assert_eq!(make(&proxy, 4, vfolder, "four").await, stale());
    assert_eq!(list(&proxy, 2, vfolder).await, stale());
    assert_eq!(list(&proxy, 3, vfolder).await, Ok(()));
    assert_eq!(make(&proxy, 9, vfolder, "nine").await, Ok(()));
    assert_eq!(make(&proxy, 5, vfolder, "five").await, Ok(()));
}
