//! Uploads that somebody goes on with: by another connection, or by another protocol.

use std::{fs, io::Write as _, net::TcpStream, path::PathBuf};

use vfolder_common::token::GrantMode;

use super::{Direct, checksum, metadata, noise};
use crate::{
    proxy::refused,
    support::eventually,
    transfers::kit::{Client, blake3_check, pieces, target},
};

impl Direct {
    /// Where the bytes of an upload are, until it is committed.
    fn data_of(&self, url: &str) -> PathBuf {
        let id = url.rsplit('/').next().unwrap();
        let uploads = self.proxy.dir.path().join("v/uploads");
        uploads.join(self.vfolder.to_string()).join(id).join("data")
    }
}

/// Its old connection is dead, and nobody has told us.
#[tokio::test]
async fn a_client_that_comes_back_need_not_wait_for_its_old_connection() {
    let direct = Direct::start().await;
    let whole = noise(100_000);
    for checked in [false, true] {
        let name = format!("f{checked}");
        let url = direct.begin(
            "Upload-Length: 100000",
            &metadata(&[("filename", name.as_bytes())]),
        );
        let path = url.strip_prefix(&direct.url).unwrap();
        let token = direct.grant(GrantMode::ReadWrite, b"");
        let sum = match checked {
            true => format!("{}\r\n", checksum("sha1", &whole)),
            false => String::new(),
        };
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nTus-Resumable: 1.0.0\r\n\
             Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n{sum}\
             Content-Length: 100000\r\n\r\n"
        );
        let mut dead = TcpStream::connect(direct.address()).unwrap();
        dead.write_all(head.as_bytes()).unwrap();
        dead.write_all(&whole[..60_000]).unwrap();
        let offset = if checked { 0 } else { 60_000 };
        if checked {
            // None of it counts before its end.
            eventually("it has come", || {
                let size = fs::metadata(direct.data_of(&url)).map_or(0, |meta| meta.len());
                size >= 60_000
            })
            .await;
        } else {
            eventually("it has come", || {
                direct.head(&url).header("upload-offset") == "60000"
            })
            .await;
        }
        let rest = direct.patch(&url, offset, &whole[offset..], &[]);
        assert_eq!(
            (rest.status, rest.header("upload-offset")),
            (204, "100000"),
            "{rest:?}"
        );
        assert!(fs::read(direct.tree().join(&name)).unwrap() == whole);
        drop(dead);
    }
}

#[tokio::test]
async fn tus_leaves_alone_what_was_begun_over_grpc() {
    let direct = Direct::start().await;
    let client = Client::new(&direct.proxy, direct.vfolder);
    let upload = client.create(target("f"), Some(4)).await.unwrap();
    let sent = client.send(&upload.id, None, pieces(b"data", 4)).await;
    sent.unwrap();
    let url = format!("{}/uploads/{}", direct.base(), upload.id);
    let head = direct.head(&url);
    assert_eq!(
        (head.status, head.header("vfolder-reason")),
        (404, "UPLOAD_NOT_FOUND")
    );
    // Unchecked, it would have been committed.
    let wrong = client.commit(&upload.id, blake3_check(b"date")).await;
    assert_eq!(refused(wrong).1, "DIGEST_MISMATCH");
    client
        .commit(&upload.id, blake3_check(b"data"))
        .await
        .unwrap();
}
