//! Renames.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
};

use tonic::{Code, Status};
use vfolder_proto::v1::{FileEntry, FileType, MoveFileRequest};

use super::Desk;
use crate::proxy::{Proxy, refused, set_up, wrong_fields};

impl Desk {
    async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<FileEntry, Status> {
        let request = MoveFileRequest {
            vfolder_id: self.id(),
            path: from.into(),
            new_path: to.into(),
            replace,
            ..MoveFileRequest::default()
        };
        let moved = self.proxy.files().move_file(self.ask(request)).await;
        moved.map(tonic::Response::into_inner)
    }
}

/// As on NFS.
#[tokio::test]
async fn where_the_filesystem_has_no_rename_that_replaces_nothing_files_are_moved_all_the_same() {
    let proxy = Proxy::start_armed(set_up(), "files.moving=EINVAL").await;
    let desk = Desk::of(proxy.unwrap()).await;
    let tree = desk.tree();
    fs::create_dir_all(tree.join("d/in")).unwrap();
    fs::create_dir(tree.join("e")).unwrap();
    fs::write(tree.join("d/in/f"), "f").unwrap();
    symlink("none", tree.join("link")).unwrap();
    for (from, to) in [("d/in/f", "d/g"), ("d/in", "e/in"), ("link", "e/link")] {
        desk.rename(from, to, false).await.unwrap();
        assert!(tree.join(from).symlink_metadata().is_err());
    }
    assert_eq!(fs::read(tree.join("d/g")).unwrap(), b"f");
    assert!(tree.join("e/in").is_dir());
    assert_eq!(
        fs::read_link(tree.join("e/link")).unwrap(),
        Path::new("none")
    );
    let exists = (Code::AlreadyExists, "FILE_EXISTS".to_owned());
    for (from, to) in [
        ("d/g", "e/link"),
        ("d/g", "e/in"),
        ("e/in", "d/g"),
        ("d", "e"),
    ] {
        assert_eq!(
            refused(desk.rename(from, to, false).await),
            exists,
            "{from} to {to}"
        );
    }
    let inside = desk.rename("e", "e/in/e", false).await;
    assert_eq!(wrong_fields(inside), ["new_path"]);
    assert_eq!(fs::read_dir(&tree).unwrap().count(), 2);
}

#[tokio::test]
async fn what_is_there_is_replaced_only_if_asked_and_only_by_its_like() {
    let desk = Desk::new().await;
    let tree = desk.tree();
    for directory in ["d/full", "d/empty", "e"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    for file in ["one", "two", "d/full/x"] {
        fs::write(tree.join(file), file).unwrap();
    }
    symlink("one", tree.join("link")).unwrap();
    let exists = (Code::AlreadyExists, "FILE_EXISTS".to_owned());
    for (from, to, replace) in [
        ("one", "two", false),
        ("e", "d/empty", false),
        ("one", "one", false),
        ("one", "e", true),
        ("link", "e", true),
        ("e", "one", true),
        ("e", "link", true),
        ("e", "d", true),
    ] {
        assert_eq!(
            refused(desk.rename(from, to, replace).await),
            exists,
            "{from} to {to}"
        );
    }
    assert_eq!(fs::read(tree.join("two")).unwrap(), b"two");
    let moved = desk.rename("one", "two", true).await.unwrap();
    assert_eq!(
        (moved.path.as_str(), moved.name.as_str(), moved.size),
        ("two", "two", 3)
    );
    assert_eq!(fs::read(tree.join("two")).unwrap(), b"one");
    assert!(!tree.join("one").exists());
    let moved = desk.rename("d/full", "e", true).await.unwrap();
    assert_eq!(
        (moved.path.as_str(), moved.r#type()),
        ("e", FileType::Directory)
    );
    assert!(tree.join("e/x").exists());
    // A symlink moves as it is.
    let moved = desk.rename("link", "d/link", false).await.unwrap();
    assert_eq!(
        (moved.path.as_str(), moved.symlink_target.as_str()),
        ("d/link", "one")
    );
}

#[tokio::test]
async fn two_names_of_one_file_become_one() {
    let desk = Desk::new().await;
    let tree = desk.tree();
    fs::write(tree.join("a"), "x").unwrap();
    fs::hard_link(tree.join("a"), tree.join("b")).unwrap();
    let moved = desk.rename("a", "b", true).await.unwrap();
    assert_eq!(moved.link_count, 1);
    assert!(!tree.join("a").exists());
    assert_eq!(fs::metadata(tree.join("b")).unwrap().nlink(), 1);
    // Onto itself it stays.
    assert_eq!(desk.rename("b", "b", true).await.unwrap().link_count, 1);
    assert!(tree.join("b").exists());
}

#[tokio::test]
async fn what_can_not_be_moved_says_why() {
    let desk = Desk::new().await;
    let tree = desk.tree();
    fs::create_dir_all(tree.join("d/sub")).unwrap();
    fs::write(tree.join("f"), "").unwrap();
    symlink("/etc", tree.join("out")).unwrap();
    for (from, to, fields) in [
        ("d", "d/sub/d", &["new_path"][..]),
        ("d", "d/x", &["new_path"]),
        ("", "x", &["path"]),
        ("d", "", &["new_path"]),
        (".", "..", &["path", "new_path"]),
    ] {
        assert_eq!(
            wrong_fields(desk.rename(from, to, false).await),
            fields,
            "{from} to {to}"
        );
    }
    for (from, to, code, reason) in [
        ("none", "x", Code::NotFound, "FILE_NOT_FOUND"),
        ("f", "none/x", Code::NotFound, "FILE_NOT_FOUND"),
        ("d", "f/x", Code::FailedPrecondition, "NOT_A_DIRECTORY"),
        ("f", "out/x", Code::FailedPrecondition, "SYMLINK_IN_PATH"),
        (
            "out/passwd",
            "x",
            Code::FailedPrecondition,
            "SYMLINK_IN_PATH",
        ),
    ] {
        let answer = refused(desk.rename(from, to, true).await);
        assert_eq!(answer, (code, reason.to_owned()), "{from} to {to}");
    }
    assert!(tree.join("d/sub").is_dir() && tree.join("f").exists());
}
