//! Slow clients, gone clients, and too many of them.

use std::{fs, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;
use vfolder_proto::v1::write_file_request::To;

use super::kit::{Client, all_of, configured, content, target};
use crate::{
    proxy::{Proxy, refused},
    support::eventually,
};

const BIG: usize = 32 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_or_writer_that_stands_still_is_ended_and_leaves_nothing_open() {
    let proxy = Proxy::start_in(configured("idle_timeout = \"1s\"")).await;
    let client = Client::new(&proxy, proxy.create().await);
    fs::write(client.path("f"), content(1, BIG)).unwrap();
    let mut reading = client.open(all_of("f")).await.unwrap();
    reading.message().await.unwrap();
    let upload = client.create(target("g"), None).await.unwrap();
    let (sender, writing) = client.open_stream(To::UploadId(upload.id.clone()));
    let writing = tokio::spawn(writing);
    sender.send(Bytes::from_static(b"some")).await.unwrap();
    let ended = timeout(Duration::from_secs(20), writing)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(refused(ended).1, "TRANSFER_TIMEOUT");
    eventually("all is closed", || client.open_files() == 0).await;
    // However late it comes back: until several others have stood still for as long, one after the other.
    for _ in 0..3 {
        let mut other = client.open(all_of("f")).await.unwrap();
        other.message().await.unwrap();
        eventually("the other is closed", || client.open_files() == 0).await;
    }
    let mut last = reading.message().await;
    while let Ok(Some(_)) = last {
        last = reading.message().await;
    }
    assert_eq!(refused(last).1, "TRANSFER_TIMEOUT");
    // What had arrived stays.
    assert_eq!(client.upload(&upload.id).await.unwrap().offset, 4);
    drop(sender);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_leaves_nothing_open() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    fs::write(client.path("f"), content(1, BIG)).unwrap();
    let upload = client.create(target("g"), None).await.unwrap();
    let mut readings = Vec::new();
    // Not more: what a client's own connection lets through, those that stand still would use up.
    for _ in 0..2 {
        let mut reading = client.open(all_of("f")).await.unwrap();
        reading.message().await.unwrap();
        readings.push(reading);
    }
    let (part, into_upload) = client.open_stream(To::UploadId(upload.id.clone()));
    let (file, into_file) = client.open_stream(To::File(target("h")));
    let writings = [tokio::spawn(into_upload), tokio::spawn(into_file)];
    for sender in [&part, &file] {
        sender.send(Bytes::from_static(b"some")).await.unwrap();
    }
    // Two files, and those of two uploads.
    eventually("they are open", || client.open_files() >= 2 + 4).await;
    // What a client has sent and not seen arrive may be lost with it.
    while client.upload(&upload.id).await.unwrap().offset < 4 {
        tokio::task::yield_now().await;
    }
    drop(readings);
    writings.iter().for_each(tokio::task::JoinHandle::abort);
    eventually("all is closed", || client.open_files() == 0).await;
    let uploads = proxy
        .dir
        .path()
        .join(format!("v/uploads/{}", client.vfolder));
    eventually("of the whole file nothing is left", || {
        fs::read_dir(&uploads).unwrap().count() == 1
    })
    .await;
    assert_eq!(client.upload(&upload.id).await.unwrap().offset, 4);
    assert!(!client.path("h").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_transfers_than_may_be_are_told_to_come_again() {
    let proxy = Proxy::start_in(configured("max = 3\nmax_per_vfolder = 2")).await;
    let [one, other] = [proxy.create().await, proxy.create().await];
    let [one, other] = [one, other].map(|vfolder| Client::new(&proxy, vfolder));
    for client in [one, other] {
        fs::write(client.path("f"), content(1, BIG)).unwrap();
    }
    let held = [
        one.open(all_of("f")).await.unwrap(),
        one.open(all_of("f")).await.unwrap(),
    ];
    let full = |answer: Result<_, _>| refused(answer).1 == "TOO_MANY_REQUESTS";
    assert!(full(one.open(all_of("f")).await.map(drop)));
    let last = other.open(all_of("f")).await.unwrap();
    assert!(full(other.open(all_of("f")).await.map(drop)));
    assert!(full(
        other
            .write(target("g"), Default::default(), Vec::new())
            .await
            .map(drop)
    ));
    drop(held);
    drop(last);
    let again = async {
        while one.open(all_of("f")).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_takes_too_long_in_all_is_ended_though_it_never_stands_still() {
    let proxy = Proxy::start_in(configured("total_timeout = \"400ms\"")).await;
    let client = Client::new(&proxy, proxy.create().await);
    let upload = client.create(target("g"), None).await.unwrap();
    let (sender, writing) = client.open_stream(To::UploadId(upload.id.clone()));
    let writing = tokio::spawn(writing);
    let mut sent = 0;
    while sender.send(Bytes::from_static(b"a")).await.is_ok() {
        sent += 1;
        tokio::task::yield_now().await;
    }
    let status = writing.await.unwrap().unwrap_err();
    assert!(
        status.message().contains("took more than 0.4 s"),
        "{status:?}"
    );
    assert_eq!(refused::<()>(Err(status)).1, "TRANSFER_TIMEOUT");
    let arrived = client.upload(&upload.id).await.unwrap().offset;
    assert!(0 < arrived && arrived <= sent, "{arrived} of {sent}");
}
