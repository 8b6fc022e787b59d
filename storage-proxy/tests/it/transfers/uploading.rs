//! Uploads in pieces.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    time::Duration,
};

use bytes::Bytes;
use prost_types::Timestamp;
use tokio::time::timeout;
use vfolder_images::is_root;
use vfolder_proto::{
    storage::{FenceTreeRequest, ListVolumeContentsRequest, PurgeTree, run_task_request::Task},
    v1::{ByteRange, FileCheck, UploadTarget, write_file_request::To},
};

use super::kit::{Client, all_of, blake3_check, configured, content, pieces, target};
use crate::{
    mounted::Mounted,
    proxy::{Proxy, refused, set_up_in, wrong_fields},
    support::eventually,
};
use tempfile::TempDir;
use uuid::Uuid;

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
    let [meta, above] = ["d/new/f", "d"].map(|path| fs::metadata(client.path(path)).unwrap());
    assert_eq!((meta.uid(), meta.gid()), (above.uid(), above.gid()));
    assert_eq!(
        (meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec()),
        (0o4750, 1_000_000_000, 5)
    );
    assert_eq!((entry.path.as_str(), entry.mode), ("d/new/f", 0o4750));
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
    let arrived = async {
        while client.upload(&upload.id).await.unwrap().offset < 3 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), arrived).await.unwrap();
    let taken = client.send(&upload.id, Some(2), pieces(b"x", 1)).await;
    assert_eq!(refused(taken).1, "UPLOAD_BUSY");
    let taken = client.commit(&upload.id, FileCheck::default()).await;
    assert_eq!(refused(taken).1, "UPLOAD_BUSY");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_upload_that_was_given_up_nothing_is_left() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let upload = client.create(target("f"), None).await.unwrap();
    let (sender, stream) = client.open_stream(To::UploadId(upload.id.clone()));
    let stream = tokio::spawn(stream);
    sender.send(Bytes::from_static(b"some")).await.unwrap();
    client.abort(&upload.id).await.unwrap();
    client.abort(&upload.id).await.unwrap();
    // Whoever still writes hears of it, unless it came too late to begin with.
    let _ = sender.send(Bytes::from_static(b"more")).await;
    drop(sender);
    assert_eq!(refused(stream.await.unwrap()).1, "UPLOAD_NOT_FOUND");
    let gone = client.commit(&upload.id, FileCheck::default()).await;
    assert_eq!(refused(gone).1, "UPLOAD_NOT_FOUND");
    assert_eq!(client.open_files(), 0);
    assert!(
        !proxy
            .dir
            .path()
            .join(format!("v/uploads/{}", client.vfolder))
            .exists()
    );
}

#[tokio::test]
async fn what_is_in_the_way_is_told_before_a_byte_is_sent_and_again_at_the_end() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    fs::write(client.path("file"), "old").unwrap();
    fs::create_dir(client.path("dir")).unwrap();
    symlink("file", client.path("link")).unwrap();
    symlink("/tmp", client.path("out")).unwrap();
    for (path, replace, reason) in [
        ("file", false, Some("FILE_EXISTS")),
        ("file", true, None),
        ("dir", true, Some("FILE_EXISTS")),
        ("link", true, Some("FILE_EXISTS")),
        ("out/f", true, Some("SYMLINK_IN_PATH")),
        ("file/f", true, Some("NOT_A_DIRECTORY")),
        ("none/f", true, Some("FILE_NOT_FOUND")),
    ] {
        let wanted = UploadTarget {
            replace,
            ..target(path)
        };
        let told = client.create(wanted, None).await;
        match reason {
            Some(reason) => assert_eq!(refused(told).1, reason, "{path}"),
            None => drop(told.unwrap()),
        }
    }
    let wrong = UploadTarget {
        path_bytes: Bytes::from_static(b"b"),
        mode: 0o10000,
        ..target("a")
    };
    let fields = wrong_fields(client.create(wrong, Some(-1)).await);
    assert_eq!(fields, ["target.path_bytes", "target.mode", "size"]);
    // It comes into the way after the upload was begun.
    for (made, reason) in [
        ("dir", "FILE_EXISTS"),
        ("link", "FILE_EXISTS"),
        ("file", ""),
    ] {
        let name = format!("late-{made}");
        let wanted = UploadTarget {
            replace: true,
            ..target(&name)
        };
        let upload = client.create(wanted, None).await.unwrap();
        client
            .send(&upload.id, None, pieces(b"new", 2))
            .await
            .unwrap();
        match made {
            "dir" => fs::create_dir(client.path(&name)).unwrap(),
            "link" => symlink("file", client.path(&name)).unwrap(),
            _ => fs::write(client.path(&name), "old").unwrap(),
        }
        let done = client.commit(&upload.id, FileCheck::default()).await;
        match reason {
            "" => assert_eq!(fs::read(client.path(&name)).unwrap(), b"new", "{done:?}"),
            reason => assert_eq!(refused(done).1, reason, "{name}"),
        }
    }
    assert_eq!(fs::read(client.path("file")).unwrap(), b"old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_commits_to_one_path_one_wins() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    for round in 0..5 {
        let name = format!("f{round}");
        let mut uploads = Vec::new();
        for number in 0..6_u8 {
            let upload = client.create(target(&name), None).await.unwrap();
            client
                .send(&upload.id, None, pieces(&[number; 1000], 100))
                .await
                .unwrap();
            uploads.push(upload.id);
        }
        let commits = uploads
            .iter()
            .map(|id| client.commit(id, FileCheck::default()));
        let answers = futures_util::future::join_all(commits).await;
        let winners: Vec<_> = (0_u8..).zip(&answers).filter(|(_, a)| a.is_ok()).collect();
        let [(winner, _)] = winners[..] else {
            panic!("not one: {answers:?}")
        };
        assert_eq!(fs::read(client.path(&name)).unwrap(), [winner; 1000]);
        for lost in answers.into_iter().filter(Result::is_err) {
            assert_eq!(refused(lost).1, "FILE_EXISTS");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_nobody_writes_expires_also_across_a_restart() {
    let proxy = Proxy::start_in(configured("upload_expiry = \"1s\"")).await;
    let vfolder = proxy.create().await;
    let client = Client::new(&proxy, vfolder);
    let upload = client.create(target("f"), None).await.unwrap();
    client
        .send(&upload.id, None, pieces(b"some", 4))
        .await
        .unwrap();
    let done = client.create(target("g"), None).await.unwrap();
    let done_entry = client.commit(&done.id, FileCheck::default()).await.unwrap();
    assert_eq!(done_entry.size, 0);
    let uploads = proxy.dir.path().join("v/uploads");
    let proxy = Proxy::start_in(proxy.kill()).await;
    let client = Client::new(&proxy, vfolder);
    eventually("they are swept", || {
        fs::read_dir(&uploads).unwrap().count() == 0
    })
    .await;
    for id in [&upload.id, &done.id] {
        assert_eq!(refused(client.upload(id).await).1, "UPLOAD_NOT_FOUND");
    }
    assert!(client.path("g").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_takes_the_uploads_along_and_doctor_lists_none() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let upload = client.create(target("f"), None).await.unwrap();
    client
        .send(&upload.id, None, pieces(b"some", 4))
        .await
        .unwrap();
    let request = proxy.signed(ListVolumeContentsRequest { volume: "v".into() });
    let listed = proxy.storage().list_volume_contents(request).await;
    let mut listed = listed.unwrap().into_inner();
    while let Some(found) = listed.message().await.unwrap() {
        assert_eq!(found.problem, "", "{found:?}");
        assert!(!found.path.contains("uploads"), "{found:?}");
    }
    let task = Task::PurgeTree(PurgeTree {
        vfolder_id: client.vfolder.to_string(),
    });
    let ended = proxy.run_at(2, Uuid::now_v7(), task).await.unwrap();
    assert_eq!(ended.failure, None);
    let uploads = proxy.dir.path().join("v/uploads");
    assert_eq!(fs::read_dir(uploads).unwrap().count(), 0);
    let trash = proxy.dir.path().join("v/trash");
    eventually("its space comes back", || {
        fs::read_dir(&trash).unwrap().count() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_cuts_writers_off_and_what_has_arrived_stays() {
    let proxy = Proxy::start().await;
    let mut client = Client::new(&proxy, proxy.create().await);
    let upload = client.create(target("f"), None).await.unwrap();
    let (sender, stream) = client.open_stream(To::UploadId(upload.id.clone()));
    let stream = tokio::spawn(stream);
    sender.send(Bytes::from_static(b"some")).await.unwrap();
    let arrived = async {
        while client.upload(&upload.id).await.unwrap().offset < 4 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), arrived).await.unwrap();
    let fence = proxy.signed(FenceTreeRequest {
        volume: "v".into(),
        vfolder_id: client.vfolder.to_string(),
        epoch: 2,
        readers: false,
    });
    let fencing = timeout(Duration::from_secs(1), async {
        proxy.storage().fence_tree(fence).await.unwrap();
    });
    fencing
        .await
        .expect("it waits for nobody who only waits for a client");
    let ended = timeout(Duration::from_secs(20), stream)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(refused(ended).1, "GRANT_STALE");
    let stale = client.commit(&upload.id, FileCheck::default()).await;
    assert_eq!(refused(stale).1, "GRANT_STALE");
    assert!(!client.path("f").exists());
    client.epoch = 2;
    assert_eq!(client.upload(&upload.id).await.unwrap().offset, 4);
    client
        .commit(&upload.id, blake3_check(b"some"))
        .await
        .unwrap();
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
