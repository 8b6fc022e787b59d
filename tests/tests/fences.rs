//! Grants that were good once: what was admitted before a vfolder was cloned, trashed, purged or reset can do nothing to it
//! afterwards, not even straight at the storage-proxy.

use std::{fs, time::Duration, vec::IntoIter};

use tonic::{Code, Request, Status, metadata::AsciiMetadataValue};
use uuid::Uuid;
use vfolder_common::token::{GRANT_HEADER, Grant, GrantMode, SharedSecret};
use vfolder_proto::v1::{
    AbortUploadRequest, CommitUploadRequest, CreateDirectoryRequest, CreateUploadRequest,
    ListFilesRequest, MoveFileRequest, PurgeVFolderRequest, RemoveFilesRequest, ResetStatusRequest,
    UploadTarget, VFolderStatus, WriteFileRequest, file_service_client::FileServiceClient,
    write_file_request::To,
};
use vfolder_tests::{Engine, System, User, assert_refused, eventually, fill, on_each_engine};

on_each_engine!(
    whoever_wrote_before_a_clone_can_write_no_more_after_it,
    whoever_wrote_before_the_trash_can_write_no_more_in_it,
    whoever_wrote_before_a_purge_can_write_no_more_after_it,
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

/// What a writer has begun before the vfolder changes hands.
struct Writer {
    grant: AsciiMetadataValue,
    id: String,
    upload: String,
}

impl Writer {
    /// Two directories and half an upload.
    async fn begin(system: &System, alice: &User, id: &str) -> Self {
        let grant = granted(system, alice, id, GrantMode::ReadWrite).await;
        for path in ["kept", "kept/inside"] {
            mkdir(system, &grant, id, path).await.unwrap();
        }
        let writer = Self {
            grant,
            id: id.to_owned(),
            upload: String::new(),
        };
        let create = writer.ask(CreateUploadRequest {
            vfolder_id: id.to_owned(),
            target: Some(target("uploaded")),
            size: Some(2),
        });
        let mut files = FileServiceClient::new(system.storage.channel());
        let upload = files.create_upload(create).await.unwrap().into_inner().id;
        let to = Some(To::UploadId(upload.clone()));
        let writer = Self { upload, ..writer };
        files.write_file(writer.stream(to)).await.unwrap();
        writer
    }

    fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let grant = self.grant.clone();
        request.metadata_mut().insert(GRANT_HEADER, grant);
        request
    }

    /// One byte.
    fn stream(&self, to: Option<To>) -> Request<tokio_stream::Iter<IntoIter<WriteFileRequest>>> {
        let message = WriteFileRequest {
            vfolder_id: self.id.clone(),
            to,
            data: vec![b'x'].into(),
            ..WriteFileRequest::default()
        };
        self.ask(tokio_stream::iter(vec![message]))
    }

    /// Every RPC that changes something is refused, the first time that it is tried.
    async fn assert_stale(&self, system: &System) {
        let mut files = FileServiceClient::new(system.storage.channel());
        let vfolder_id = self.id.clone();
        let upload_id = self.upload.clone();
        assert_stale(mkdir(system, &self.grant, &self.id, "after").await);
        let rename = self.ask(MoveFileRequest {
            vfolder_id: vfolder_id.clone(),
            path: "kept".into(),
            new_path: "moved".into(),
            ..MoveFileRequest::default()
        });
        assert_stale(files.move_file(rename).await.map(drop));
        let remove = self.ask(RemoveFilesRequest {
            vfolder_id: vfolder_id.clone(),
            paths: vec!["kept".into()],
            recursive: true,
            ..RemoveFilesRequest::default()
        });
        assert_stale(files.remove_files(remove).await.map(drop));
        let whole = Some(To::File(target("whole")));
        assert_stale(files.write_file(self.stream(whole)).await.map(drop));
        let create = self.ask(CreateUploadRequest {
            vfolder_id: vfolder_id.clone(),
            target: Some(target("another")),
            size: None,
        });
        assert_stale(files.create_upload(create).await.map(drop));
        let more = Some(To::UploadId(upload_id.clone()));
        assert_stale(files.write_file(self.stream(more)).await.map(drop));
        let commit = self.ask(CommitUploadRequest {
            vfolder_id: vfolder_id.clone(),
            upload_id: upload_id.clone(),
            check: None,
        });
        assert_stale(files.commit_upload(commit).await.map(drop));
        let abort = self.ask(AbortUploadRequest {
            vfolder_id,
            upload_id,
        });
        assert_stale(files.abort_upload(abort).await.map(drop));
    }

    /// And none of them has changed anything.
    fn assert_untouched(&self, system: &System) {
        let tree = system.tree(&self.id);
        let names = fs::read_dir(&tree).unwrap().map(|e| e.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["kept"]);
        assert!(tree.join("kept/inside").is_dir());
    }
}

fn target(path: &str) -> UploadTarget {
    UploadTarget {
        path: path.into(),
        ..UploadTarget::default()
    }
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

async fn whoever_wrote_before_a_clone_can_write_no_more_after_it(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let writer = Writer::begin(&system, &alice, &id).await;
    let clone = alice.clone_to(&id, "copy").await.unwrap();
    assert!(alice.wait(&clone.name).await.done);
    writer.assert_stale(&system).await;
    writer.assert_untouched(&system);
}

async fn whoever_wrote_before_the_trash_can_write_no_more_in_it(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let writer = Writer::begin(&system, &alice, &id).await;
    alice.trash(&id).await.unwrap();
    writer.assert_stale(&system).await;
    alice.restore(&id).await.unwrap();
    writer.assert_stale(&system).await;
    writer.assert_untouched(&system);
}

async fn whoever_wrote_before_a_purge_can_write_no_more_after_it(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let writer = Writer::begin(&system, &alice, &id).await;
    let purge = PurgeVFolderRequest {
        vfolder_id: id.clone(),
        skip_trash: true,
        ..PurgeVFolderRequest::default()
    };
    let purge = alice.vfolders.clone().purge_v_folder(purge).await.unwrap();
    assert!(alice.wait(&purge.into_inner().name).await.done);
    writer.assert_stale(&system).await;
    assert!(!system.tree(&id).exists());
}
