//! Where files land, while somebody is in the way, and where no rename leads.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown, symlink},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;
use vfolder_images::is_root;
use vfolder_proto::v1::{FileCheck, UploadTarget};

use super::kit::{Client, blake3_check, content, pieces, target};
use crate::{
    mounted::Mounted,
    proxy::{Proxy, refused, set_up_in, wrong_fields},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn into_a_subvolume_a_file_comes_by_a_copy_that_shares_its_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("btrfs");
    let Some(_mounted) = Mounted::image("btrfs", &path, 1 << 30) else {
        return;
    };
    let proxy = Proxy::start_in(set_up_in(TempDir::new_in(&path).unwrap())).await;
    let client = Client::new(&proxy, proxy.create().await);
    let volume = fs::metadata(proxy.dir.path().join("v")).unwrap();
    assert_ne!(
        volume.dev(),
        fs::metadata(client.path("")).unwrap().dev(),
        "no subvolume"
    );
    let whole = content(1, 5 << 20);
    for (round, replace) in [false, true, true, false].into_iter().enumerate() {
        let wanted = UploadTarget {
            replace,
            mode: 0o640,
            ..target("f")
        };
        let answer = client
            .write(wanted, blake3_check(&whole), pieces(&whole, 1 << 20))
            .await;
        match round {
            3 => assert_eq!(refused(answer).1, "FILE_EXISTS"),
            _ => drop(answer.unwrap()),
        }
        let meta = fs::metadata(client.path("f")).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.nlink()), (0o640, 1));
        assert!(fs::read(client.path("f")).unwrap() == whole);
    }
    assert_eq!(
        fs::read_dir(client.path("")).unwrap().count(),
        1,
        "nothing else is there"
    );
    drop(proxy.kill());
}

/// Somebody who exchanges a directory and a symlink that leads outside, again and again.
struct Swapper {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<usize>>,
}

impl Swapper {
    fn start(one: std::path::PathBuf, other: std::path::PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut swaps = 0;
            while !heard.load(Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        });
        let thread = Some(thread);
        Self { stop, thread }
    }

    fn stop(mut self) -> usize {
        self.stop.store(true, Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_outside_while_a_directory_is_swapped_for_a_symlink() {
    const ROUNDS: usize = 150;
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("sub")).unwrap();
    fs::create_dir_all(client.path("d/sub")).unwrap();
    symlink(outside.path(), client.path("link")).unwrap();
    let swapper = Swapper::start(client.path("d"), client.path("link"));
    let (mut landed, mut refusals) = (0, 0);
    for round in 0..ROUNDS {
        let wanted = UploadTarget {
            parents: round % 2 == 0,
            replace: round % 3 == 0,
            ..target(&format!("d/sub/f{}", round % 7))
        };
        let Ok(upload) = client.create(wanted, None).await else {
            refusals += 1;
            continue;
        };
        client
            .send(&upload.id, None, pieces(b"inside", 6))
            .await
            .unwrap();
        match client.commit(&upload.id, FileCheck::default()).await {
            Ok(_) => landed += 1,
            refusal => {
                let reason = refused(refusal).1;
                let known = [
                    "SYMLINK_IN_PATH",
                    "FILE_EXISTS",
                    "FILE_NOT_FOUND",
                    "NOT_A_DIRECTORY",
                ];
                assert!(known.contains(&reason.as_str()), "{reason}");
                refusals += 1;
            }
        }
    }
    let swaps = swapper.stop();
    println!("{landed} landed, {refusals} refused, {swaps} swaps");
    assert!(landed > 0 && refusals > 0 && swaps > ROUNDS);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(outside.path().join("sub")).unwrap().count(), 0);
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

#[tokio::test]
async fn nobody_becomes_root_or_the_storage_proxy_by_a_file_that_was_uploaded() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let written = async |name: &str| {
        let wanted = UploadTarget {
            mode: 0o7755,
            ..target(name)
        };
        let pieces = pieces(b"#!", 2);
        client
            .write(wanted, FileCheck::default(), pieces)
            .await
            .unwrap();
        fs::metadata(client.path(name)).unwrap().mode() & 0o7777
    };
    assert_eq!(written("ours").await, 0o1755);
    if !is_root() {
        return;
    }
    for (number, (uid, gid, mode)) in [(1234, 2345, 0o7755), (1234, 0, 0o5755), (0, 2345, 0o1755)]
        .into_iter()
        .enumerate()
    {
        let directory = client.path(&number.to_string());
        fs::create_dir(&directory).unwrap();
        chown(&directory, Some(uid), Some(gid)).unwrap();
        assert_eq!(written(&format!("{number}/f")).await, mode, "{uid}:{gid}");
    }
}
