//! Searches by patterns.

use std::{fs, os::unix::ffi::OsStrExt as _};

use vfolder_proto::v1::{FileEntry, FileType, SearchFilesRequest};

use super::{Desk, path_of};
use crate::proxy::wrong_fields;

impl Desk {
    async fn search(&self, mut request: SearchFilesRequest) -> Vec<FileEntry> {
        request.vfolder_id = self.id();
        let mut found = Vec::new();
        loop {
            let mut files = self.proxy.files();
            let page = files.search_files(self.ask(request.clone())).await;
            let page = page.unwrap().into_inner();
            found.extend(page.entries);
            if page.next_page_token.is_empty() {
                return found;
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn paths(&self, path: &str, pattern: &str) -> Vec<Vec<u8>> {
        let request = SearchFilesRequest {
            path: path.into(),
            pattern: pattern.into(),
            page_size: 2,
            ..SearchFilesRequest::default()
        };
        self.search(request).await.iter().map(path_of).collect()
    }
}

#[tokio::test]
async fn patterns_find_what_they_match_from_where_the_search_begins() {
    let desk = Desk::new().await;
    let tree = desk.tree();
    fs::create_dir_all(tree.join("src/deep/er")).unwrap();
    for file in [
        "src/a.rs",
        "src/deep/b.rs",
        "src/deep/er/C.RS",
        "c.rs",
        "src/notes.txt",
    ] {
        fs::write(tree.join(file), "").unwrap();
    }
    fs::write(tree.join(std::ffi::OsStr::from_bytes(b"src/x\xff.rs")), "").unwrap();
    std::os::unix::fs::symlink("src", tree.join("link.rs")).unwrap();
    for (path, pattern, wanted) in [
        (
            "",
            "*.rs",
            &[
                &b"c.rs"[..],
                b"link.rs",
                b"src/a.rs",
                b"src/deep/b.rs",
                b"src/x\xff.rs",
            ][..],
        ),
        ("", "src/*.rs", &[b"src/a.rs", b"src/x\xff.rs"]),
        (
            "src",
            "*.rs",
            &[b"src/a.rs", b"src/deep/b.rs", b"src/x\xff.rs"],
        ),
        (
            "src",
            "deep/**",
            &[b"src/deep/b.rs", b"src/deep/er", b"src/deep/er/C.RS"],
        ),
        ("", "src/{a,x?}.rs", &[b"src/a.rs", b"src/x\xff.rs"]),
        ("src/deep", "nothing", &[]),
    ] {
        assert_eq!(
            desk.paths(path, pattern).await,
            wanted,
            "{pattern} in {path:?}"
        );
    }
    let request = SearchFilesRequest {
        pattern: "*.rs".into(),
        ignore_case: true,
        types: vec![FileType::Regular.into(), FileType::Directory.into()],
        ..SearchFilesRequest::default()
    };
    let found = desk.search(request).await;
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.name.as_str(), one.r#type()))
        .collect();
    let regular = FileType::Regular;
    let wanted = ["c.rs", "a.rs", "b.rs", "C.RS", "x\u{fffd}.rs"].map(|name| (name, regular));
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn a_search_that_can_not_be_names_its_fields() {
    let desk = Desk::new().await;
    let request = SearchFilesRequest {
        vfolder_id: desk.id(),
        path: "/".into(),
        pattern: "[".into(),
        types: vec![0],
        page_size: -1,
        page_token: "00".into(),
        ..SearchFilesRequest::default()
    };
    let refused = desk.proxy.files().search_files(desk.ask(request)).await;
    let fields = ["path", "pattern", "types", "page_size", "page_token"];
    assert_eq!(wrong_fields(refused), fields);
}
