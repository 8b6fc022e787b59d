//! Disks that fail: what could not be made durable is told, and has to come again.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::fs::syncfs;
use tempfile::TempDir;
use tokio::time::timeout;
use vfolder_proto::v1::{CommitUploadRequest, FileCheck, write_file_request::To};

use super::kit::{Client, blake3_check, content, pieces, target};
use crate::{
    mounted::Mounted,
    proxy::{Proxy, refused, set_up, set_up_in},
    support::eventually,
};

const MIB: usize = 1 << 20;
/// Synced when its stream ends.
const MUCH: usize = 17 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_sync_may_have_lost_has_to_come_again() {
    let whole = content(1, MUCH + MIB);
    // What is sent before the sync that fails, from where on; and what is still there afterwards. What was durable and is
    // written again is as unsure as the rest.
    for (again, kept) in [(MUCH, MUCH), (MUCH - 5, 0)] {
        let proxy = Proxy::start_armed(set_up(), "upload.synced=EIO@2")
            .await
            .unwrap();
        let vfolder = proxy.create().await;
        let client = Client::new(&proxy, vfolder);
        let id = client.create(target("f"), None).await.unwrap().id;
        let send = async |client: Client<'_>, from: usize, to: usize| {
            let data = pieces(&whole[from..to], MIB);
            client.send(&id, Some(from as i64), data).await
        };
        send(client, 0, MUCH).await.unwrap();
        send(client, again, whole.len()).await.unwrap();
        let told = client.commit(&id, blake3_check(&whole)).await;
        assert_eq!(refused(told).1, "IO_ERROR");
        assert_eq!(client.upload(&id).await.unwrap().offset as usize, kept);
        // The disk says no word of it any more.
        let check = FileCheck {
            size: Some(whole.len() as i64),
            ..FileCheck::default()
        };
        let told = client.commit(&id, check).await;
        assert_eq!(refused(told).1, "UPLOAD_INCOMPLETE");
        assert!(!client.path("f").exists());
        let proxy = Proxy::start_in(proxy.kill()).await;
        let client = Client::new(&proxy, vfolder);
        assert_eq!(client.upload(&id).await.unwrap().offset as usize, kept);
        send(client, kept, whole.len()).await.unwrap();
        client.commit(&id, blake3_check(&whole)).await.unwrap();
        assert!(fs::read(client.path("f")).unwrap() == whole);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sync_may_have_lost_does_not_count_for_who_wrote_it_meanwhile() {
    // A writer between its bytes and their note, while another one's sync fails.
    let faults = "upload.written=hold@18,upload.synced=EIO@1";
    let armed = Proxy::start_armed(set_up(), faults).await;
    let proxy = armed.unwrap();
    let client = Client::new(&proxy, proxy.create().await);
    let whole = content(2, MUCH + MIB);
    let id = client.create(target("f"), None).await.unwrap().id;
    // Seventeen passages, one by one, and the stream stays open.
    let (sender, stream) = client.open_stream(To::UploadId(id.clone()));
    let stream = tokio::spawn(stream);
    for (number, piece) in (1..).zip(pieces(&whole[..MUCH], MIB)) {
        sender.send(piece).await.unwrap();
        while client.upload(&id).await.unwrap().offset < number * MIB as i64 {
            tokio::task::yield_now().await;
        }
    }
    let late = client.send(&id, Some(MUCH as i64), pieces(&whole[MUCH..], MIB));
    let ending = async {
        // Its bytes are in the file, and wait to be noted.
        let data = proxy
            .dir
            .path()
            .join(format!("v/uploads/{}/{id}/data", client.vfolder));
        while (fs::metadata(&data).unwrap().len() as usize) < whole.len() {
            tokio::task::yield_now().await;
        }
        drop(sender);
        let ended = stream.await.unwrap();
        proxy.release();
        ended
    };
    let (late, ended) = tokio::join!(late, ending);
    assert_eq!(refused(ended).1, "IO_ERROR");
    assert_eq!(refused(late).1, "IO_ERROR");
    let now = client.upload(&id).await.unwrap();
    assert_eq!((now.offset, now.received), (0, Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_directory_could_not_be_synced_is_not_committed() {
    let proxy = Proxy::start_armed(set_up(), "upload.landed=EIO")
        .await
        .unwrap();
    let vfolder = proxy.create().await;
    let client = Client::new(&proxy, vfolder);
    let id = client.create(target("f"), None).await.unwrap().id;
    client.send(&id, None, pieces(b"some", 4)).await.unwrap();
    for _ in 0..3 {
        let told = client.commit(&id, FileCheck::default()).await;
        assert_eq!(refused(told).1, "IO_ERROR");
        let now = client.upload(&id).await.unwrap();
        assert_eq!((now.committed, now.offset), (false, 4));
    }
    let more = client.send(&id, Some(4), pieces(b"more", 4)).await;
    assert_eq!(refused(more).1, "UPLOAD_BUSY");
    assert_eq!(refused(client.abort(&id).await).1, "UPLOAD_BUSY");
    // Nor after a restart.
    let armed = Proxy::start_armed(proxy.kill(), "upload.landed=EIO@1").await;
    let proxy = armed.unwrap();
    let client = Client::new(&proxy, vfolder);
    assert!(!client.upload(&id).await.unwrap().committed);
    let told = client.commit(&id, FileCheck::default()).await;
    assert_eq!(refused(told).1, "IO_ERROR");
    let entry = client.commit(&id, FileCheck::default()).await.unwrap();
    assert_eq!((entry.path.as_str(), entry.size), ("f", 4));
    assert_eq!(
        client.commit(&id, FileCheck::default()).await.unwrap(),
        entry
    );
    assert!(client.upload(&id).await.unwrap().committed);
    assert_eq!(fs::read(client.path("f")).unwrap(), b"some");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_disk_that_was_lost_and_came_back_only_what_was_synced_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ext4");
    let Some(mounted) = Mounted::image("ext4", &path, 256 << 20) else {
        return;
    };
    let proxy = Proxy::start_in(set_up_in(TempDir::new_in(&path).unwrap())).await;
    let vfolder = proxy.create().await;
    let client = Client::new(&proxy, vfolder);
    let whole = content(3, MIB);
    let id = client.create(target("f"), None).await.unwrap().id;
    // All that is there so far is on the disk.
    syncfs(fs::File::open(&path).unwrap()).unwrap();
    client.send(&id, None, pieces(&whole, MIB)).await.unwrap();
    // The disk has the log by now, and goes before it has the bytes.
    let uploads = proxy.dir.path().join(format!("v/uploads/{vfolder}/{id}"));
    let log = fs::File::open(uploads.join("ranges")).unwrap();
    log.sync_all().unwrap();
    let cut = mounted.copy_image();
    drop(log);
    let dir = proxy.kill();
    mounted.end();
    let Some(_back) = Mounted::file(&cut, &path) else {
        return;
    };
    assert!(fs::metadata(uploads.join("ranges")).unwrap().len() > 0);
    assert_eq!(fs::metadata(uploads.join("data")).unwrap().len(), 0);
    let proxy = Proxy::start_in(dir).await;
    let client = Client::new(&proxy, vfolder);
    assert_eq!(client.upload(&id).await.unwrap().offset, 0);
    client.send(&id, None, pieces(&whole, MIB)).await.unwrap();
    client.commit(&id, blake3_check(&whole)).await.unwrap();
    drop(proxy.kill());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_volume_that_was_gone_for_a_while_only_what_was_synced_counts() {
    let proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    let client = Client::new(&proxy, vfolder);
    let whole = content(4, MUCH + MIB);
    let id = client.create(target("f"), None).await.unwrap().id;
    let much = pieces(&whole[..MUCH], MIB);
    client.send(&id, Some(0), much).await.unwrap();
    let rest = pieces(&whole[MUCH..], MIB);
    client.send(&id, None, rest).await.unwrap();
    // It is taken for another mount: its lock is gone.
    let lock = proxy.dir.path().join("v/lock");
    fs::rename(&lock, lock.with_extension("gone")).unwrap();
    assert_eq!(client.upload(&id).await.unwrap().offset as usize, MUCH);
    // Also for the next process.
    let proxy = Proxy::start_in(proxy.kill()).await;
    let client = Client::new(&proxy, vfolder);
    assert_eq!(client.upload(&id).await.unwrap().offset as usize, MUCH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_writes_while_the_sync_of_a_commit_lasts_that_was_cancelled() {
    let armed = Proxy::start_armed(set_up(), "upload.synced=pause").await;
    let proxy = armed.unwrap();
    let client = Client::new(&proxy, proxy.create().await);
    let id = client.create(target("f"), None).await.unwrap().id;
    client.send(&id, None, pieces(b"some", 4)).await.unwrap();
    let begun = Instant::now();
    let (mut files, commit) = (
        proxy.files(),
        client.granted(CommitUploadRequest {
            vfolder_id: client.vfolder.to_string(),
            upload_id: id.clone(),
            check: None,
        }),
    );
    let committing = tokio::spawn(async move { files.commit_upload(commit).await });
    let write = async || client.send(&id, Some(4), pieces(b"more", 4)).await;
    let log = proxy.dir.path().join("log");
    eventually("its sync has begun", || {
        let log = fs::read_to_string(&log).unwrap();
        log.lines()
            .any(|line| line.contains("fault") && line.contains("passage=1"))
    })
    .await;
    committing.abort();
    let free = async {
        while let Err(status) = write().await {
            assert_eq!(refused::<()>(Err(status)).1, "UPLOAD_BUSY");
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), free).await.unwrap();
    // What it cuts off at the end of the file would be what was written since.
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(!client.path("f").exists());
}
