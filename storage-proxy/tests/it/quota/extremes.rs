//! Accounts at the ends of what there is: of space, and of numbers.

use std::fs::{self, File};

use tempfile::TempDir;
use vfolder_proto::{
    storage::{RecountTree, run_task_request::Task},
    v1::{FileCheck, RemoveFilesRequest},
};

use super::scene::Scene;
use crate::{
    mounted::Mounted,
    proxy::{refused, set_up_in},
    transfers::kit::{Client, pieces, target},
};

#[tokio::test]
async fn a_tree_of_more_bytes_than_a_sum_can_hold_is_no_small_one() {
    let dir = TempDir::new().unwrap();
    let volume = dir.path().join("v");
    // Few filesystems have files as large.
    let Some(_mounted) = Mounted::tmpfs(&volume, "size=64m") else {
        return;
    };
    // Its lock is released before it is unmounted.
    let mut scene = Scene::start(set_up_in(TempDir::new_in(&volume).unwrap())).await;
    let tree = scene.proxy.tree(scene.vfolder);
    // Together 2^64: nothing, to who counts by 64 bits.
    for name in ["w", "x", "y", "z"] {
        File::create(tree.join(name))
            .unwrap()
            .set_len(1 << 62)
            .unwrap();
    }
    scene.limit(1 << 40, 0).await;
    let client = scene.client();
    let write = client.write(target("f"), FileCheck::default(), pieces(b"data", 4));
    assert_eq!(refused(write.await).1, "QUOTA_EXCEEDED");
    // Nor does it keep the owner's others from writing, whom nobody has limited so.
    let other = scene.proxy.create().await;
    let client = Client::new(&scene.proxy, other);
    let write = client.write(target("f"), FileCheck::default(), pieces(b"data", 4));
    write.await.unwrap();
}

/// That its figures do not hold any more can be noted all the same.
#[tokio::test]
async fn a_full_volume_forgets_nobody_whose_tree_counts_for_an_owner() {
    let dir = TempDir::new().unwrap();
    let volume = dir.path().join("v");
    let Some(_mounted) = Mounted::tmpfs(&volume, "size=4m") else {
        return;
    };
    // Its lock is released before it is unmounted.
    let scene = Scene::start(set_up_in(TempDir::new_in(&volume).unwrap())).await;
    let client = scene.client();
    let sent = client.write(
        target("f"),
        FileCheck::default(),
        pieces(&[0; 9_000], 9_000),
    );
    sent.await.unwrap();
    let ballast = volume.join("ballast");
    // The note says how much there is.
    let recount = Task::RecountTree(RecountTree {
        vfolder_id: scene.vfolder.to_string(),
    });
    scene.run(recount).await.unwrap();
    let all = fs::write(&ballast, vec![0; 8 << 20]);
    assert!(all.is_err(), "it is full");
    let nothing = RemoveFilesRequest {
        vfolder_id: scene.vfolder.to_string(),
        paths: vec!["missing".into()],
        missing_ok: true,
        ..RemoveFilesRequest::default()
    };
    let nothing = scene.granted(nothing);
    scene.proxy.files().remove_files(nothing).await.unwrap();
    let scene = scene.killed().await;
    fs::remove_file(ballast).unwrap();
    let client = scene.client();
    let sent = client.write(target("g"), FileCheck::default(), pieces(&[0; 500], 500));
    sent.await.unwrap();
    assert_eq!(scene.is_right("after the restart").await, (9_500, 2));
}
