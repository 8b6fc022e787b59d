//! A sync that has failed is told once by the kernel, and what was lost looks well until it is read from disk again. So a clone
//! is not gone on with after that, even if it was killed before it could say that it had failed.

use std::fs;

use uuid::Uuid;
use vfolder_common::fault;
use vfolder_storage_proxy::{
    faults::POINTS,
    volume::{Holder, Volume, init},
};

use crate::{
    proxy::{Proxy, set_up},
    scenario::{Kind, Scenario},
};

#[test]
fn after_a_failed_sync_in_between_nothing_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    init(&path, "v").unwrap();
    let volume = Volume::new("v", &path, Holder::this(Uuid::now_v7()));
    let volume = volume.get().unwrap();
    let operation = Uuid::now_v7();
    let staging = volume.begin_staging(operation).unwrap();
    let first = staging.begin_copy().unwrap();
    let again = staging.for_checkpoints().unwrap();
    let second = again.checkpoint(&first, &Default::default()).unwrap();
    let resumed = volume.resume_staging(operation).unwrap();
    assert!(resumed.is_some_and(|(_, found)| found.durable == second.durable));

    fault::arm("clone.noting=EIO", POINTS).unwrap();
    again.checkpoint(&second, &Default::default()).unwrap_err();
    assert!(volume.resume_staging(operation).unwrap().is_none());
}

// The client must hear of the end while the test waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_last_sync_and_a_kill_a_clone_begins_anew() {
    let resumes = async |faults| {
        let proxy = Proxy::start_armed(set_up(), faults).await.unwrap();
        let scenario = Scenario::new(Kind::Clone, proxy.dir.path().join("v"));
        scenario.run(&proxy).await.unwrap_err();
        let proxy = Proxy::start_armed(proxy.died(faults).await, "");
        let proxy = proxy.await.unwrap();
        scenario.check(&proxy, faults).await;
        let log = fs::read_to_string(proxy.dir.path().join("log")).unwrap();
        log.contains("clone resumed")
    };
    assert!(resumes("clone.synced=kill").await);
    assert!(!resumes("clone.syncing=EIO,trash.begin=kill").await);
}
