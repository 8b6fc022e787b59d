//! Work in a tree, and archives of it.

use bytes::Bytes;
use vfolder_proto::v1::{DownloadArchiveRequest, ExtractArchiveRequest, RemoveTreeRequest};

use super::{GARBAGE, List};

pub(super) fn trees(list: &mut List, id: &str) {
    let (extract, remove, download) = (
        "vfolder.v1.TreeService/ExtractArchive",
        "vfolder.v1.TreeService/RemoveTree",
        "vfolder.v1.FileService/DownloadArchive",
    );
    let unpack = || ExtractArchiveRequest {
        vfolder_id: id.into(),
        path: "a.zip".into(),
        ..ExtractArchiveRequest::default()
    };
    let removal = |paths: &[&str]| RemoveTreeRequest {
        vfolder_id: id.into(),
        paths: paths.iter().map(|&path| path.into()).collect(),
        ..RemoveTreeRequest::default()
    };
    let archive = |paths: &[&str]| DownloadArchiveRequest {
        vfolder_id: id.into(),
        paths: paths.iter().map(|&path| path.into()).collect(),
        ..DownloadArchiveRequest::default()
    };
    for path in ["..", "../other", "a/../../b", "/etc", "a//b", "a/", "a\0b"] {
        let request = ExtractArchiveRequest {
            path: path.into(),
            ..unpack()
        };
        list.add(extract, path, request, &["path"]);
        let request = ExtractArchiveRequest {
            destination: path.into(),
            ..unpack()
        };
        list.add(extract, path, request, &["destination"]);
        list.add(remove, path, removal(&["good", path]), &["paths"]);
        list.add(download, path, archive(&["good", path]), &["paths"]);
        let bytes = Bytes::copy_from_slice(path.as_bytes());
        let request = RemoveTreeRequest {
            paths_bytes: vec![bytes.clone()],
            ..removal(&[])
        };
        list.add(remove, path, request, &["paths_bytes"]);
        let request = DownloadArchiveRequest {
            paths_bytes: vec![bytes],
            ..archive(&[])
        };
        list.add(download, path, request, &["paths_bytes"]);
    }
    let request = ExtractArchiveRequest {
        path: String::new(),
        path_bytes: Bytes::from_static(b"/"),
        destination_bytes: Bytes::from_static(b".."),
        format: 99,
        existing: 99,
        max_bytes: -1,
        max_files: -1,
        request_id: GARBAGE.into(),
        ..unpack()
    };
    let fields = &[
        "path_bytes",
        "destination_bytes",
        "format",
        "existing",
        "max_bytes",
        "max_files",
        "request_id",
    ];
    list.add(extract, "everything", request, fields);
    let request = ExtractArchiveRequest {
        path: String::new(),
        ..unpack()
    };
    list.add(extract, "no archive", request, &["path"]);
    let both = ExtractArchiveRequest {
        path_bytes: Bytes::from_static(b"b"),
        ..unpack()
    };
    list.add(extract, "two archives", both, &["path_bytes"]);
    list.add(remove, "nothing", removal(&[]), &["paths"]);
    list.add(remove, "the root", removal(&["a", ""]), &["paths"]);
    let many = vec!["a"; 1_001];
    list.add(remove, "too many", removal(&many), &["paths"]);
    list.add(download, "too many", archive(&many), &["paths"]);
    let request = RemoveTreeRequest {
        request_id: GARBAGE.into(),
        ..removal(&["a"])
    };
    list.add(remove, "an id that is none", request, &["request_id"]);
    let request = DownloadArchiveRequest {
        format: 99,
        ..archive(&[])
    };
    list.add(download, "an unknown format", request, &["format"]);
}
