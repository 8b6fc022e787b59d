//! Counting a tree for an estimate ends when nobody waits for it any more.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tonic::Request;
use uuid::Uuid;
use vfolder_common::token::SharedSecret;
use vfolder_proto::storage::{
    GetTreeUsageRequest, StorageCloneMethod, storage_service_server::StorageService as _,
};
use vfolder_storage_proxy::{grpc::Storage, volume::init};

use crate::support::Rig;

/// As many names of one file, which are made faster than files: enough to count for a while.
const NAMES: u64 = 60_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_ends_when_whoever_asked_hangs_up() {
    // Where many names are made in a moment, if there is such a place.
    let shm = Path::new("/dev/shm");
    let dir = match shm.is_dir() {
        true => tempfile::tempdir_in(shm).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    init(&dir.path().join("v"), "v").unwrap();
    let rig = Rig::on(dir);
    let vfolder = Uuid::now_v7();
    let root = rig.tree(vfolder);
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("file"), "x").unwrap();
    for name in 1..NAMES {
        fs::hard_link(root.join("file"), root.join(name.to_string())).unwrap();
    }
    let secret = Arc::new(SharedSecret::new(&[7; 64]).unwrap());
    let storage = Storage::new(rig.tasks.clone(), secret, Uuid::new_v4());
    let count = || {
        storage.get_tree_usage(Request::new(GetTreeUsageRequest {
            volume: "v".into(),
            vfolder_id: vfolder.to_string(),
        }))
    };
    let begun = Instant::now();
    let counted = count().await.unwrap().into_inner();
    let whole = begun.elapsed();
    assert_eq!((counted.entries, counted.bytes), (NAMES + 1, 1));
    let clone = counted.clone.unwrap();
    assert_ne!(clone.method(), StorageCloneMethod::Unspecified);
    assert!(clone.duration.is_some());

    // Who counts holds the volume open.
    let holders = || Arc::strong_count(&rig.volume.get().unwrap());
    let idle = holders();
    let mut hung_up = Duration::MAX;
    for _ in 0..20 {
        let mut asked = count();
        tokio::select! {
            biased;
            _ = &mut asked => panic!("it counted {NAMES} names faster than one can look"),
            () = async { while holders() == idle { tokio::task::yield_now().await } } => {}
        }
        drop(asked);
        let left = Instant::now();
        while holders() > idle {
            tokio::task::yield_now().await;
        }
        hung_up = hung_up.min(left.elapsed());
    }
    // The best of many: a busy machine may be late once.
    assert!(
        hung_up < whole / 2,
        "{hung_up:?} after hanging up, {whole:?} for all"
    );
}
