//! Names and symlinks that are made to do harm, through every RPC.

use std::{
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
};

use tonic::Code;
use vfolder_proto::v1::{
    CreateDirectoryRequest, FileType, GetUsageRequest, ListFilesRequest, MoveFileRequest,
    RemoveFilesRequest, SearchFilesRequest, StatFileRequest,
};

use super::{Desk, name_of, path_of};
use crate::proxy::refused;

/// None of them means anything but itself.
const STRANGE: [&[u8]; 14] = [
    b"new\nline",
    b"\xff\xfe",
    b"half\xc3",
    "e\u{301}".as_bytes(),
    b"...",
    b"-rf",
    b" ",
    b"*",
    b"[a",
    b"back\\slash",
    b"\x01\x7f",
    b"%2e%2e",
    b"..\\..",
    &[b'n'; 255],
];

#[tokio::test]
async fn strange_names_come_back_byte_by_byte_from_every_rpc() {
    let desk = Desk::new().await;
    let files = || desk.proxy.files();
    for name in STRANGE {
        let shown = name.escape_ascii().to_string();
        let inner = [name, b"/", name].concat();
        let make = CreateDirectoryRequest {
            vfolder_id: desk.id(),
            path_bytes: inner.clone().into(),
            parents: true,
            ..CreateDirectoryRequest::default()
        };
        let made = files()
            .create_directory(desk.ask(make))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (name_of(&made), path_of(&made)),
            (name.to_vec(), inner.clone()),
            "{shown}"
        );
        assert!(
            desk.tree()
                .join(std::ffi::OsStr::from_bytes(&inner))
                .is_dir(),
            "{shown}"
        );
        // The bytes are there only where the text does not lead back.
        assert_eq!(
            made.path_bytes.is_empty(),
            std::str::from_utf8(name).is_ok(),
            "{shown}"
        );

        let stat = StatFileRequest {
            vfolder_id: desk.id(),
            path_bytes: inner.clone().into(),
            ..StatFileRequest::default()
        };
        let entry = files()
            .stat_file(desk.ask(stat))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(entry, made, "{shown}");
        let list = ListFilesRequest {
            vfolder_id: desk.id(),
            path_bytes: name.to_vec().into(),
            ..ListFilesRequest::default()
        };
        let listed = files()
            .list_files(desk.ask(list))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            listed.entries.iter().map(name_of).collect::<Vec<_>>(),
            [name],
            "{shown}"
        );
        let search = SearchFilesRequest {
            vfolder_id: desk.id(),
            path_bytes: name.to_vec().into(),
            pattern: "**".into(),
            ..SearchFilesRequest::default()
        };
        let found = files()
            .search_files(desk.ask(search))
            .await
            .unwrap()
            .into_inner();
        let found: Vec<_> = found.entries.iter().map(path_of).collect();
        assert_eq!(found, [&*inner], "{shown}");
        let usage = GetUsageRequest {
            vfolder_id: desk.id(),
            path_bytes: name.to_vec().into(),
            ..GetUsageRequest::default()
        };
        let usage = files()
            .get_usage(desk.ask(usage))
            .await
            .unwrap()
            .into_inner();
        assert_eq!((usage.files, usage.bytes), (2, 0), "{shown}");
        let rename = MoveFileRequest {
            vfolder_id: desk.id(),
            path_bytes: inner.into(),
            new_path_bytes: [b"moved-", &name[..name.len().min(200)]].concat().into(),
            ..MoveFileRequest::default()
        };
        let moved = files()
            .move_file(desk.ask(rename))
            .await
            .unwrap()
            .into_inner();
        let remove = RemoveFilesRequest {
            vfolder_id: desk.id(),
            paths_bytes: vec![path_of(&moved).into(), name.to_vec().into()],
            ..RemoveFilesRequest::default()
        };
        let removed = files()
            .remove_files(desk.ask(remove))
            .await
            .unwrap()
            .into_inner();
        assert!(
            removed
                .results
                .iter()
                .all(|one| one.removed && one.files == 1),
            "{shown}"
        );
        assert_eq!(fs::read_dir(desk.tree()).unwrap().count(), 0, "{shown}");
    }
}

#[tokio::test]
async fn a_symlink_is_told_moved_and_removed_and_leads_nowhere() {
    let desk = Desk::new().await;
    let tree = desk.tree();
    let outside = desk.proxy.dir.path().join("outside");
    fs::create_dir_all(outside.join("secret")).unwrap();
    for (name, target) in [
        ("out", outside.as_path()),
        ("root", "/".as_ref()),
        ("up", "..".as_ref()),
        ("itself", "itself".as_ref()),
        ("dangling", "none".as_ref()),
    ] {
        symlink(target, tree.join(name)).unwrap();
    }
    let files = || desk.proxy.files();
    let through = (Code::FailedPrecondition, "SYMLINK_IN_PATH".to_owned());
    for name in ["out", "root", "up", "itself", "dangling"] {
        let stat = |path: String| {
            desk.ask(StatFileRequest {
                vfolder_id: desk.id(),
                path,
                ..StatFileRequest::default()
            })
        };
        let entry = files()
            .stat_file(stat(name.into()))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(entry.r#type(), FileType::Symlink, "{name}");
        let usage = |path: String| {
            desk.ask(GetUsageRequest {
                vfolder_id: desk.id(),
                path,
                ..GetUsageRequest::default()
            })
        };
        let counted = files()
            .get_usage(usage(name.into()))
            .await
            .unwrap()
            .into_inner();
        assert_eq!((counted.files, counted.bytes), (1, 0), "{name}");

        let inside = format!("{name}/secret");
        assert_eq!(
            refused(files().stat_file(stat(inside.clone())).await),
            through,
            "{name}"
        );
        assert_eq!(
            refused(files().get_usage(usage(inside.clone())).await),
            through,
            "{name}"
        );
        for path in [name.to_owned(), inside.clone()] {
            let list = ListFilesRequest {
                path: path.clone(),
                ..ListFilesRequest::default()
            };
            assert_eq!(refused(desk.list(list.clone()).await), through, "{path}");
            let recursive = ListFilesRequest {
                recursive: true,
                ..list
            };
            assert_eq!(refused(desk.list(recursive).await), through, "{path}");
            let search = desk.ask(SearchFilesRequest {
                vfolder_id: desk.id(),
                path: path.clone(),
                pattern: "**".into(),
                ..SearchFilesRequest::default()
            });
            assert_eq!(
                refused(files().search_files(search).await),
                through,
                "{path}"
            );
        }
        let make = desk.ask(CreateDirectoryRequest {
            vfolder_id: desk.id(),
            path: format!("{name}/new"),
            parents: true,
            ..CreateDirectoryRequest::default()
        });
        assert_eq!(
            refused(files().create_directory(make).await),
            through,
            "{name}"
        );
        let remove = desk.ask(RemoveFilesRequest {
            vfolder_id: desk.id(),
            paths: vec![inside],
            recursive: true,
            missing_ok: true,
            ..RemoveFilesRequest::default()
        });
        let removed = files()
            .remove_files(remove)
            .await
            .unwrap()
            .into_inner()
            .results;
        assert_eq!(removed[0].reason, "SYMLINK_IN_PATH", "{name}");
    }
    let (all, _) = desk
        .list_all(ListFilesRequest {
            recursive: true,
            ..Default::default()
        })
        .await;
    assert_eq!(all.len(), 5);
    let remove = desk.ask(RemoveFilesRequest {
        vfolder_id: desk.id(),
        paths: all.into_iter().map(|one| one.path).collect(),
        recursive: true,
        ..RemoveFilesRequest::default()
    });
    let removed = files()
        .remove_files(remove)
        .await
        .unwrap()
        .into_inner()
        .results;
    assert!(
        removed.iter().all(|one| one.removed && one.files == 1),
        "{removed:?}"
    );
    assert!(outside.join("secret").is_dir());
    assert_eq!(
        fs::read_dir(&outside).unwrap().count(),
        1,
        "something was made outside"
    );
}
