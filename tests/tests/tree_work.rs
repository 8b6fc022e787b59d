//! Work inside a vfolder's tree: extractions and removals, while which it is PERFORMING.

use std::{fs, path::Path, process::Command, time::Duration};

use tonic::{Code, Request, metadata::AsciiMetadataValue};
use uuid::Uuid;
use vfolder_common::token::{GRANT_HEADER, Grant, GrantMode, SharedSecret};
use vfolder_manager::store::{
    StoreError,
    migrate::{Direction, migrate},
};
use vfolder_proto::{
    google::longrunning::{Operation, operation::Result as Outcome},
    v1::{
        CreateDirectoryRequest, ExistingFiles, ExplainRequest, ExtractArchiveRequest,
        ListFilesRequest, MountMode, OperationKind, PauseVolumeRequest, RemoveTreeRequest,
        ResumeVolumeRequest, VFolderStatus, file_service_client::FileServiceClient,
    },
};
use vfolder_tests::{
    Engine, System, User, assert_refused, assert_same_tree, count_entries, fill, on_each_engine,
    operation_metadata,
};

mod kills;

on_each_engine!(
    an_extraction_and_a_removal_do_what_they_say,
    while_it_is_performing_a_vfolder_can_be_read_and_nothing_else,
    an_extraction_that_fails_says_why_and_the_vfolder_is_ready,
    a_cancelled_removal_leaves_the_vfolder_ready,
    a_write_grant_from_before_is_refused_afterwards,
    an_older_manager_is_not_gone_back_to_while_there_is_work_in_a_tree,
);

fn extract(id: &str, path: &str) -> ExtractArchiveRequest {
    ExtractArchiveRequest {
        vfolder_id: id.into(),
        path: path.into(),
        destination: "out".into(),
        ..ExtractArchiveRequest::default()
    }
}

fn remove(id: &str, path: &str) -> RemoveTreeRequest {
    RemoveTreeRequest {
        vfolder_id: id.into(),
        paths: vec![path.into()],
        ..RemoveTreeRequest::default()
    }
}

async fn begin_extract(user: &User, request: ExtractArchiveRequest) -> Operation {
    let answer = user.trees.clone().extract_archive(request).await;
    answer.unwrap().into_inner()
}

async fn begin_remove(user: &User, request: RemoveTreeRequest) -> Operation {
    let answer = user.trees.clone().remove_tree(request).await;
    answer.unwrap().into_inner()
}

/// `tree`/packed.tar.gz, of so many files; answers where these are.
fn pack(system: &System, tree: &Path, files: usize) -> std::path::PathBuf {
    let source = system.folder().join("source");
    fs::create_dir_all(&source).unwrap();
    fill(&source, files, 300);
    let packed = Command::new("tar")
        .args(["--format=pax", "-czf"])
        .arg(tree.join("packed.tar.gz"))
        .arg("-C")
        .arg(&source)
        .arg(".")
        .status();
    assert!(packed.unwrap().success());
    source
}

fn error_of(operation: Operation) -> (Code, String) {
    match operation.result {
        Some(Outcome::Error(status)) => (Code::from_i32(status.code), status.message),
        other => panic!("{other:?}"),
    }
}

async fn an_extraction_and_a_removal_do_what_they_say(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let source = pack(&system, &system.tree(&id), 300);
    let request = ExtractArchiveRequest {
        request_id: Uuid::new_v4().to_string(),
        ..extract(&id, "packed.tar.gz")
    };
    let begun = begin_extract(&alice, request.clone()).await;
    let ended = alice.wait(&begun.name).await;
    assert!(
        matches!(ended.result, Some(Outcome::Response(_))),
        "{ended:?}"
    );
    let metadata = operation_metadata(&ended);
    assert_eq!(metadata.kind(), OperationKind::Extract);
    let progress = metadata.progress.unwrap();
    assert_eq!(progress.files_done, progress.files_total);
    assert_same_tree(&source, &system.tree(&id).join("out"));
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    // The same request again, and another one under its id.
    assert_eq!(
        begin_extract(&alice, request.clone()).await.name,
        begun.name
    );
    let other = ExtractArchiveRequest {
        existing: ExistingFiles::Replace.into(),
        ..request
    };
    let other = alice.trees.clone().extract_archive(other).await;
    assert_refused(other, Code::AlreadyExists, "REQUEST_ID_REUSED");

    let begun = begin_remove(&alice, remove(&id, "out")).await;
    let ended = alice.wait(&begun.name).await;
    assert!(
        matches!(ended.result, Some(Outcome::Response(_))),
        "{ended:?}"
    );
    let metadata = operation_metadata(&ended);
    assert_eq!(metadata.kind(), OperationKind::Remove);
    let entries = i64::try_from(count_entries(&source)).unwrap();
    let removed = metadata.progress.unwrap().files_done;
    assert!(
        [entries, entries + 1].contains(&removed),
        "{removed} of {entries}"
    );
    assert_eq!(fs::read_dir(system.tree(&id)).unwrap().count(), 1);
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    system.assert_sound().await;
}

async fn pause(system: &System) -> String {
    let admin = system.admin();
    let name = system.volumes()[0].name.clone();
    let request = PauseVolumeRequest {
        volume: name.clone(),
        ..PauseVolumeRequest::default()
    };
    admin.volumes.clone().pause_volume(request).await.unwrap();
    name
}

async fn resume(system: &System, name: String) {
    let request = ResumeVolumeRequest { volume: name };
    let admin = system.admin();
    admin.volumes.clone().resume_volume(request).await.unwrap();
}

async fn while_it_is_performing_a_vfolder_can_be_read_and_nothing_else(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    fs::write(system.tree(&id).join("file"), "x").unwrap();
    let paused = pause(&system).await;
    let begun = begin_remove(&alice, remove(&id, "file")).await;
    assert_eq!(alice.status(&id).await, VFolderStatus::Performing);
    let busy = |answer: Result<(), tonic::Status>| {
        assert_refused(answer, Code::Aborted, "VFOLDER_BUSY");
    };
    busy(alice.trash(&id).await.map(drop));
    busy(alice.clone_to(&id, "copy").await.map(drop));
    busy(
        alice
            .mount(&id, "writer", MountMode::ReadWrite)
            .await
            .map(drop),
    );
    let again = alice.trees.clone().remove_tree(remove(&id, "file")).await;
    busy(again.map(drop));
    let request = CreateDirectoryRequest {
        vfolder_id: id.clone(),
        path: "d".into(),
        ..CreateDirectoryRequest::default()
    };
    let made = alice.files.clone().create_directory(request).await;
    busy(made.map(drop));
    let request = ListFilesRequest {
        vfolder_id: id.clone(),
        ..ListFilesRequest::default()
    };
    let listed = alice.files.clone().list_files(request).await.unwrap();
    assert_eq!(listed.into_inner().entries.len(), 1);
    let request = ExplainRequest {
        vfolder_id: id.clone(),
    };
    let explained = alice.vfolders.clone().explain(request).await.unwrap();
    let text = explained.into_inner().explanation;
    assert!(text.contains(&begun.name), "{text}");
    let mount = alice
        .mount(&id, "reader", MountMode::ReadOnly)
        .await
        .unwrap();
    system.assert_sound().await;
    resume(&system, paused).await;
    assert!(alice.wait(&begun.name).await.done);
    assert_eq!(alice.status(&id).await, VFolderStatus::Mounted);
    alice.unmount(&mount).await.unwrap();
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    system.assert_sound().await;
}

async fn an_extraction_that_fails_says_why_and_the_vfolder_is_ready(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let tree = system.tree(&id);
    fs::write(tree.join("garbage"), "no archive").unwrap();
    pack(&system, &tree, 5);
    fs::create_dir(tree.join("out")).unwrap();
    for name in fs::read_dir(system.folder().join("source")).unwrap() {
        let name = name.unwrap().file_name();
        fs::write(tree.join("out").join(name), "mine").unwrap();
    }
    for (archive, code) in [
        ("garbage", Code::FailedPrecondition),
        ("none", Code::NotFound),
        ("packed.tar.gz", Code::AlreadyExists),
    ] {
        let begun = begin_extract(&alice, extract(&id, archive)).await;
        let (told, message) = error_of(alice.wait(&begun.name).await);
        // What is in a directory's place is told as that.
        assert!(
            told == code || message.contains("no directory"),
            "{archive}: {told:?} {message}"
        );
        assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    }
    let begun = begin_remove(&alice, remove(&id, "none")).await;
    let (told, message) = error_of(alice.wait(&begun.name).await);
    assert_eq!(told, Code::NotFound, "{message}");
    assert!(message.contains("none"));
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    system.assert_sound().await;
}

async fn a_cancelled_removal_leaves_the_vfolder_ready(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    fs::write(system.tree(&id).join("file"), "x").unwrap();
    let paused = pause(&system).await;
    let begun = begin_remove(&alice, remove(&id, "file")).await;
    alice.cancel(&begun.name).await.unwrap();
    let (code, _) = error_of(alice.wait(&begun.name).await);
    assert_eq!(code, Code::Cancelled);
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    assert!(system.tree(&id).join("file").exists());
    resume(&system, paused).await;
    // Once it is at work, too.
    fs::create_dir(system.tree(&id).join("many")).unwrap();
    fill(&system.tree(&id).join("many"), 5_000, 10);
    let begun = begin_remove(&alice, remove(&id, "many")).await;
    alice.cancel(&begun.name).await.unwrap();
    let ended = alice.wait(&begun.name).await;
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    let gone = !system.tree(&id).join("many").exists();
    // The wish may come between the last unlink and the end: then all is gone, and it was cancelled.
    match ended.result {
        Some(Outcome::Response(_)) => assert!(gone),
        _ => assert_eq!(error_of(ended).0, Code::Cancelled),
    }
    let begun = begin_remove(&alice, remove(&id, "file")).await;
    assert!(matches!(
        alice.wait(&begun.name).await.result,
        Some(Outcome::Response(_))
    ));
    system.assert_sound().await;
}

/// Older ones would not know what it is, and its vfolder would stay PERFORMING for good.
async fn an_older_manager_is_not_gone_back_to_while_there_is_work_in_a_tree(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    fs::write(system.tree(&id).join("file"), "x").unwrap();
    let paused = pause(&system).await;
    let begun = begin_remove(&alice, remove(&id, "file")).await;
    system.manager.kill();
    let to_before = async |url: &str| {
        loop {
            let found = migrate(url, Direction::Look).await.unwrap();
            if found.pending.iter().any(|name| name.contains("tree_work")) {
                return Ok::<_, StoreError>(());
            }
            migrate(url, Direction::Revert(1)).await?;
        }
    };
    let refused = to_before(&system.database.url()).await.unwrap_err();
    assert!(
        format!("{refused:?}").contains("wait for EXTRACT and REMOVE"),
        "{refused:?}"
    );
    migrate(&system.database.url(), Direction::Up)
        .await
        .unwrap();
    system.start_manager().await;
    let alice = system.user("alice");
    resume(&system, paused).await;
    assert!(alice.wait(&begun.name).await.done);
    assert!(!system.tree(&id).join("file").exists());
    system.manager.kill();
    to_before(&system.database.url()).await.unwrap();
}

async fn a_write_grant_from_before_is_refused_afterwards(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let vfolder = alice.create("data").await.unwrap();
    let id = vfolder.id.clone();
    fs::write(system.tree(&id).join("file"), "x").unwrap();
    let secret = SharedSecret::new(&fs::read(system.storage_secret_file()).unwrap()).unwrap();
    let sign = |epoch| -> AsciiMetadataValue {
        let grant = Grant {
            vfolder: Uuid::parse_str(&id).unwrap(),
            volume: vfolder.volume.clone(),
            mode: GrantMode::ReadWrite,
            epoch,
            subject: "alice".into(),
            path: Vec::new(),
            quota: None,
        };
        let token = secret.sign_grant(&grant, Duration::from_secs(60)).unwrap();
        token.parse().unwrap()
    };
    let (before, begun) = (
        sign(vfolder.epoch),
        begin_remove(&alice, remove(&id, "file")).await,
    );
    assert!(alice.wait(&begun.name).await.done);
    for restarted in [false, true] {
        if restarted {
            system.storage.kill();
            system.start_storage().await;
        }
        let now = alice.get(&id).await.unwrap().epoch;
        for (grant, path) in [(&before, "old"), (&sign(now), "new")] {
            let mut request = Request::new(CreateDirectoryRequest {
                vfolder_id: id.clone(),
                path: format!("{path}-{restarted}"),
                ..CreateDirectoryRequest::default()
            });
            request.metadata_mut().insert(GRANT_HEADER, grant.clone());
            let mut files = FileServiceClient::new(system.storage.channel());
            let answer = files.create_directory(request).await;
            match path {
                "old" => drop(assert_refused(answer, Code::Aborted, "GRANT_STALE")),
                _ => drop(answer.unwrap()),
            }
        }
    }
}
