//! What uploads leave in a tree is accounted for, also by those that fail.

use std::path::Path;

use tempfile::TempDir;
use vfolder_proto::{
    storage::GetOwnerUsageRequest,
    v1::{CreateDirectoryRequest, FileCheck, UploadTarget},
};

use super::kit::{Client, pieces, target};
use crate::{
    mounted::Mounted,
    proxy::{Proxy, refused, set_up_in},
    quota::{OWNER, found, granted, quota},
};

async fn directories_of_a_commit_are_counted_in(within: &Path) {
    let dir = set_up_in(TempDir::new_in(within).unwrap());
    let armed = Proxy::start_armed(dir, "upload.landing=ENOSPC@1").await;
    let proxy = armed.unwrap();
    let vfolder = proxy.create().await;
    // It is limited from now on.
    let mkdir = CreateDirectoryRequest {
        vfolder_id: vfolder.to_string(),
        path: "first".into(),
        ..CreateDirectoryRequest::default()
    };
    let limited = granted(&proxy, vfolder, &quota(1, 1 << 20, 100, 0), mkdir);
    proxy.files().create_directory(limited).await.unwrap();
    let counted = async || {
        let asked = GetOwnerUsageRequest {
            volume: "v".into(),
            owner: OWNER.into(),
        };
        let told = proxy.storage().get_owner_usage(proxy.signed(asked)).await;
        let told = told.unwrap().into_inner();
        let there = found(&proxy.tree(vfolder));
        assert_eq!((told.bytes, told.files), (there.bytes, there.files));
        assert_eq!(told.uncounted, 0);
        (told.files, told.reserved_bytes, told.reserved_files)
    };
    assert_eq!(counted().await, (1, 0, 0));
    let client = Client::new(&proxy, vfolder);
    let wanted = UploadTarget {
        parents: true,
        ..target("a/b/f")
    };
    let id = client.create(wanted, None).await.unwrap().id;
    client.send(&id, None, pieces(b"some", 4)).await.unwrap();
    let full = client.commit(&id, FileCheck::default()).await;
    assert_eq!(refused(full).1, "VOLUME_FULL");
    assert_eq!(counted().await, (3, 4, 1));
    client.commit(&id, FileCheck::default()).await.unwrap();
    assert_eq!(counted().await, (4, 0, 0));
    drop(proxy.kill());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_of_a_commit_are_counted_once_also_if_it_fails() {
    directories_of_a_commit_are_counted_in(&std::env::temp_dir()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_of_a_commit_into_a_subvolume_are_counted_once_also_if_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("btrfs");
    if let Some(_mounted) = Mounted::image("btrfs", &path, 1 << 30) {
        directories_of_a_commit_are_counted_in(&path).await;
    }
}
