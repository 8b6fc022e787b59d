//! Who waits for whom: nobody for another volume's disks, and only long work for a turn.

use std::{
    fs,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::time::timeout;
use tonic::Request;
use uuid::Uuid;
use vfolder_common::token::{Grant, GrantMode, SharedSecret};
use vfolder_proto::storage::{
    HandshakeRequest, StorageVolumeState, storage_service_server::StorageService as _,
};
use vfolder_storage_proxy::{
    file::{Files, Visit},
    grpc::Storage,
    task::{LOOKS, Stay, TaskSpec, Tasks, VolumeConfig, Work},
    volume::{Fence, Holder, Volume, init, tree_path},
};

use crate::tasks::outcome;

fn two_volumes(dir: &tempfile::TempDir, max_tasks: usize) -> Tasks {
    let holder = Holder::this(Uuid::new_v4());
    let open = |name: &str| {
        init(&dir.path().join(name), name).unwrap();
        let volume = Volume::new(name, dir.path().join(name), holder.clone());
        volume.open_at_start().unwrap();
        VolumeConfig {
            volume: Arc::new(volume),
            max_tasks,
            reclaim_duty: 20,
        }
    };
    Tasks::new(vec![open("v"), open("w")])
}

fn spec(volume: &str, work: Work) -> TaskSpec {
    TaskSpec {
        volume: volume.into(),
        epoch: 1,
        work,
    }
}

#[tokio::test]
async fn a_volume_that_hangs_does_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = two_volumes(&dir, 1);
    // Each look ends when its sender is dropped.
    let mut hanging = Vec::new();
    for _ in 0..2 * LOOKS {
        let (end, ended) = mpsc::channel::<()>();
        hanging.push(end);
        let tasks = tasks.clone();
        tokio::spawn(async move { tasks.look("v", move |_| ended.recv().is_ok()).await });
    }
    let (stuck, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
    for operation in [stuck, Uuid::now_v7()] {
        let tasks = tasks.clone();
        tokio::spawn(async move { tasks.cancel(operation, "v", vfolder, 1).await });
    }
    let _waiting = tasks.run(Uuid::now_v7(), spec("v", Work::Create { vfolder }));
    tokio::time::sleep(Duration::from_millis(50)).await;

    let others = async {
        let made = tasks.run(Uuid::now_v7(), spec("w", Work::Create { vfolder }));
        assert_eq!(outcome(made.unwrap()).await.failure, None);
        let (operation, other) = (Uuid::now_v7(), Uuid::now_v7());
        assert_eq!(tasks.cancel(operation, "w", other, 1).await, Ok(false));
        let secret = SharedSecret::new(b"0123456789abcdef0123456789abcdef").unwrap();
        let storage = Storage::new(tasks.clone(), Arc::new(secret), Uuid::new_v4());
        let nonce = "n".to_owned();
        let answer = storage.handshake(Request::new(HandshakeRequest { nonce }));
        let volumes = answer.await.unwrap().into_inner().volumes;
        let states: Vec<_> = volumes
            .iter()
            .map(|one| (one.name.as_str(), one.state()))
            .collect();
        let (bad, good) = (StorageVolumeState::Unavailable, StorageVolumeState::Serving);
        assert_eq!(states, [("v", bad), ("w", good)]);
        assert!(volumes[0].message.contains("has not answered"));
    };
    timeout(Duration::from_secs(15), others).await.unwrap();
    drop(hanging);
}

#[tokio::test]
async fn a_fence_is_raised_while_all_threads_of_its_volume_are_busy() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = two_volumes(&dir, 1);
    let mut busy = Vec::new();
    for _ in 0..2 * LOOKS {
        let (end, ended) = mpsc::channel::<()>();
        busy.push(end);
        let tasks = tasks.clone();
        tokio::spawn(async move { tasks.look("v", move |_| ended.recv().is_ok()).await });
    }
    // Behind all of them: whoever raises it does so to end them.
    tokio::task::yield_now().await;
    let raised = tasks.fence("v", Uuid::now_v7(), Fence::for_all(2));
    timeout(Duration::from_secs(15), raised)
        .await
        .unwrap()
        .unwrap();
    drop(busy);
}

/// However many want something of one vfolder, whether they walk or not, they leave threads to the others, and those who
/// walk leave some to those who don't.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_vfolders_readers_take_a_share_of_a_volumes_threads() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::new(two_volumes(&dir, 1));
    let (crowded, other) = (Uuid::now_v7(), Uuid::now_v7());
    let grant = |vfolder| Grant {
        vfolder,
        volume: "v".into(),
        mode: GrantMode::ReadOnly,
        epoch: 1,
        subject: "tester".into(),
        path: Vec::new(),
        quota: None,
    };
    for vfolder in [crowded, other] {
        fs::create_dir_all(dir.path().join("v").join(tree_path(vfolder))).unwrap();
    }
    let patience = Duration::from_secs(15);
    for (walking, most) in [(true, 4), (false, 8)] {
        let (inside, entered) = mpsc::channel();
        let mut held = Vec::new();
        for _ in 0..2 * LOOKS {
            let (end, ended) = mpsc::channel::<()>();
            let (files, grant, inside) = (files.clone(), grant(crowded), inside.clone());
            tokio::spawn(async move {
                let stay = move |_: &Visit<'_>| {
                    inside.send(()).unwrap();
                    let _ = ended.recv();
                    Ok(())
                };
                match walking {
                    true => {
                        files
                            .walk_tree(grant, Stay::Reading, Arc::default(), stay)
                            .await
                    }
                    false => {
                        files
                            .in_tree(grant, Stay::Reading, Arc::default(), stay)
                            .await
                    }
                }
            });
            held.push(end);
        }
        for _ in 0..most {
            entered.recv_timeout(patience).unwrap();
        }
        // Whoever comes next is served, which takes longer than another one of the crowd would need to get in.
        let next = if walking { crowded } else { other };
        for _ in 0..100 {
            let served = files.in_tree(grant(next), Stay::Reading, Arc::default(), |_| Ok(()));
            timeout(patience, served).await.unwrap().unwrap();
        }
        assert!(
            entered.try_recv().is_err(),
            "more than {most} of one vfolder are in its tree"
        );
        drop(held);
        for _ in most..2 * LOOKS {
            entered.recv_timeout(patience).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_copy_waits_for_a_turn() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = two_volumes(&dir, 1);
    let at = |vfolder| dir.path().join("v").join(tree_path(vfolder));
    let (source, other, published) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    fs::create_dir_all(at(source)).unwrap();
    for number in 0..20_000 {
        fs::write(at(source).join(number.to_string()), "").unwrap();
    }
    for vfolder in [other, published] {
        fs::create_dir_all(at(vfolder).join("sub")).unwrap();
    }
    let clone = |vfolder| {
        spec(
            "v",
            Work::Clone {
                source,
                vfolder,
                source_epoch: 1,
                receipt: false,
            },
        )
    };
    let mut long = tasks.run(Uuid::now_v7(), clone(Uuid::now_v7())).unwrap();
    while long.progress().entries_done == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    for work in [
        Work::Purge { vfolder: other },
        Work::Clone {
            source,
            vfolder: published,
            source_epoch: 1,
            receipt: false,
        },
    ] {
        let quick = tasks.run(Uuid::now_v7(), spec("v", work.clone())).unwrap();
        let ended = tokio::select! {
            ended = outcome(quick) => ended,
            _ = long.end() => panic!("{work:?} has waited for the clone"),
        };
        assert_eq!(ended.failure, None);
    }
    assert!(!at(other).exists());
    tasks.suspend().await;
}
