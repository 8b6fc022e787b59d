//! Whole files in one call.

use std::fs;

use bytes::Bytes;
use vfolder_proto::v1::{FileCheck, UploadTarget, write_file_request::To};

use super::kit::{Client, blake3_check, content, pieces, target};
use crate::{
    proxy::{Proxy, refused},
    support::eventually,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_file_appears_when_its_stream_ends_well_or_not_at_all() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let uploads = proxy.dir.path().join("v/uploads");
    let nothing_is_left = || fs::read_dir(&uploads).unwrap().count() == 0;
    for length in [0, 1, 3_000_000] {
        let whole = content(1, length);
        let wanted = UploadTarget {
            replace: true,
            ..target("f")
        };
        let answer = client.write(wanted, blake3_check(&whole), pieces(&whole, 100_000));
        let answer = answer.await.unwrap();
        assert_eq!(answer.written as usize, length);
        assert_eq!(&answer.blake3[..], blake3::hash(&whole).as_bytes());
        assert!(fs::read(client.path("f")).unwrap() == whole);
        assert!(nothing_is_left());
    }
    let short = FileCheck {
        size: Some(5),
        ..FileCheck::default()
    };
    for (path, check, reason) in [
        ("f", FileCheck::default(), "FILE_EXISTS"),
        ("g", blake3_check(b"other"), "DIGEST_MISMATCH"),
        ("g", short, "UPLOAD_INCOMPLETE"),
        ("none/g", FileCheck::default(), "FILE_NOT_FOUND"),
    ] {
        let answer = client.write(target(path), check, pieces(b"some", 1)).await;
        assert_eq!(refused(answer).1, reason);
        eventually("nothing is left", nothing_is_left).await;
        assert!(!client.path("g").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_whole_file_whose_process_died_nothing_is_left() {
    let proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    let client = Client::new(&proxy, vfolder);
    let (sender, stream) = client.open_stream(To::File(target("f")));
    let stream = tokio::spawn(stream);
    sender.send(Bytes::from_static(b"some")).await.unwrap();
    let uploads = proxy.dir.path().join("v/uploads");
    let count = || fs::read_dir(&uploads).unwrap().count();
    eventually("it is begun", || count() == 1).await;
    let proxy = Proxy::start_in(proxy.kill()).await;
    assert!(stream.await.unwrap().is_err());
    eventually("nothing is left", || count() == 0).await;
    assert!(!proxy.tree(vfolder).join("f").exists());
}
