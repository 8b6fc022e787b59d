//! How uploads end that are not committed, and who may end them.

use std::{fs, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;
use uuid::Uuid;
use vfolder_proto::{
    storage::{FenceTreeRequest, ListVolumeContentsRequest, PurgeTree, run_task_request::Task},
    v1::{FileCheck, write_file_request::To},
};

use super::kit::{Client, blake3_check, configured, pieces, target};
use crate::{
    proxy::{Proxy, refused},
    support::eventually,
};

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
    client.arrived(&upload.id, 4).await;
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
