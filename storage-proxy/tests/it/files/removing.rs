//! Removals.

use std::{fs, os::unix::fs::symlink};

use tonic::{Code, Request, Status};
use uuid::Uuid;
use vfolder_common::token::{GRANT_HEADER, Grant, GrantMode};
use vfolder_proto::v1::{RemoveFilesRequest, RemovedFile};

use super::{Desk, bytes};
use crate::{
    proxy::{Proxy, refused, set_up, wrong_fields},
    stale_grant::{fence_held, held_up},
};

fn request(vfolder: Uuid, paths: &[&str]) -> RemoveFilesRequest {
    RemoveFilesRequest {
        vfolder_id: vfolder.to_string(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..RemoveFilesRequest::default()
    }
}

impl Desk {
    async fn remove(&self, request: RemoveFilesRequest) -> Result<Vec<RemovedFile>, Status> {
        let removed = self.proxy.files().remove_files(self.ask(request)).await?;
        Ok(removed.into_inner().results)
    }
}

/// Path, whether it is gone, how many entries went, and why not.
fn told(results: &[RemovedFile]) -> Vec<(&[u8], bool, i64, &str)> {
    let one = |one: &'_ RemovedFile| (one.removed, one.files);
    results
        .iter()
        .map(|result| {
            let (removed, files) = one(result);
            let path = bytes(&result.path, &result.path_bytes);
            (path, removed, files, result.reason.as_str())
        })
        .collect()
}

#[tokio::test]
async fn what_may_come_back_after_a_power_cut_is_not_called_removed() {
    let proxy = Proxy::start_armed(set_up(), "files.removed=EIO").await;
    let desk = Desk::of(proxy.unwrap()).await;
    build(&desk);
    let mut one = request(desk.vfolder, &["f"]);
    let results = desk.remove(one.clone()).await.unwrap();
    assert_eq!(told(&results), [(&b"f"[..], false, 1, "IO_ERROR")]);
    assert!(results[0].message.contains("power cut"), "{results:?}");
    // As it says, there is nothing left to do but to try again.
    one.missing_ok = true;
    assert_eq!(desk.remove(one).await.unwrap()[0].reason, "IO_ERROR");
    assert!(!desk.tree().join("f").exists());
}

fn build(desk: &Desk) {
    let tree = desk.tree();
    for directory in ["full/sub", "empty", "nest/in/side", "flat/x"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    for file in ["f", "full/a", "full/sub/b", "nest/in/side/c"] {
        fs::write(tree.join(file), "x").unwrap();
    }
    symlink("full", tree.join("link")).unwrap();
}

#[tokio::test]
async fn each_path_says_what_became_of_it_in_the_order_of_the_request() {
    let desk = Desk::new().await;
    build(&desk);
    let all = RemoveFilesRequest {
        paths_bytes: vec![b"none\xff".to_vec().into()],
        ..request(
            desk.vfolder,
            &[
                "f", "full", "empty", "none", "f/x", "link/a", "link", "f", "flat", "flat/x",
            ],
        )
    };
    let results = desk.remove(all).await.unwrap();
    let wanted: [(&[u8], bool, i64, &str); 11] = [
        (b"f", true, 1, ""),
        (b"full", false, 0, "DIRECTORY_NOT_EMPTY"),
        (b"empty", true, 1, ""),
        (b"none", false, 0, "FILE_NOT_FOUND"),
        (b"f/x", false, 0, "NOT_A_DIRECTORY"),
        (b"link/a", false, 0, "SYMLINK_IN_PATH"),
        (b"link", true, 1, ""),
        // The same once more.
        (b"f", true, 0, ""),
        // What is inside goes first.
        (b"flat", true, 1, ""),
        (b"flat/x", true, 1, ""),
        (b"none\xff", false, 0, "FILE_NOT_FOUND"),
    ];
    assert_eq!(told(&results), wanted);
    let spoken = results
        .iter()
        .all(|one| one.removed == one.message.is_empty());
    assert!(spoken, "{results:?}");
    // The symlink is gone, not what it pointed to.
    assert!(desk.tree().join("full/sub/b").exists());
}

#[tokio::test]
async fn directories_go_with_all_that_is_in_them_and_what_is_missing_may_be() {
    let desk = Desk::new().await;
    build(&desk);
    let all = RemoveFilesRequest {
        recursive: true,
        missing_ok: true,
        ..request(
            desk.vfolder,
            &["nest", "nest/in/side", "full", "none", "none/deeper", "f/x"],
        )
    };
    let results = desk.remove(all).await.unwrap();
    let wanted: [(&[u8], bool, i64, &str); 6] = [
        (b"nest", true, 2, ""),
        (b"nest/in/side", true, 2, ""),
        (b"full", true, 4, ""),
        (b"none", true, 0, ""),
        (b"none/deeper", true, 0, ""),
        (b"f/x", false, 0, "NOT_A_DIRECTORY"),
    ];
    assert_eq!(told(&results), wanted);
    let mut left: Vec<_> = fs::read_dir(desk.tree())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["empty", "f", "flat", "link"]);
}

#[tokio::test]
async fn one_bad_path_and_nothing_is_removed() {
    let desk = Desk::new().await;
    build(&desk);
    let vfolder = desk.vfolder;
    for (paths, fields) in [
        (&["f", ""][..], &["paths[1]"][..]),
        (&["f", "."], &["paths[1]"]),
        (&["../f", "f", "/f"], &["paths[0]", "paths[2]"]),
        (&[], &["paths"]),
    ] {
        assert_eq!(
            wrong_fields(desk.remove(request(vfolder, paths)).await),
            fields,
            "{paths:?}"
        );
    }
    let long = "x".repeat(200);
    for many in [vec!["f"; 10_001], vec![&long; 6_000]] {
        assert_eq!(
            wrong_fields(desk.remove(request(vfolder, &many)).await),
            ["paths"]
        );
    }
    let scoped = Grant {
        vfolder,
        volume: "v".into(),
        mode: GrantMode::ReadWrite,
        epoch: 1,
        subject: "u".into(),
        path: b"full".to_vec(),
        quota: None,
    };
    let secret = &desk.proxy.secret;
    let token = secret.sign_grant(&scoped, std::time::Duration::from_secs(60));
    let mut beyond = Request::new(request(vfolder, &["full/a", "f"]));
    beyond
        .metadata_mut()
        .insert(GRANT_HEADER, token.unwrap().parse().unwrap());
    let answer = refused(desk.proxy.files().remove_files(beyond).await);
    assert_eq!(answer, (Code::PermissionDenied, "GRANT_TOO_SMALL".into()));
    assert!(desk.tree().join("f").exists() && desk.tree().join("full/a").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_the_tree_has_changed_hands_is_not_removed() {
    let armed = Proxy::start_armed(set_up(), "remove.entry=hold@3,fence.noted=hold@1").await;
    let desk = Desk::of(armed.unwrap()).await;
    for directory in ["a", "b"] {
        fs::create_dir(desk.tree().join(directory)).unwrap();
        for file in 0..10 {
            fs::write(desk.tree().join(format!("{directory}/{file}")), "").unwrap();
        }
    }
    let all = RemoveFilesRequest {
        recursive: true,
        ..request(desk.vfolder, &["a", "b"])
    };
    let passage = "\"remove.entry\" passage=3";
    let removing = held_up(&desk.proxy, passage, desk.remove(all), async {
        fence_held(&desk.proxy, desk.vfolder, 2).await;
    });
    let results = removing.await.unwrap();
    let (a, b) = (&results[0], &results[1]);
    assert_eq!(
        (a.removed, a.files, a.reason.as_str()),
        (false, 0, "GRANT_STALE"),
        "{a:?}"
    );
    assert_eq!(
        (b.removed, b.reason.as_str()),
        (false, "GRANT_STALE"),
        "{b:?}"
    );
    let left = |name: &str| fs::read_dir(desk.tree().join(name)).unwrap().count();
    assert_eq!(left("a"), 10);
    assert_eq!(i64::try_from(left("b")).unwrap() + b.files, 10);
    // The third was held until the tree had changed hands.
    assert_eq!(b.files, 2, "{b:?}");
}
