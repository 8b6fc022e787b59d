//! What is left of uploads that nobody comes back for, and who clears it away.

use std::{fs, path::Path};

use tempfile::TempDir;
use vfolder_proto::v1::{FileCheck, UploadTarget, write_file_request::To};
use vfolder_storage_proxy::volume::tree_path;

use super::kit::{Client, configured, pieces, target};
use crate::{
    mounted::Mounted,
    proxy::{Proxy, set_up, set_up_in},
    support::eventually,
};

fn count(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_file_that_is_cancelled_while_it_begins_leaves_nothing() {
    let proxy = Proxy::start_armed(set_up(), "upload.made=pause@1")
        .await
        .unwrap();
    let client = Client::new(&proxy, proxy.create().await);
    let (_sender, stream) = client.open_stream(To::File(target("f")));
    let stream = tokio::spawn(stream);
    let uploads = proxy.dir.path().join("v/uploads");
    eventually("it has begun", || count(&uploads) == 1).await;
    stream.abort();
    eventually("nothing is left", || count(&uploads) == 0).await;
    assert_eq!(client.open_files(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_leaves_a_whole_file_alone_that_somebody_has_begun() {
    // Ten looks a second, and one second between its beginning and its first byte.
    let dir = configured("upload_expiry = \"400ms\"");
    let armed = Proxy::start_armed(dir, "upload.made=pause@1").await;
    let proxy = armed.unwrap();
    let client = Client::new(&proxy, proxy.create().await);
    let written = client.write(target("f"), FileCheck::default(), pieces(b"some", 4));
    assert_eq!(written.await.unwrap().written, 4);
    assert_eq!(fs::read(client.path("f")).unwrap(), b"some");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_is_none_keeps_no_other_vfolder_from_being_swept() {
    let proxy = Proxy::start().await;
    let mut vfolders = Vec::new();
    for _ in 0..8 {
        let client = Client::new(&proxy, proxy.create().await);
        client.create(target("f"), None).await.unwrap();
        vfolders.push(client.vfolder);
    }
    let dir = proxy.kill();
    for vfolder in &vfolders[..2] {
        let tree = dir.path().join("v").join(tree_path(*vfolder));
        fs::remove_dir(&tree).unwrap();
        fs::write(&tree, "no tree").unwrap();
    }
    let config = dir.path().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        format!("{text}[transfers]\nupload_expiry = \"1s\"\n"),
    )
    .unwrap();
    let proxy = Proxy::start_in(dir).await;
    let uploads = proxy.dir.path().join("v/uploads");
    eventually("all others are swept", || count(&uploads) == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_a_crash_left_in_a_tree_is_removed_by_nobody_without_a_grant() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("btrfs");
    let Some(_mounted) = Mounted::image("btrfs", &path, 1 << 30) else {
        return;
    };
    for passing in [false, true] {
        let set_up = set_up_in(TempDir::new_in(&path).unwrap());
        let config = set_up.path().join("config.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(
            &config,
            format!("{text}[transfers]\nupload_expiry = \"1s\"\n"),
        )
        .unwrap();
        let armed = Proxy::start_armed(set_up, "upload.hidden=kill@1").await;
        let proxy = armed.unwrap();
        let vfolder = proxy.create().await;
        let client = Client::new(&proxy, vfolder);
        fs::write(client.path("f"), "old").unwrap();
        let wanted = UploadTarget {
            replace: true,
            ..target("f")
        };
        if passing {
            let whole = client.write(wanted, FileCheck::default(), pieces(b"new", 3));
            assert!(whole.await.is_err());
        } else {
            let id = client.create(wanted, None).await.unwrap().id;
            client.send(&id, None, pieces(b"new", 3)).await.unwrap();
            assert!(client.commit(&id, FileCheck::default()).await.is_err());
        }
        let proxy = Proxy::start_in(proxy.died("upload.hidden").await).await;
        let (tree, uploads) = (proxy.tree(vfolder), proxy.dir.path().join("v/uploads"));
        let upload = fs::read_dir(uploads.join(vfolder.to_string()))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        eventually("its bytes are swept", || !upload.join("data").exists()).await;
        assert_eq!(count(&tree), 2, "passing: {passing}");
        // Whoever may write the vfolder's uploads does.
        let client = Client::new(&proxy, vfolder);
        let other = client.create(target("g"), None).await.unwrap();
        client.abort(&other.id).await.unwrap();
        assert_eq!(count(&tree), 1, "passing: {passing}");
        assert_eq!(fs::read(tree.join("f")).unwrap(), b"old");
        eventually("nothing is left", || count(&uploads) == 0).await;
        drop(proxy.kill());
    }
}
