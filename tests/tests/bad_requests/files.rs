//! Files.

use vfolder_proto::v1::{
    CreateDirectoryRequest, GetUsageRequest, ListFilesRequest, ListOrder, MoveFileRequest,
    RemoveFilesRequest, SearchFilesRequest, StatFileRequest,
};

use super::{GARBAGE, List};

/// Paths that are none, or lead out.
const PATHS: [&str; 8] = [
    "..",
    "../other",
    "a/../../b",
    "/etc",
    "a//b",
    "a/",
    "a\0b",
    "a/./b",
];

pub(super) fn files(list: &mut List, id: &str) {
    looks(list, id);
    changes(list, id);
    let (ls, mkdir) = (
        "vfolder.v1.FileService/ListFiles",
        "vfolder.v1.FileService/CreateDirectory",
    );
    let list_files = || ListFilesRequest {
        vfolder_id: id.into(),
        ..ListFilesRequest::default()
    };
    let make = || CreateDirectoryRequest {
        vfolder_id: id.into(),
        path: "d".into(),
        ..CreateDirectoryRequest::default()
    };
    for path in PATHS {
        list.add(
            ls,
            path,
            ListFilesRequest {
                path: path.into(),
                ..list_files()
            },
            &["path"],
        );
        list.add(
            mkdir,
            path,
            CreateDirectoryRequest {
                path: path.into(),
                ..make()
            },
            &["path"],
        );
        let bytes = bytes::Bytes::copy_from_slice(path.as_bytes());
        let request = ListFilesRequest {
            path_bytes: bytes.clone(),
            ..list_files()
        };
        list.add(ls, path, request, &["path_bytes"]);
        let request = CreateDirectoryRequest {
            path: String::new(),
            path_bytes: bytes,
            ..make()
        };
        list.add(mkdir, path, request, &["path_bytes"]);
    }
    let both = bytes::Bytes::from_static(b"d");
    let request = ListFilesRequest {
        path: "d".into(),
        path_bytes: both.clone(),
        ..list_files()
    };
    list.add(ls, "two paths", request, &["path_bytes"]);
    let request = CreateDirectoryRequest {
        path_bytes: both,
        ..make()
    };
    list.add(mkdir, "two paths", request, &["path_bytes"]);
    let request = ListFilesRequest {
        page_size: -1,
        page_token: GARBAGE.into(),
        ..list_files()
    };
    list.add(
        ls,
        "a page that is none",
        request,
        &["page_size", "page_token"],
    );
    let request = ListFilesRequest {
        path: "..".into(),
        page_size: -1,
        page_token: GARBAGE.into(),
        ..list_files()
    };
    list.add(
        ls,
        "everything",
        request,
        &["path", "page_size", "page_token"],
    );
    list.add(
        mkdir,
        "too many mode bits",
        CreateDirectoryRequest {
            mode: 0o10000,
            ..make()
        },
        &["mode"],
    );
    let request = CreateDirectoryRequest {
        path: "..".into(),
        mode: 0o10000,
        ..make()
    };
    list.add(mkdir, "everything", request, &["path", "mode"]);
}

/// Of those that only look.
fn looks(list: &mut List, id: &str) {
    let (stat, usage, search, ls) = (
        "vfolder.v1.FileService/StatFile",
        "vfolder.v1.FileService/GetUsage",
        "vfolder.v1.FileService/SearchFiles",
        "vfolder.v1.FileService/ListFiles",
    );
    let find = || SearchFilesRequest {
        vfolder_id: id.into(),
        pattern: "*".into(),
        ..SearchFilesRequest::default()
    };
    let long = "x".repeat(256);
    for path in PATHS.into_iter().chain([long.as_str()]) {
        let name: &'static str = "a path that is none";
        let (vfolder_id, path) = (id.to_owned(), path.to_owned());
        let request = StatFileRequest {
            vfolder_id: vfolder_id.clone(),
            path: path.clone(),
            ..StatFileRequest::default()
        };
        list.add(stat, name, request, &["path"]);
        let request = StatFileRequest {
            vfolder_id: vfolder_id.clone(),
            path_bytes: path.clone().into_bytes().into(),
            ..StatFileRequest::default()
        };
        list.add(stat, name, request, &["path_bytes"]);
        let request = GetUsageRequest {
            vfolder_id,
            path: path.clone(),
            ..GetUsageRequest::default()
        };
        list.add(usage, name, request, &["path"]);
        list.add(
            search,
            name,
            SearchFilesRequest { path, ..find() },
            &["path"],
        );
    }
    let long = "*".repeat(1025);
    for pattern in ["", "[a", "{a", "a}", "/a", "a/", "a\\", "[z-a]", &long] {
        let pattern = pattern.to_owned();
        let request = SearchFilesRequest { pattern, ..find() };
        list.add(search, "a pattern that is none", request, &["pattern"]);
    }
    let request = SearchFilesRequest {
        path: "..".into(),
        pattern: String::new(),
        types: vec![99],
        page_size: -1,
        page_token: GARBAGE.into(),
        ..find()
    };
    let fields = &["path", "pattern", "types", "page_size", "page_token"];
    list.add(search, "everything", request, fields);
    let listing = || ListFilesRequest {
        vfolder_id: id.into(),
        ..ListFilesRequest::default()
    };
    let request = ListFilesRequest {
        recursive: true,
        max_depth: -1,
        order: ListOrder::BySize.into(),
        descending: true,
        count_total: true,
        ..listing()
    };
    let fields = &["max_depth", "order", "descending", "count_total"];
    list.add(ls, "what no recursive list has", request, fields);
    let request = ListFilesRequest {
        max_depth: 2,
        order: 99,
        ..listing()
    };
    list.add(ls, "a depth of one level", request, &["order", "max_depth"]);
}

/// Of those that change something.
fn changes(list: &mut List, id: &str) {
    let (mv, rm) = (
        "vfolder.v1.FileService/MoveFile",
        "vfolder.v1.FileService/RemoveFiles",
    );
    let rename = |path: &str, new_path: &str| MoveFileRequest {
        vfolder_id: id.into(),
        path: path.into(),
        new_path: new_path.into(),
        ..MoveFileRequest::default()
    };
    let remove = |paths: &[&str]| RemoveFilesRequest {
        vfolder_id: id.into(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..RemoveFilesRequest::default()
    };
    for path in PATHS {
        list.add(mv, path, rename(path, "b"), &["path"]);
        list.add(mv, path, rename("a", path), &["new_path"]);
        list.add(rm, path, remove(&["a", path]), &["paths[1]"]);
        let bytes = bytes::Bytes::copy_from_slice(path.as_bytes());
        let request = MoveFileRequest {
            new_path_bytes: bytes.clone(),
            ..rename("a", "")
        };
        list.add(mv, path, request, &["new_path_bytes"]);
        let request = RemoveFilesRequest {
            paths_bytes: vec![bytes],
            ..remove(&["a"])
        };
        list.add(rm, path, request, &["paths_bytes[0]"]);
    }
    for root in ["", "."] {
        list.add(mv, "the root", rename(root, "b"), &["path"]);
        list.add(mv, "onto the root", rename("a", root), &["new_path"]);
        list.add(rm, "the root", remove(&["a", root]), &["paths[1]"]);
    }
    list.add(mv, "into itself", rename("a", "a/b/a"), &["new_path"]);
    list.add(mv, "everything", rename("..", "/"), &["path", "new_path"]);
    list.add(rm, "nothing", remove(&[]), &["paths"]);
    list.add(rm, "too many", remove(&["a"; 10_001]), &["paths"]);
}
