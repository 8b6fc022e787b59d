//! Uploads in pieces.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    time::Duration,
};

use bytes::Bytes;
use prost_types::Timestamp;
use tempfile::TempDir;
use tokio::time::timeout;
use vfolder_images::is_root;
use vfolder_proto::v1::{ByteRange, FileCheck, UploadTarget, write_file_request::To};

use super::kit::{Client, all_of, blake3_check, content, pieces, target};
use crate::{
    mounted::Mounted,
    proxy::{Proxy, refused, set_up_in, wrong_fields},
};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_arrive_in_parallel_make_one_file_that_appears_whole() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let whole = content(1, 8 * MIB + 5);
    fs::create_dir(client.path("d")).unwrap();
    fs::set_permissions(client.path("d"), fs::Permissions::from_mode(0o2755)).unwrap();
    if is_root() {
        chown(client.path("d"), Some(1234), Some(2345)).unwrap();
    }
    let wanted = UploadTarget {
        mode: 0o4750,
        modify_time: Some(Timestamp {
            seconds: 1_000_000_000,
            nanos: 5,
        }),
        parents: true,
        ..target("d/new/f")
    };
    let size = whole.len() as i64;
    let upload = client.create(wanted, Some(size)).await.unwrap();
    assert_eq!((upload.offset, upload.size), (0, Some(size)));
    let parts = (0..4).rev().map(|part| {
        let (begin, end) = (part * 2 * MIB, ((part + 1) * 2 * MIB + 5 * (part / 3)));
        client.send(
            &upload.id,
            Some(begin as i64),
            pieces(&whole[begin..end], 100_000),
        )
    });
    for part in futures_util::future::join_all(parts).await {
        part.unwrap();
    }
    assert_eq!(
        fs::read_dir(client.path("d")).unwrap().count(),
        0,
        "nothing is seen of it"
    );
    let sha256 = {
        use sha2::Digest as _;
        sha2::Sha256::digest(&whole).to_vec()
    };
    let check = FileCheck {
        size: Some(size),
        sha256: sha256.into(),
        ..blake3_check(&whole)
    };
    let entry = client.commit(&upload.id, check.clone()).await.unwrap();
    assert!(fs::read(client.path("d/new/f")).unwrap() == whole);
    // Not setuid for us, whose it is otherwise.
    let mode = if is_root() { 0o4750 } else { 0o750 };
    let [meta, above] = ["d/new/f", "d"].map(|path| fs::metadata(client.path(path)).unwrap());
    assert_eq!((meta.uid(), meta.gid()), (above.uid(), above.gid()));
    assert_eq!(
        (meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec()),
        (mode, 1_000_000_000, 5)
    );
    assert_eq!((entry.path.as_str(), entry.mode), ("d/new/f", mode));
    // Repeated, it answers the same, and the file is as it was told.
    assert_eq!(client.commit(&upload.id, check).await.unwrap(), entry);
    assert_eq!(
        client.read(all_of("d/new/f")).await.unwrap().0.etag,
        entry.etag
    );
    let now = client.upload(&upload.id).await.unwrap();
    assert!(now.committed && now.offset == size);
    let more = client.send(&upload.id, Some(0), pieces(b"x", 1)).await;
    assert_eq!(refused(more).1, "UPLOAD_COMMITTED");
    assert_eq!(
        refused(client.abort(&upload.id).await).1,
        "UPLOAD_COMMITTED"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_arrived_survives_the_process_also_in_a_stream_that_was_open() {
    const PIECE: usize = 300_000;
    let mut proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    let whole = content(2, 20 * PIECE);
    let id = {
        let client = Client::new(&proxy, vfolder);
        client.create(target("f"), None).await.unwrap().id
    };
    for life in 0..5 {
        let client = Client::new(&proxy, vfolder);
        let begin = client.upload(&id).await.unwrap().offset;
        assert_eq!(begin as usize, 4 * life * PIECE);
        let (sender, stream) = client.open_stream(To::UploadId(id.clone()));
        let stream = tokio::spawn(stream);
        for piece in pieces(&whole[begin as usize..begin as usize + 4 * PIECE], PIECE) {
            sender.send(piece).await.unwrap();
        }
        let arrived = async {
            let wanted = begin + 4 * PIECE as i64;
            while client.upload(&id).await.unwrap().offset < wanted {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), arrived).await.unwrap();
        let dir = proxy.kill();
        assert!(stream.await.unwrap().is_err());
        proxy = Proxy::start_in(dir).await;
    }
    let client = Client::new(&proxy, vfolder);
    client.commit(&id, blake3_check(&whole)).await.unwrap();
    assert!(fs::read(client.path("f")).unwrap() == whole);
}

#[tokio::test]
async fn gaps_are_told_and_have_to_be_filled() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let upload = client.create(target("f"), Some(30)).await.unwrap();
    for at in [20, 5] {
        client
            .send(&upload.id, Some(at), pieces(b"0123456789", 3))
            .await
            .unwrap();
    }
    let now = client.upload(&upload.id).await.unwrap();
    let ranges = [(5, 15), (20, 30)].map(|(begin, end)| ByteRange { begin, end });
    assert_eq!((now.offset, now.received), (0, ranges.to_vec()));
    let early = client.commit(&upload.id, FileCheck::default()).await;
    assert_eq!(refused(early).1, "UPLOAD_INCOMPLETE");
    // Also what is there already may come again.
    let last = client
        .send(&upload.id, None, pieces(&[b'x'; 20], 20))
        .await
        .unwrap();
    assert_eq!(last.upload.unwrap().offset, 30);
    let wrong = FileCheck {
        size: Some(29),
        ..FileCheck::default()
    };
    assert_eq!(
        refused(client.commit(&upload.id, wrong).await).1,
        "DIGEST_MISMATCH"
    );
    let wrong = client.commit(&upload.id, blake3_check(b"other")).await;
    assert_eq!(refused(wrong).1, "DIGEST_MISMATCH");
    assert!(!client.path("f").exists());
    let right = [&[b'x'; 20][..], b"0123456789"].concat();
    client
        .commit(&upload.id, blake3_check(&right))
        .await
        .unwrap();
    assert_eq!(fs::read(client.path("f")).unwrap(), right);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_writes_beyond_the_size_or_where_another_writes() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let upload = client.create(target("f"), Some(10)).await.unwrap();
    let beyond = client
        .send(&upload.id, Some(5), pieces(b"0123456", 1))
        .await;
    assert_eq!(wrong_fields(beyond), ["data"]);
    assert_eq!(client.upload(&upload.id).await.unwrap().received[0].end, 10);
    let past = client.send(&upload.id, Some(11), Vec::new()).await;
    assert_eq!(wrong_fields(past), ["offset"]);
    let (sender, stream) = client.open_stream(To::UploadId(upload.id.clone()));
    let stream = tokio::spawn(stream);
    sender.send(Bytes::from_static(b"012")).await.unwrap();
    client.arrived(&upload.id, 3).await;
    let taken = client.send(&upload.id, Some(2), pieces(b"x", 1)).await;
    assert_eq!(refused(taken).1, "UPLOAD_BUSY");
    let early = client.commit(&upload.id, FileCheck::default()).await;
    assert_eq!(refused(early).1, "UPLOAD_INCOMPLETE");
    // Elsewhere, anybody may.
    client
        .send(&upload.id, Some(3), pieces(b"34", 1))
        .await
        .unwrap();
    drop(sender);
    assert_eq!(stream.await.unwrap().unwrap().written, 3);
    client
        .send(&upload.id, Some(2), pieces(b"2", 1))
        .await
        .unwrap();
    client
        .commit(&upload.id, blake3_check(b"0123401234"))
        .await
        .unwrap();
}

/// It may wait for a client that is gone, and nobody has told us.
#[tokio::test]
async fn a_commit_of_a_whole_file_does_not_wait_for_a_stream_that_might_bring_more() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    for size in [Some(3), None] {
        let name = format!("{size:?}");
        let upload = client.create(target(&name), size).await.unwrap();
        let (sender, stream) = client.open_stream(To::UploadId(upload.id.clone()));
        let stream = tokio::spawn(stream);
        sender.send(Bytes::from_static(b"012")).await.unwrap();
        client.arrived(&upload.id, 3).await;
        let check = blake3_check(b"012");
        if size.is_none() {
            // More may come, for all that anybody knows.
            let early = client.commit(&upload.id, check.clone()).await;
            assert_eq!(refused(early).1, "UPLOAD_BUSY");
        }
        let sized = FileCheck {
            size: Some(3),
            ..check
        };
        let whole = async {
            loop {
                let committed = client.commit(&upload.id, sized.clone()).await;
                // It has arrived, and the thread that wrote it is about to say so.
                if committed.is_ok() || refused(committed.clone()).1 != "UPLOAD_BUSY" {
                    break committed;
                }
            }
        };
        let entry = timeout(Duration::from_secs(20), whole).await.unwrap();
        assert_eq!(entry.unwrap().size, 3);
        // What comes now is too late, and changes nothing.
        let _ = sender.send(Bytes::from_static(b"345")).await;
        drop(sender);
        assert_eq!(refused(stream.await.unwrap()).1, "UPLOAD_COMMITTED");
        assert_eq!(fs::read(client.path(&name)).unwrap(), b"012");
    }
}

/// A commit answers again what it has answered, also after a restart; but never that a file is what nobody has looked at.
#[tokio::test]
async fn a_commit_that_is_repeated_with_another_digest_is_refused() {
    let check = |content: &[u8], size| FileCheck {
        size,
        ..blake3_check(content)
    };
    let mut proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    let mut ids = Vec::new();
    for (name, first) in [
        ("checked", check(b"right", None)),
        ("unchecked", FileCheck::default()),
    ] {
        let client = Client::new(&proxy, vfolder);
        let upload = client.create(target(name), None).await.unwrap();
        let sent = client.send(&upload.id, None, pieces(b"right", 9)).await;
        sent.unwrap();
        client.commit(&upload.id, first).await.unwrap();
        ids.push(upload.id);
    }
    for restarted in [false, true] {
        if restarted {
            proxy = Proxy::start_in(proxy.kill()).await;
        }
        for (id, check, reason) in [
            (&ids[0], check(b"right", Some(5)), None),
            (&ids[0], FileCheck::default(), None),
            (&ids[0], check(b"wrong", None), Some("DIGEST_MISMATCH")),
            (&ids[0], check(b"right", Some(4)), Some("DIGEST_MISMATCH")),
            (&ids[1], FileCheck::default(), None),
            (&ids[1], check(b"right", None), Some("UPLOAD_COMMITTED")),
        ] {
            let again = Client::new(&proxy, vfolder).commit(id, check).await;
            match reason {
                None => assert_eq!(again.unwrap().size, 5),
                Some(reason) => assert_eq!(refused(again).1, reason),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_meets_a_full_volume_goes_on_when_there_is_space() {
    let dir = TempDir::new().unwrap();
    let volume = dir.path().join("v");
    let Some(_mounted) = Mounted::tmpfs(&volume, "size=8m") else {
        return;
    };
    // Its lock is released before it is unmounted.
    let proxy = Proxy::start_in(set_up_in(TempDir::new_in(&volume).unwrap())).await;
    let client = Client::new(&proxy, proxy.create().await);
    let ballast = client.path("ballast");
    fs::write(&ballast, vec![0; 5 * MIB]).unwrap();
    let whole = content(7, 4 * MIB);
    let upload = client
        .create(target("f"), Some(4 * MIB as i64))
        .await
        .unwrap();
    let full = client
        .send(&upload.id, None, pieces(&whole, 256 * 1024))
        .await;
    assert_eq!(refused(full).1, "VOLUME_FULL");
    fs::remove_file(ballast).unwrap();
    let offset = client.upload(&upload.id).await.unwrap().offset;
    assert!(offset > 0);
    let rest = pieces(&whole[offset as usize..], 256 * 1024);
    client.send(&upload.id, Some(offset), rest).await.unwrap();
    client
        .commit(&upload.id, blake3_check(&whole))
        .await
        .unwrap();
    assert!(fs::read(client.path("f")).unwrap() == whole);
    drop(proxy.kill());
}

#[tokio::test]
async fn no_file_leads_beyond_what_the_filesystem_has() {
    let dir = TempDir::new().unwrap();
    let volume = dir.path().join("v");
    let Some(_mounted) = Mounted::image("ext4", &volume, 256 << 20) else {
        return;
    };
    let proxy = Proxy::start_in(set_up_in(TempDir::new_in(&volume).unwrap())).await;
    let client = Client::new(&proxy, proxy.create().await);
    let upload = client.create(target("f"), None).await.unwrap();
    let far = client
        .send(&upload.id, Some(1 << 60), pieces(b"x", 1))
        .await;
    assert_eq!(wrong_fields(far), ["offset"]);
    drop(proxy.kill());
}
