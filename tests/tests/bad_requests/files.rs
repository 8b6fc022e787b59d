//! Files.

use vfolder_proto::v1::{CreateDirectoryRequest, ListFilesRequest};

use super::{GARBAGE, List};

pub(super) fn files(list: &mut List, id: &str) {
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
    for path in ["..", "../other", "a/../../b", "/etc", "a//b", "a/", "a\0b"] {
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
