//! The served process, over the wire.

use std::{fs, path::Path};

use tokio_stream::StreamExt as _;
use tonic::{Code, Request};
use uuid::Uuid;
use vfolder_common::token::{GRANT_HEADER, GrantMode, SERVICE_HEADER};
use vfolder_proto::{
    storage::{
        CancelTaskRequest, CloneTree, CreateTree, ForgetTaskRequest, GetTreeUsageRequest,
        GetVolumeRequest, HandshakeRequest, ListVolumeContentsRequest, PurgeTree, RunTaskRequest,
        StatTreeRequest, StorageVolumeState, run_task_request::Task,
    },
    v1::{CreateDirectoryRequest, FileType, ListFilesRequest},
};

use crate::proxy::{Proxy, refused, serve, wrong_fields};

#[tokio::test]
async fn a_vfolders_trees_are_made_used_copied_and_destroyed() {
    let proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    let id = vfolder.to_string();
    let make = |path: &str, bytes: &[u8]| {
        let (path, path_bytes) = (path.to_owned(), bytes.to_vec().into());
        let message = CreateDirectoryRequest {
            vfolder_id: id.clone(),
            path,
            path_bytes,
            parents: true,
            mode: 0o2770,
        };
        proxy.granted(vfolder, GrantMode::ReadWrite, message)
    };
    let made = proxy
        .files()
        .create_directory(make("a/b", b""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (made.name.as_str(), made.mode, made.r#type()),
        ("b", 0o2770, FileType::Directory)
    );
    proxy
        .files()
        .create_directory(make("", b"a/\xff"))
        .await
        .unwrap();
    std::os::unix::fs::symlink("/etc", proxy.tree(vfolder).join("out")).unwrap();

    let list = |path: &str, page_size, page_token: &str| {
        let (path, page_token) = (path.to_owned(), page_token.to_owned());
        let message = ListFilesRequest {
            vfolder_id: id.clone(),
            path,
            page_size,
            page_token,
            ..ListFilesRequest::default()
        };
        proxy.granted(vfolder, GrantMode::ReadOnly, message)
    };
    let first = proxy
        .files()
        .list_files(list("a", 1, ""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.entries[0].name, "b");
    let second = proxy
        .files()
        .list_files(list("a", 1, &first.next_page_token))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            &second.entries[0].name_bytes[..],
            second.next_page_token.as_str()
        ),
        (&b"\xff"[..], "")
    );

    for (request, fields) in [
        (list("../x", 0, ""), vec!["path"]),
        (list("a", -1, "zz"), vec!["page_size", "page_token"]),
        (list("", 1, &first.next_page_token), vec!["page_token"]),
    ] {
        assert_eq!(
            wrong_fields(proxy.files().list_files(request).await),
            fields
        );
    }
    for (path, code, reason) in [
        ("none", Code::NotFound, "FILE_NOT_FOUND"),
        ("out", Code::FailedPrecondition, "SYMLINK_IN_PATH"),
        ("out/passwd", Code::FailedPrecondition, "SYMLINK_IN_PATH"),
    ] {
        assert_eq!(
            refused(proxy.files().list_files(list(path, 0, "")).await),
            (code, reason.to_owned())
        );
    }

    let copy = Uuid::now_v7();
    let clone = Task::CloneTree(CloneTree {
        source_id: id.clone(),
        vfolder_id: copy.to_string(),
        source_epoch: 0,
        receipt: false,
    });
    let operation = Uuid::now_v7();
    let outcome = proxy.run(operation, clone.clone()).await.unwrap();
    assert_eq!(
        (outcome.failure, outcome.progress.unwrap().entries_done),
        (None, 5)
    );
    assert_eq!(
        fs::read_link(proxy.tree(copy).join("out")).unwrap(),
        Path::new("/etc")
    );
    let other = Task::CreateTree(CreateTree {
        vfolder_id: copy.to_string(),
    });
    assert_eq!(
        wrong_fields(proxy.run(operation, other).await),
        ["operation_id"]
    );
    let on_tree = |id: &str| {
        proxy.signed(StatTreeRequest {
            volume: "v".into(),
            vfolder_id: id.into(),
        })
    };
    assert!(
        proxy
            .storage()
            .stat_tree(on_tree(&id))
            .await
            .unwrap()
            .into_inner()
            .exists
    );
    let count = proxy.signed(GetTreeUsageRequest {
        volume: "v".into(),
        vfolder_id: copy.to_string(),
    });
    assert_eq!(
        proxy
            .storage()
            .get_tree_usage(count)
            .await
            .unwrap()
            .into_inner()
            .entries,
        5
    );

    let purge = Task::PurgeTree(PurgeTree {
        vfolder_id: id.clone(),
    });
    assert_eq!(
        proxy.run(Uuid::now_v7(), purge).await.unwrap().failure,
        None
    );
    assert!(
        !proxy
            .storage()
            .stat_tree(on_tree(&id))
            .await
            .unwrap()
            .into_inner()
            .exists
    );
    let gone = refused(proxy.files().list_files(list("", 0, "")).await);
    assert_eq!(gone, (Code::NotFound, "VFOLDER_NOT_FOUND".into()));
}

#[tokio::test]
async fn nobody_calls_without_a_token_or_beyond_a_grant() {
    let proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    let handshake = HandshakeRequest { nonce: "n".into() };
    let bare = proxy.storage().handshake(handshake.clone()).await;
    assert_eq!(
        refused(bare),
        (Code::Unauthenticated, "GRANT_MISSING".into())
    );
    let mut forged = Request::new(handshake);
    forged
        .metadata_mut()
        .insert(SERVICE_HEADER, "x.y.z".parse().unwrap());
    assert_eq!(
        refused(proxy.storage().handshake(forged).await),
        (Code::Unauthenticated, "GRANT_INVALID".into())
    );

    let list = ListFilesRequest {
        vfolder_id: vfolder.to_string(),
        ..Default::default()
    };
    assert_eq!(
        refused(proxy.files().list_files(list.clone()).await).1,
        "GRANT_MISSING"
    );
    // A service token is no grant.
    let mut other = Request::new(list.clone());
    let token = proxy.secret.sign_service_token().unwrap();
    other
        .metadata_mut()
        .insert(GRANT_HEADER, token.parse().unwrap());
    assert_eq!(
        refused(proxy.files().list_files(other).await).1,
        "GRANT_INVALID"
    );
    let elsewhere = proxy.granted(Uuid::now_v7(), GrantMode::ReadWrite, list);
    assert_eq!(
        refused(proxy.files().list_files(elsewhere).await),
        (Code::PermissionDenied, "GRANT_TOO_SMALL".into())
    );
    let make = CreateDirectoryRequest {
        vfolder_id: vfolder.to_string(),
        path: "x".into(),
        ..Default::default()
    };
    let reading = proxy.granted(vfolder, GrantMode::ReadOnly, make);
    assert_eq!(
        refused(proxy.files().create_directory(reading).await).1,
        "GRANT_TOO_SMALL"
    );
}

#[tokio::test]
async fn wrong_requests_name_their_fields() {
    let proxy = Proxy::start().await;
    let mut storage = proxy.storage();
    assert_eq!(
        wrong_fields(
            storage
                .handshake(proxy.signed(HandshakeRequest::default()))
                .await
        ),
        ["nonce"]
    );
    assert_eq!(
        wrong_fields(
            storage
                .run_task(proxy.signed(RunTaskRequest {
                    epoch: -1,
                    ..Default::default()
                }))
                .await
        ),
        ["operation_id", "volume", "epoch", "task"]
    );
    assert_eq!(
        wrong_fields(
            storage
                .cancel_task(proxy.signed(CancelTaskRequest::default()))
                .await
        ),
        ["operation_id", "vfolder_id"]
    );
    assert_eq!(
        wrong_fields(
            storage
                .forget_task(proxy.signed(ForgetTaskRequest::default()))
                .await
        ),
        ["operation_id"]
    );
    assert_eq!(
        wrong_fields(
            storage
                .stat_tree(proxy.signed(StatTreeRequest::default()))
                .await
        ),
        ["vfolder_id"]
    );
    let unknown = proxy.signed(GetVolumeRequest { volume: "w".into() });
    assert_eq!(
        refused(storage.get_volume(unknown).await),
        (Code::NotFound, "VOLUME_NOT_FOUND".into())
    );
}

#[tokio::test]
async fn volumes_tell_how_they_are() {
    let proxy = Proxy::start().await;
    let answer = proxy
        .storage()
        .handshake(proxy.signed(HandshakeRequest { nonce: "n".into() }))
        .await
        .unwrap();
    let answer = answer.into_inner();
    proxy.secret.verify_proof(&answer.proof, "n").unwrap();
    let [gone, v] = &answer.volumes[..] else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (gone.name.as_str(), gone.state()),
        ("gone", StorageVolumeState::Unavailable)
    );
    assert!(!gone.message.is_empty());
    assert_eq!(
        (v.name.as_str(), v.state()),
        ("v", StorageVolumeState::Serving)
    );
    assert!(v.total_bytes >= v.available_bytes && v.available_bytes > 0);
    let vfolder = proxy.create().await;
    let list = proxy.signed(ListVolumeContentsRequest { volume: "v".into() });
    let contents: Vec<_> = proxy
        .storage()
        .list_volume_contents(list)
        .await
        .unwrap()
        .into_inner()
        .collect()
        .await;
    assert!(
        contents
            .iter()
            .any(|one| one.as_ref().is_ok_and(|one| one.id == vfolder.to_string())),
        "{contents:?}"
    );
    let gone = proxy.signed(StatTreeRequest {
        volume: "gone".into(),
        vfolder_id: vfolder.to_string(),
    });
    assert_eq!(
        refused(proxy.storage().stat_tree(gone).await),
        (Code::Unavailable, "VOLUME_UNAVAILABLE".into())
    );
}

// The client must hear of the end while the test waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_on_sigterm_and_remembers_after_a_restart() {
    let proxy = Proxy::start().await;
    let source = proxy.create().await;
    fs::write(proxy.tree(source).join("file"), "x").unwrap();
    let (operation, copy) = (Uuid::now_v7(), Uuid::now_v7());
    let clone = Task::CloneTree(CloneTree {
        source_id: source.to_string(),
        vfolder_id: copy.to_string(),
        source_epoch: 0,
        receipt: false,
    });
    let first = proxy.run(operation, clone.clone()).await.unwrap();
    let second_owner = serve(proxy.dir.path()).wait_with_output().unwrap();
    assert!(!second_owner.status.success());
    let words = String::from_utf8_lossy(&second_owner.stderr).into_owned();
    assert!(
        words.contains(&format!("process {}", proxy.process.id())),
        "{words}"
    );
    let proxy = Proxy::start_in(proxy.stop()).await;
    let again = proxy.run(operation, clone).await.unwrap();
    assert_eq!((again.failure, again.progress), (None, first.progress));
}
