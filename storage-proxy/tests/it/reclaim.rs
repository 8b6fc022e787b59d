//! What a purge leaves to the background: the space, which comes back in order, is told of, and survives kills.

use std::{fs, os::fd::AsFd as _, time::Duration};

use tempfile::TempDir;
use tokio::time::sleep;
use uuid::Uuid;
use vfolder_images::not_checked;
use vfolder_proto::storage::{GetVolumeRequest, PurgeTree, StorageVolume, run_task_request::Task};
use vfolder_storage_proxy::tree::{Control, Workers, usage};

use crate::{
    mounted::Mounted,
    proxy::{Proxy, set_up, set_up_in},
    support::{HUGE, directory, eventually, huge},
};

async fn volume(proxy: &Proxy) -> StorageVolume {
    let request = proxy.signed(GetVolumeRequest { volume: "v".into() });
    let answer = proxy.storage().get_volume(request).await.unwrap();
    answer.into_inner().volume.unwrap()
}

async fn until(proxy: &Proxy, is: impl Fn(&StorageVolume) -> bool) -> StorageVolume {
    for _ in 0..4_000 {
        let now = volume(proxy).await;
        if is(&now) {
            return now;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("not in time: {:?}", volume(proxy).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_is_answered_before_anything_is_destroyed_and_the_space_to_come_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tmpfs");
    // Not nearly full, whatever the machine is: then nothing would be counted.
    let Some(_mounted) = Mounted::tmpfs(&path, "size=64m") else {
        return;
    };
    // A second for each entry.
    let armed = set_up_in(TempDir::new_in(&path).unwrap());
    let proxy = Proxy::start_armed(armed, "remove.entry=pause")
        .await
        .unwrap();
    let vfolder = proxy.create().await;
    for number in 0..40 {
        fs::write(proxy.tree(vfolder).join(number.to_string()), [b'x'; 5000]).unwrap();
    }
    let tree = directory(&proxy.tree(vfolder));
    let all = usage(tree.as_fd(), Workers::ONE, &Control::default()).unwrap();
    let purge = Task::PurgeTree(PurgeTree {
        vfolder_id: vfolder.to_string(),
    });
    let (operation, trash) = (Uuid::now_v7(), proxy.dir.path().join("v/trash"));
    let ended = proxy.run(operation, purge).await.unwrap();
    let progress = ended.progress.unwrap_or_default();
    assert_eq!((ended.failure, progress.entries_total), (None, 0));
    assert!(!proxy.tree(vfolder).exists());
    let left = fs::read_dir(trash.join(operation.to_string())).unwrap();
    assert!(left.count() > 30, "it was destroyed before the answer");

    let counted = until(&proxy, |now| now.reclaim_pending_bytes > 0).await;
    assert_eq!(counted.reclaim_pending_trees, 1);
    assert!(counted.reclaim_pending_bytes <= all.disk_bytes);
    until(&proxy, |now| {
        now.reclaim_pending_trees == 1 && now.reclaim_pending_bytes < counted.reclaim_pending_bytes
    })
    .await;

    let proxy = Proxy::start_in(proxy.kill()).await;
    let gone = until(&proxy, |now| now.reclaim_pending_trees == 0).await;
    assert_eq!(gone.reclaim_pending_bytes, 0);
    assert_eq!(fs::read_dir(trash).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_cuts_a_huge_file_down_it_goes_on() {
    let dir = set_up();
    let tree = dir.path().join("v/trash").join(Uuid::now_v7().to_string());
    fs::create_dir_all(&tree).unwrap();
    let file = tree.join("huge");
    if !huge(&file) {
        return not_checked("no room for real blocks");
    }
    let dir = match Proxy::start_armed(dir, "remove.step=kill@2").await {
        Ok(proxy) => proxy.died("remove.step").await,
        Err((dir, _)) => dir,
    };
    assert!((1..HUGE).contains(&file.metadata().unwrap().len()));
    let proxy = Proxy::start_in(dir).await;
    eventually("the trash is empty", || !tree.exists()).await;
    drop(proxy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_is_destroyed_first() {
    let dir = set_up();
    let trash = dir.path().join("v/trash");
    let names: Vec<_> = (0..5).map(|_| Uuid::now_v7().to_string()).collect();
    // In another order than theirs.
    for at in [3, 0, 4, 2, 1] {
        fs::create_dir_all(trash.join(&names[at]).join("sub")).unwrap();
    }
    let proxy = match Proxy::start_armed(dir, "reclaim.done=kill@2").await {
        Ok(proxy) => proxy.died("reclaim.done").await,
        Err((dir, _)) => dir,
    };
    let left = names.iter().map(|name| trash.join(name).exists());
    assert!(left.eq([false, false, true, true, true]));
    let proxy = Proxy::start_in(proxy).await;
    eventually("the trash is empty", || {
        fs::read_dir(&trash).unwrap().count() == 0
    })
    .await;
    drop(proxy);
}
