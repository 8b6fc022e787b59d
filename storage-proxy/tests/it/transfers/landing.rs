//! Where files land, while somebody is in the way, and where no rename leads.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;
use vfolder_proto::v1::{FileCheck, UploadTarget};

use super::kit::{Client, blake3_check, content, pieces, target};
use crate::{
    mounted::Mounted,
    proxy::{Proxy, refused, set_up_in},
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
