//! Who may: scopes, kinds of grants, garbage, and grants that were good once.

use std::{fs, time::Duration};

use tonic::{Code, Request, transport::Channel};
use uuid::Uuid;
use vfolder_common::token::{GRANT_HEADER, Grant, GrantMode};
use vfolder_proto::v1::{
    CreateDirectoryRequest, ListFilesRequest, file_service_client::FileServiceClient,
};

use super::{Direct, as_bearer, curl};
use crate::proxy::refused;

/// By gRPC, with the grant where users put it.
fn bearing<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

fn files(direct: &Direct) -> FileServiceClient<Channel> {
    let channel = Channel::from_shared(direct.url.clone()).unwrap();
    FileServiceClient::new(channel.connect_lazy())
}

fn list(direct: &Direct, path: &str) -> ListFilesRequest {
    ListFilesRequest {
        vfolder_id: direct.vfolder.to_string(),
        path: path.into(),
        ..ListFilesRequest::default()
    }
}

fn mkdir(direct: &Direct, path: &str) -> CreateDirectoryRequest {
    CreateDirectoryRequest {
        vfolder_id: direct.vfolder.to_string(),
        path: path.into(),
        ..CreateDirectoryRequest::default()
    }
}

#[tokio::test]
async fn a_grant_for_a_directory_is_for_nothing_beside_it() {
    let direct = Direct::start().await;
    for (dir, file) in [("a", "a/x"), ("ab", "ab/x"), ("b", "b/x")] {
        fs::create_dir(direct.tree().join(dir)).unwrap();
        fs::write(direct.tree().join(file), file).unwrap();
    }
    let grant = direct.grant(GrantMode::ReadWrite, b"a");
    let get = |path: &str| as_bearer(&grant, &[&direct.file(path)]);
    assert_eq!(get("a/x").body, b"a/x");
    get("a/missing").assert_refused(404, "FILE_NOT_FOUND");
    for beside in ["ab/x", "b/x", "ab", "", "x", "A/x"] {
        get(beside).assert_refused(403, "GRANT_TOO_SMALL");
    }
    get("a/../b/x").assert_refused(400, "FIELD_INVALID");
    get("a%2f..%2fb%2fx").assert_refused(400, "FIELD_INVALID");
    let mut files = files(&direct);
    files
        .list_files(bearing(&grant, list(&direct, "a")))
        .await
        .unwrap();
    for beside in ["", "ab", "b"] {
        let listed = files
            .list_files(bearing(&grant, list(&direct, beside)))
            .await;
        let made = files
            .create_directory(bearing(
                &grant,
                mkdir(&direct, &format!("{beside}/n").trim_start_matches('/')),
            ))
            .await;
        for refusal in [refused(listed), refused(made)] {
            assert_eq!(refusal, (Code::PermissionDenied, "GRANT_TOO_SMALL".into()));
        }
    }
    // For one file.
    let one = direct.grant(GrantMode::ReadOnly, b"b/x");
    assert_eq!(as_bearer(&one, &[&direct.file("b/x")]).status, 200);
    as_bearer(&one, &[&direct.file("b")]).assert_refused(403, "GRANT_TOO_SMALL");
}

#[tokio::test]
async fn a_grant_is_for_one_vfolder_and_for_what_it_says() {
    let direct = Direct::start().await;
    fs::write(direct.tree().join("f"), "data").unwrap();
    let other = Grant {
        vfolder: Uuid::now_v7(),
        ..direct.granting(1, GrantMode::ReadWrite, b"")
    };
    let other = direct
        .proxy
        .secret
        .sign_grant(&other, Duration::from_secs(60))
        .unwrap();
    as_bearer(&other, &[&direct.file("f")]).assert_refused(403, "GRANT_TOO_SMALL");
    let read = direct.grant(GrantMode::ReadOnly, b"");
    let made = files(&direct)
        .create_directory(bearing(&read, mkdir(&direct, "d")))
        .await;
    assert_eq!(
        refused(made),
        (Code::PermissionDenied, "GRANT_TOO_SMALL".into())
    );
    let uploads = format!("{}/uploads", direct.base());
    let made = as_bearer(
        &read,
        &[
            "-X",
            "POST",
            "-H",
            "Tus-Resumable: 1.0.0",
            "-H",
            "Upload-Length: 1",
            &uploads,
        ],
    );
    made.assert_refused(403, "GRANT_TOO_SMALL");
    // In a link.
    let link = format!("{}?grant={read}", direct.file("f"));
    assert_eq!(curl(&[&link]).body, b"data");
    // As the manager sends it.
    let header = format!("{GRANT_HEADER}: {read}");
    assert_eq!(curl(&["-H", &header, &direct.file("f")]).body, b"data");
}

#[tokio::test]
async fn nothing_but_a_signed_grant_of_now_admits() {
    let direct = Direct::start().await;
    fs::write(direct.tree().join("f"), "data").unwrap();
    let good = direct.grant(GrantMode::ReadOnly, b"");
    let ended = direct.granting(1, GrantMode::ReadOnly, b"");
    let secret = &direct.proxy.secret;
    let ended = secret.sign_grant_until(&ended, 1_000_000_000).unwrap();
    let service = secret.sign_service_token().unwrap();
    let mut flipped = good.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let url = direct.file("f");
    let none = curl(&[&url]);
    none.assert_refused(401, "GRANT_MISSING");
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"vfolder\"");
    for bad in [ended.as_str(), &service, &flipped, "x", "a.b.c", &good[1..]] {
        let got = as_bearer(bad, &[&url]);
        got.assert_refused(401, "GRANT_INVALID");
        assert!(
            got.header("www-authenticate").contains("invalid_token"),
            "{got:?}"
        );
        let by_grpc = files(&direct)
            .list_files(bearing(bad, list(&direct, "")))
            .await;
        assert_eq!(
            refused(by_grpc),
            (Code::Unauthenticated, "GRANT_INVALID".into())
        );
        if !bad.is_empty() {
            let link = format!("{url}?grant={bad}");
            curl(&[&link]).assert_refused(401, "GRANT_INVALID");
        }
    }
    curl(&[&format!("{url}?grant={good}&grant={good}")]).assert_refused(400, "FIELD_INVALID");
}

#[tokio::test]
async fn who_lost_the_tree_is_refused_at_the_next_request() {
    let direct = Direct::start().await;
    fs::write(direct.tree().join("f"), "data").unwrap();
    let (read, write) = (
        direct.grant(GrantMode::ReadOnly, b""),
        direct.grant(GrantMode::ReadWrite, b""),
    );
    let uploads = format!("{}/uploads", direct.base());
    let post = [
        "-X",
        "POST",
        "-H",
        "Tus-Resumable: 1.0.0",
        "-H",
        "Upload-Length: 3",
        "-H",
        "Upload-Metadata: filename bmV3",
    ];
    let made = as_bearer(&write, &[&post[..], &[&uploads]].concat());
    assert_eq!(made.status, 201, "{made:?}");
    let upload = format!("{}{}", direct.url, made.header("location"));
    files(&direct)
        .create_directory(bearing(&write, mkdir(&direct, "before")))
        .await
        .unwrap();

    // As a clone and the trash do.
    direct.fence(2, false).await;
    as_bearer(&write, &[&post[..], &[&uploads]].concat()).assert_refused(409, "GRANT_STALE");
    let patch = [
        "-X",
        "PATCH",
        "-H",
        "Tus-Resumable: 1.0.0",
        "-H",
        "Upload-Offset: 0",
        "-H",
        "Content-Type: application/offset+octet-stream",
        "--data-binary",
        "new",
        &upload,
    ];
    as_bearer(&write, &patch).assert_refused(409, "GRANT_STALE");
    let made = files(&direct)
        .create_directory(bearing(&write, mkdir(&direct, "after")))
        .await;
    assert_eq!(refused(made), (Code::Aborted, "GRANT_STALE".into()));
    assert_eq!(as_bearer(&read, &[&direct.file("f")]).body, b"data");
    // A new one goes on with what the old one began.
    let new = direct.grant_at(2, GrantMode::ReadWrite, b"");
    assert_eq!(as_bearer(&new, &patch).status, 204);
    assert_eq!(fs::read(direct.tree().join("new")).unwrap(), b"new");

    // As a purge does.
    direct.fence(3, true).await;
    as_bearer(&read, &[&direct.file("f")]).assert_refused(409, "GRANT_STALE");
    let listed = files(&direct)
        .list_files(bearing(&read, list(&direct, "")))
        .await;
    assert_eq!(refused(listed), (Code::Aborted, "GRANT_STALE".into()));
    assert!(!direct.tree().join("after").exists());
}
