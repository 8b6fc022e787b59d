//! A large upload by way of the manager, in parallel parts, while both services are killed at moments that a seed decides:
//! it goes on where it was, and the file is what was sent.

use std::{
    env, fs,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use fastrand::Rng;
use futures_util::{future::join_all, stream};
use tokio::time::sleep;
use vfolder_proto::v1::{
    CommitUploadRequest, CreateUploadRequest, FileCheck, GetUploadRequest, Upload, UploadTarget,
    WriteFileRequest, write_file_request::To,
};
use vfolder_tests::{Engine, System, User, eventually, on_sqlite};

on_sqlite!(a_large_upload_survives_ten_kills_of_the_storage_proxy_and_three_of_the_manager);

const STREAMS: u64 = 4;
/// What one WriteFile brings: what a kill may cost each stream.
const CHUNK: u64 = 512 * 1024;
/// In messages of this size.
const MESSAGE: u64 = 128 * 1024;
const STORAGE_KILLS: usize = 10;
const MANAGER_KILLS: usize = 3;
/// How long both services may take to be there again.
const PATIENCE: Duration = Duration::from_secs(30);

/// 64 MiB; in `make test-long` 1 GiB.
fn size() -> u64 {
    match env::var_os("VFOLDER_TEST_LONG") {
        Some(_) => 1 << 30,
        None => 64 << 20,
    }
}

/// Any part of a file of random bytes, without keeping it.
fn bytes_at(begin: u64, end: u64) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"the file");
    let mut output = hasher.finalize_xof();
    output.set_position(begin);
    let mut bytes = vec![0; usize::try_from(end - begin).unwrap()];
    output.fill(&mut bytes);
    bytes
}

fn digest_of_all() -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for begin in (0..size()).step_by(usize::try_from(CHUNK).unwrap()) {
        hasher.update(&bytes_at(begin, begin + CHUNK));
    }
    hasher.finalize()
}

/// Counts bytes.
#[derive(Debug, Default)]
struct Sent {
    /// Sent.
    all: AtomicU64,
    /// Told to have arrived.
    acknowledged: AtomicU64,
}

#[derive(Clone)]
struct Sender {
    user: User,
    vfolder: String,
    upload: String,
    sent: Arc<Sent>,
}

impl Sender {
    async fn get(&self) -> Option<Upload> {
        let request = GetUploadRequest {
            vfolder_id: self.vfolder.clone(),
            upload_id: self.upload.clone(),
        };
        let answer = self.user.files.clone().get_upload(request).await;
        answer.ok().map(|answer| answer.into_inner())
    }

    /// Where to go on from in this part: all before has arrived.
    async fn reached(&self, begin: u64, end: u64) -> u64 {
        let begun = Instant::now();
        // (`eventually` takes a closure whose future can't go to another thread.)
        let upload = loop {
            if let Some(upload) = self.get().await {
                break upload;
            }
            assert!(begun.elapsed() < PATIENCE, "the upload is not told of");
            sleep(Duration::from_millis(10)).await;
        };
        let at = |value: i64| u64::try_from(value).unwrap();
        let mut ranges: Vec<_> = upload
            .received
            .iter()
            .map(|r| (at(r.begin), at(r.end)))
            .collect();
        ranges.push((0, at(upload.offset)));
        let reached = ranges
            .iter()
            .find(|(from, to)| (*from..*to).contains(&begin));
        reached.map_or(begin, |(_, to)| (*to).min(end))
    }

    /// Sends one part, chunk by chunk, whatever happens meanwhile.
    async fn send_part(self, begin: u64, end: u64) {
        let mut at = begin;
        while at < end {
            let to = (at + CHUNK).min(end);
            if self.send_chunk(at, to).await {
                self.sent.acknowledged.fetch_add(to - at, Relaxed);
                at = to;
            } else {
                self.until_free(at).await;
                let reached = self.reached(at, end).await;
                self.sent
                    .acknowledged
                    .fetch_add(reached.min(to) - at, Relaxed);
                at = reached;
            }
        }
    }

    /// Waits, without sending a byte, while the stream before, which a kill of the manager has broken off, is not closed yet.
    async fn until_free(&self, at: u64) {
        let begun = Instant::now();
        loop {
            let first = WriteFileRequest {
                vfolder_id: self.vfolder.clone(),
                to: Some(To::UploadId(self.upload.clone())),
                offset: Some(i64::try_from(at).unwrap()),
                ..WriteFileRequest::default()
            };
            let mut files = self.user.files.clone();
            match files.write_file(stream::iter([first])).await {
                Ok(_) => return,
                Err(refused) => {
                    assert!(begun.elapsed() < PATIENCE, "{refused:?}");
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    /// Answers whether it was told to have arrived.
    async fn send_chunk(&self, begin: u64, end: u64) -> bool {
        let mut first = WriteFileRequest {
            vfolder_id: self.vfolder.clone(),
            to: Some(To::UploadId(self.upload.clone())),
            offset: Some(i64::try_from(begin).unwrap()),
            ..WriteFileRequest::default()
        };
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let messages = (begin..end)
            .step_by(usize::try_from(MESSAGE).unwrap())
            .map(move |at| {
                let data = bytes_at(at, (at + MESSAGE).min(end));
                count.fetch_add(data.len() as u64, Relaxed);
                WriteFileRequest {
                    data: Bytes::from(data),
                    ..std::mem::take(&mut first)
                }
            });
        let mut files = self.user.files.clone();
        let answer = files.write_file(stream::iter(messages)).await;
        self.sent.all.fetch_add(sent.load(Relaxed), Relaxed);
        answer.is_ok()
    }
}

fn seed() -> u64 {
    let given = env::var("VFOLDER_TEST_SEED").ok();
    let seed = given.map_or_else(
        || u64::from(SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()),
        |seed| seed.parse().unwrap(),
    );
    println!("VFOLDER_TEST_SEED={seed}");
    seed
}

async fn a_large_upload_survives_ten_kills_of_the_storage_proxy_and_three_of_the_manager(
    engine: Engine,
) {
    let mut dice = Rng::with_seed(seed());
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let vfolder = alice.create("data").await.unwrap().id;
    let request = CreateUploadRequest {
        vfolder_id: vfolder.clone(),
        target: Some(UploadTarget {
            path: "large".into(),
            ..UploadTarget::default()
        }),
        size: Some(i64::try_from(size()).unwrap()),
    };
    let upload = alice
        .files
        .clone()
        .create_upload(request)
        .await
        .unwrap()
        .into_inner();
    let sender = Sender {
        user: alice.clone(),
        vfolder: vfolder.clone(),
        upload: upload.id.clone(),
        sent: Arc::default(),
    };
    let part = size() / STREAMS;
    let parts: Vec<_> = (0..STREAMS)
        .map(|number| tokio::spawn(sender.clone().send_part(number * part, (number + 1) * part)))
        .collect();

    // When so much has arrived, and at whom. Spread over the whole length, at random.
    let mut victims = [vec![true; STORAGE_KILLS], vec![false; MANAGER_KILLS]].concat();
    dice.shuffle(&mut victims);
    let share = size() / (victims.len() as u64 + 1);
    for (number, storage) in (0_u64..).zip(victims) {
        let moment = number * share + dice.u64(share / 4..share);
        eventually(format!("{moment} bytes have arrived"), async || {
            (sender.sent.acknowledged.load(Relaxed) >= moment).then_some(())
        })
        .await;
        // In the middle of a chunk as well as at its end.
        sleep(Duration::from_micros(dice.u64(0..5_000))).await;
        if storage {
            system.storage.kill();
            system.start_storage().await;
        } else {
            system.manager.kill();
            system.start_manager().await;
        }
        assert!(
            !system.tree(&vfolder).join("large").exists(),
            "half a file is seen"
        );
    }
    for part in join_all(parts).await {
        part.unwrap();
    }
    let sent = sender.sent.all.load(Relaxed);
    let resent = sent - size();
    let kills = (STORAGE_KILLS + MANAGER_KILLS) as u64;
    println!(
        "{sent} bytes sent for {}: {resent} again, {} a kill and stream; a chunk has {CHUNK}",
        size(),
        resent / kills / STREAMS
    );
    assert!(
        resent <= kills * STREAMS * CHUNK,
        "{resent} bytes were sent again"
    );
    let request = CommitUploadRequest {
        vfolder_id: vfolder.clone(),
        upload_id: upload.id,
        check: Some(FileCheck {
            blake3: digest_of_all().as_bytes().to_vec().into(),
            ..FileCheck::default()
        }),
    };
    alice.files.clone().commit_upload(request).await.unwrap();
    let mut file = fs::File::open(system.tree(&vfolder).join("large")).unwrap();
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => break,
            got => drop(hasher.update(&buffer[..got])),
        }
    }
    assert_eq!(hasher.finalize(), digest_of_all());
    system.assert_sound().await;
}
