//! Grants that were good once: what was admitted before a vfolder was cloned, trashed, purged or reset can do nothing to it
//! afterwards, not even straight at the storage-proxy.

use std::{fs, time::Duration};

use tonic::{Code, Request, Status, metadata::AsciiMetadataValue};
use uuid::Uuid;
use vfolder_common::token::{GRANT_HEADER, Grant, GrantMode, SharedSecret};
use vfolder_proto::v1::{
    CreateDirectoryRequest, ListFilesRequest, ResetStatusRequest, VFolderStatus,
    file_service_client::FileServiceClient,
};
use vfolder_tests::{Engine, System, User, assert_refused, eventually, fill, on_each_engine};

on_each_engine!(
    a_write_grant_from_before_a_clone_is_refused_after_it,
    a_write_grant_from_before_the_trash_is_refused_in_it,
    a_grant_from_before_a_purge_is_refused_after_it,
    a_grant_from_before_a_reset_is_refused_after_it,
    what_the_storage_proxy_was_not_told_it_is_told_when_it_is_back,
);

/// What the manager would have handed out for a vfolder as it is now.
async fn granted(system: &System, user: &User, id: &str, mode: GrantMode) -> AsciiMetadataValue {
    let vfolder = user.get(id).await.unwrap();
    let secret = fs::read(system.storage_secret_file()).unwrap();
    let grant = Grant {
        vfolder: Uuid::parse_str(id).unwrap(),
        volume: vfolder.volume.clone(),
        mode,
        epoch: vfolder.epoch,
        subject: "alice".into(),
        path: Vec::new(),
        quota: None,
    };
    let secret = SharedSecret::new(&secret).unwrap();
    let token = secret.sign_grant(&grant, Duration::from_secs(60)).unwrap();
    token.parse().unwrap()
}

/// Straight to the storage-proxy.
async fn mkdir(
    system: &System,
    grant: &AsciiMetadataValue,
    id: &str,
    path: &str,
) -> Result<(), Status> {
    let mut request = Request::new(CreateDirectoryRequest {
        vfolder_id: id.into(),
        path: path.into(),
        ..CreateDirectoryRequest::default()
    });
    request.metadata_mut().insert(GRANT_HEADER, grant.clone());
    let mut files = FileServiceClient::new(system.storage.channel());
    files.create_directory(request).await.map(drop)
}

async fn list(system: &System, grant: &AsciiMetadataValue, id: &str) -> Result<(), Status> {
    let mut request = Request::new(ListFilesRequest {
        vfolder_id: id.into(),
        ..ListFilesRequest::default()
    });
    request.metadata_mut().insert(GRANT_HEADER, grant.clone());
    let mut files = FileServiceClient::new(system.storage.channel());
    files.list_files(request).await.map(drop)
}

fn assert_stale(answer: Result<(), Status>) {
    assert_refused(answer, Code::Aborted, "GRANT_STALE");
}

async fn a_write_grant_from_before_a_clone_is_refused_after_it(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let (write, read) = (
        granted(&system, &alice, &id, GrantMode::ReadWrite).await,
        granted(&system, &alice, &id, GrantMode::ReadOnly).await,
    );
    mkdir(&system, &write, &id, "before").await.unwrap();
    let clone = alice.clone_to(&id, "copy").await.unwrap();
    assert!(alice.wait(&clone.name).await.done);
    assert_stale(mkdir(&system, &write, &id, "after").await);
    // A clone takes nothing from readers.
    list(&system, &read, &id).await.unwrap();
    system.storage.kill();
    system.start_storage().await;
    assert_stale(mkdir(&system, &write, &id, "after a restart").await);
    // The gate gives out new ones.
    let new = granted(&system, &alice, &id, GrantMode::ReadWrite).await;
    mkdir(&system, &new, &id, "with a new one").await.unwrap();
    let names: Vec<_> = fs::read_dir(system.tree(&id))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

async fn a_write_grant_from_before_the_trash_is_refused_in_it(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let (write, read) = (
        granted(&system, &alice, &id, GrantMode::ReadWrite).await,
        granted(&system, &alice, &id, GrantMode::ReadOnly).await,
    );
    alice.trash(&id).await.unwrap();
    assert_stale(mkdir(&system, &write, &id, "after").await);
    // What is in the trash can be looked at.
    list(&system, &read, &id).await.unwrap();
    alice.restore(&id).await.unwrap();
    assert_stale(mkdir(&system, &write, &id, "restored").await);
    system.storage.kill();
    system.start_storage().await;
    assert_stale(mkdir(&system, &write, &id, "after a restart").await);
    let new = granted(&system, &alice, &id, GrantMode::ReadWrite).await;
    mkdir(&system, &new, &id, "with a new one").await.unwrap();
}

async fn a_grant_from_before_a_purge_is_refused_after_it(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    fill(&system.tree(&id), 50, 10);
    alice.trash(&id).await.unwrap();
    let write = granted(&system, &alice, &id, GrantMode::ReadWrite).await;
    let purge = alice.purge(&id).await.unwrap();
    assert!(alice.wait(&purge.name).await.done);
    assert_stale(mkdir(&system, &write, &id, "after").await);
    system.storage.kill();
    system.start_storage().await;
    assert_stale(mkdir(&system, &write, &id, "after a restart").await);
    assert!(!system.tree(&id).exists());
}

async fn a_grant_from_before_a_reset_is_refused_after_it(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let write = granted(&system, &alice, &id, GrantMode::ReadWrite).await;
    let staged =
        format!("UPDATE vfolders SET status = 'ERROR', status_reason = 'staged' WHERE id = '{id}'");
    system.database.execute(&staged).await;
    let reset = ResetStatusRequest {
        vfolder_id: id.clone(),
        ..ResetStatusRequest::default()
    };
    let admin = system.admin();
    admin.vfolders.clone().reset_status(reset).await.unwrap();
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    assert_stale(mkdir(&system, &write, &id, "after").await);
    let new = granted(&system, &alice, &id, GrantMode::ReadWrite).await;
    mkdir(&system, &new, &id, "with a new one").await.unwrap();
}

async fn what_the_storage_proxy_was_not_told_it_is_told_when_it_is_back(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let write = granted(&system, &alice, &id, GrantMode::ReadWrite).await;
    // As if it had gone between the manager's look at it and the commit.
    let times = (system.database.time(0), system.database.time(86_400));
    let trashed = format!(
        "UPDATE vfolders SET status = 'TRASHED', epoch = epoch + 1, delete_time = {}, purge_time = {} WHERE id = '{id}'",
        times.0, times.1
    );
    system.database.execute(&trashed).await;
    eventually("the storage-proxy is told", async || {
        let told = format!("SELECT CAST(count(*) AS TEXT) AS value FROM vfolders WHERE id = '{id}' AND fenced_epoch = epoch");
        (system.database.values(&told).await == ["1"]).then_some(())
    })
    .await;
    assert_stale(mkdir(&system, &write, &id, "after").await);
}
