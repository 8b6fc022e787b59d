//! What a storage-proxy has to hear about quotas, and does: also if it was away, and also of sessions.

use tonic::{Code, Status};
use vfolder_proto::v1::{
    CreateDirectoryRequest, CreateUploadRequest, MountMode, SetOwnerQuotaRequest, UploadTarget,
};
use vfolder_tests::{Engine, System, User, eventually, fill, on_each_engine, reason_of};

use crate::quotas::{clone, fits, limited, of_user, usage};

on_each_engine!(
    a_session_that_has_ended_counts_for_all_that_its_owner_writes,
    limits_set_while_a_storage_proxy_is_away_hold_once_it_is_back,
    a_dry_run_counts_what_is_set_aside,
);

async fn at_most(admin: &User, user: &str, max_bytes: i64, max_files: i64) {
    let request = SetOwnerQuotaRequest {
        owner: of_user(user),
        max_bytes,
        max_files,
        ..SetOwnerQuotaRequest::default()
    };
    admin.quotas.clone().set_owner_quota(request).await.unwrap();
}

async fn mkdir(user: &User, vfolder: &str, path: &str) -> Result<(), Status> {
    let request = CreateDirectoryRequest {
        vfolder_id: vfolder.into(),
        path: path.into(),
        ..CreateDirectoryRequest::default()
    };
    let made = user.files.clone().create_directory(request).await;
    made.map(drop)
}

fn is_quota(refused: Result<(), Status>) {
    let status = refused.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(reason_of(&status), "QUOTA_EXCEEDED");
}

async fn a_session_that_has_ended_counts_for_all_that_its_owner_writes(engine: Engine) {
    let system = System::start(engine).await;
    let (alice, admin) = (system.user("alice"), system.admin());
    let mounted = alice.create("mounted").await.unwrap().id;
    let other = alice.create("other").await.unwrap().id;
    at_most(&admin, "alice", 0, 10).await;
    for vfolder in [&mounted, &other] {
        mkdir(&alice, vfolder, "before").await.unwrap();
    }
    let mount = alice.mount(&mounted, "s", MountMode::ReadWrite).await;
    fill(&system.tree(&mounted), 20, 10);
    // Until it ends, nobody knows.
    mkdir(&alice, &other, "meanwhile").await.unwrap();
    alice.unmount(&mount.unwrap()).await.unwrap();
    is_quota(mkdir(&alice, &other, "after").await);
    assert!(usage(&alice).await.files > 20);
    // And of a clone of it, before a byte is copied.
    let small = limited("small", None, Some(5));
    let cloned = clone(&alice, &mounted, small, false).await;
    let ended = vfolder_tests::operation_metadata(&cloned);
    assert!(!system.tree(&ended.vfolder_id).exists());
    assert_eq!(ended.progress.unwrap_or_default().bytes_done, 0);
    system.doctor().await;
}

async fn limits_set_while_a_storage_proxy_is_away_hold_once_it_is_back(engine: Engine) {
    let mut system = System::start(engine).await;
    let (alice, admin) = (system.user("alice"), system.admin());
    let full = alice.create("full").await.unwrap().id;
    let other = alice.create("other").await.unwrap().id;
    fill(&system.tree(&full), 20, 10);
    system.storage.kill();
    at_most(&admin, "alice", 0, 10).await;
    system.start_storage().await;
    // Nobody has written into either, nor asked for a grant.
    eventually("it has heard of both", async || {
        let now = usage(&alice).await;
        (now.uncounted_vfolders == 2).then_some(())
    })
    .await;
    is_quota(mkdir(&alice, &other, "one more").await);
    at_most(&admin, "alice", 0, 100).await;
    mkdir(&alice, &other, "one more").await.unwrap();
}

async fn a_dry_run_counts_what_is_set_aside(engine: Engine) {
    let system = System::start(engine).await;
    let (alice, admin) = (system.user("alice"), system.admin());
    let source = alice.create("source").await.unwrap().id;
    std::fs::write(system.tree(&source).join("file"), [1; 100]).unwrap();
    at_most(&admin, "alice", 1_000, 0).await;
    let copy = || limited("copy", None, None);
    assert!(fits(&clone(&alice, &source, copy(), true).await));
    let upload = CreateUploadRequest {
        vfolder_id: source.clone(),
        target: Some(UploadTarget {
            path: "large".into(),
            ..UploadTarget::default()
        }),
        size: Some(850),
    };
    let upload = alice.files.clone().create_upload(upload).await;
    upload.unwrap();
    assert!(!fits(&clone(&alice, &source, copy(), true).await));
}
