//! Lists of more than a directory, and in other orders than by name.

use std::{fs, os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

use vfolder_proto::v1::{ListFilesRequest, ListOrder};

use super::{Desk, name_of, path_of};
use crate::proxy::wrong_fields;

fn recursive(page_size: i32) -> ListFilesRequest {
    ListFilesRequest {
        recursive: true,
        page_size,
        ..ListFilesRequest::default()
    }
}

/// What is below `at`, each directory followed by what is in it, by hand.
fn walk(root: &Path, at: &Path, depth: usize, told: &mut Vec<Vec<u8>>) {
    let mut names: Vec<_> = fs::read_dir(at)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    for name in names {
        let path = at.join(name);
        told.push(
            path.strip_prefix(root)
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec(),
        );
        if path.is_dir() && !path.is_symlink() && depth > 1 {
            walk(root, &path, depth - 1, told);
        }
    }
}

fn build(root: &Path) {
    // "a-" and "a.b" come between "a" and "a/…" for whoever compares paths byte by byte.
    for directory in ["a", "a-", "a/b/c/d", "a/b-", "é/ü", "z", "empty"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for file in [
        "a.b",
        "a/1",
        "a/b/x",
        "a/b/c/y",
        "a/b/c/d/z",
        "a/c",
        "é/ü/new\nline",
        "zz",
    ] {
        fs::write(root.join(file), file).unwrap();
    }
    std::os::unix::fs::symlink("..", root.join("a/up")).unwrap();
}

#[tokio::test]
async fn pages_of_any_size_tell_a_tree_in_order_and_no_deeper_than_asked() {
    let desk = Desk::new().await;
    build(&desk.tree());
    for depth in [1, 2, 3, 0] {
        let levels = if depth == 0 { usize::MAX } else { depth };
        let mut wanted = Vec::new();
        walk(&desk.tree(), &desk.tree(), levels, &mut wanted);
        for size in [1, 2, 5, 1000] {
            let request = ListFilesRequest {
                max_depth: i32::try_from(depth).unwrap(),
                ..recursive(size)
            };
            let (entries, _) = desk.list_all(request).await;
            let told: Vec<_> = entries.iter().map(path_of).collect();
            assert_eq!(told, wanted, "depth {depth}, page size {size}");
        }
    }
    let inside = ListFilesRequest {
        path: "a/b".into(),
        ..recursive(2)
    };
    let (entries, pages) = desk.list_all(inside).await;
    let told: Vec<_> = entries.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(told, ["a/b/c", "a/b/c/d", "a/b/c/d/z", "a/b/c/y", "a/b/x"]);
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn a_list_goes_on_where_it_was_when_that_is_gone() {
    let desk = Desk::new().await;
    build(&desk.tree());
    let tree = desk.tree();
    let mut wanted = Vec::new();
    walk(&tree, &tree, usize::MAX, &mut wanted);
    for told in 1..wanted.len() {
        let request = recursive(i32::try_from(told).unwrap());
        let first = desk.list(request.clone()).await.unwrap();
        let last = &wanted[told - 1];
        // The place, and all that it was in.
        let top = last.split(|byte| *byte == b'/').next().unwrap();
        let top = tree.join(std::ffi::OsStr::from_bytes(top));
        let away = desk.proxy.dir.path().join("away");
        fs::rename(&top, &away).unwrap();
        let rest = ListFilesRequest {
            page_token: first.next_page_token,
            page_size: 1000,
            ..request
        };
        let rest: Vec<_> = desk
            .list(rest)
            .await
            .unwrap()
            .entries
            .iter()
            .map(path_of)
            .collect();
        let inside = [top.file_name().unwrap().as_bytes(), b"/"].concat();
        let mut expected = wanted[told..].to_vec();
        expected.retain(|path| !path.starts_with(&inside));
        assert_eq!(rest, expected, "after {}", last.escape_ascii());
        fs::rename(&away, &top).unwrap();
    }
}

#[tokio::test]
async fn a_chain_of_directories_is_told_as_far_as_it_can_be_named() {
    let desk = Desk::new().await;
    let mut at = crate::support::directory(&desk.tree());
    // Two bytes each: more than a path has, and than a process may have files open.
    for _ in 0..2500 {
        rustix::fs::mkdirat(&at, "d", rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        at = rustix::fs::openat(&at, "d", flags, rustix::fs::Mode::empty()).unwrap();
    }
    for size in [300, 10_000] {
        let (entries, _) = desk.list_all(recursive(size)).await;
        assert_eq!(entries.len(), 2048, "page size {size}");
        assert_eq!(entries.last().unwrap().path.len(), 4095);
    }
}

#[tokio::test]
async fn entries_are_put_in_order_by_size_and_time_and_the_other_way_round() {
    let desk = Desk::new().await;
    let now = std::time::SystemTime::now();
    for number in 0..50_u64 {
        let path = desk.tree().join(format!("f{number:02}"));
        fs::write(&path, vec![0; usize::try_from(number * 7 % 10).unwrap()]).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(now - Duration::from_millis(number * 13 % 20))
            .unwrap();
    }
    let (all, _) = desk.list_all(ListFilesRequest::default()).await;
    for order in [
        ListOrder::ByName,
        ListOrder::BySize,
        ListOrder::ByModifyTime,
    ] {
        for descending in [false, true] {
            let request = ListFilesRequest {
                order: order.into(),
                descending,
                page_size: 7,
                count_total: true,
                ..ListFilesRequest::default()
            };
            let mut wanted = all.clone();
            wanted.sort_by_key(|one| {
                let time = one.modify_time.unwrap();
                let by = match order {
                    ListOrder::BySize => (one.size, 0),
                    ListOrder::ByModifyTime => (time.seconds, time.nanos),
                    _ => (0, 0),
                };
                (by, one.name.clone())
            });
            if descending {
                wanted.reverse();
            }
            assert_eq!(desk.list(request.clone()).await.unwrap().total_size, 50);
            let (told, pages) = desk.list_all(request).await;
            assert_eq!(
                (told, pages),
                (wanted, 8),
                "{order:?}, descending: {descending}"
            );
        }
    }
}

#[tokio::test]
async fn ten_thousand_entries_of_long_names_come_in_pages_that_any_client_accepts() {
    let desk = Desk::new().await;
    let mut wanted = Vec::new();
    let tree = desk.tree();
    fs::write(tree.join("first"), "").unwrap();
    for number in 0..10_000 {
        // Bytes that are no UTF-8 are told twice.
        let mut name = format!("{number:05}").into_bytes();
        name.resize(if number % 2 == 0 { 255 } else { 90 }, 0xff);
        fs::hard_link(
            tree.join("first"),
            tree.join(std::ffi::OsStr::from_bytes(&name)),
        )
        .unwrap();
        wanted.push(name);
    }
    wanted.push(b"first".to_vec());
    for recursive in [false, true] {
        let request = ListFilesRequest {
            page_size: i32::MAX,
            recursive,
            ..ListFilesRequest::default()
        };
        // The client refuses what is above 4 MiB.
        let (entries, pages) = desk.list_all(request).await;
        let told: Vec<_> = entries.iter().map(name_of).collect();
        assert!(told == wanted, "{} entries", told.len());
        assert!((2..20).contains(&pages), "{pages} pages");
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_own_list_only() {
    let desk = Desk::new().await;
    build(&desk.tree());
    let request = recursive(1);
    let token = desk.list(request.clone()).await.unwrap().next_page_token;
    let plain = ListFilesRequest {
        page_size: 1,
        ..ListFilesRequest::default()
    };
    let plain_token = desk.list(plain.clone()).await.unwrap().next_page_token;
    let with = |request: &ListFilesRequest, token: &str| ListFilesRequest {
        page_token: token.into(),
        page_size: 7,
        ..request.clone()
    };
    assert!(desk.list(with(&request, &token)).await.is_ok());
    assert!(desk.list(with(&plain, &plain_token)).await.is_ok());
    for other in [
        ListFilesRequest {
            path: "a".into(),
            ..with(&request, &token)
        },
        ListFilesRequest {
            max_depth: 1,
            ..with(&request, &token)
        },
        with(&plain, &token),
        with(&request, &plain_token),
        ListFilesRequest {
            descending: true,
            ..with(&plain, &plain_token)
        },
        ListFilesRequest {
            order: ListOrder::BySize.into(),
            ..with(&plain, &plain_token)
        },
        ListFilesRequest {
            count_total: true,
            ..with(&plain, &plain_token)
        },
        with(&plain, &token.to_uppercase()),
    ] {
        assert_eq!(wrong_fields(desk.list(other).await), ["page_token"]);
    }
}
