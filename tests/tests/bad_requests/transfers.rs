//! Reading and uploading files.

use bytes::Bytes;
use prost_types::Timestamp;
use vfolder_proto::v1::{
    AbortUploadRequest, CommitUploadRequest, CreateUploadRequest, FileCheck, GetUploadRequest,
    ReadFileRequest, UploadTarget, WriteFileRequest, write_file_request::To,
};

use super::{GARBAGE, List, UUID};

const READ: &str = "vfolder.v1.FileService/ReadFile";
const CREATE: &str = "vfolder.v1.FileService/CreateUpload";
const GET: &str = "vfolder.v1.FileService/GetUpload";
const COMMIT: &str = "vfolder.v1.FileService/CommitUpload";
const ABORT: &str = "vfolder.v1.FileService/AbortUpload";
const WRITE: &str = "vfolder.v1.FileService/WriteFile";

fn target(path: &str) -> UploadTarget {
    UploadTarget {
        path: path.into(),
        ..UploadTarget::default()
    }
}

pub(super) fn transfers(list: &mut List, id: &str) {
    let write = |to| WriteFileRequest {
        vfolder_id: id.into(),
        to,
        ..WriteFileRequest::default()
    };
    for path in ["..", "../other", "a/../../b", "/etc", "a//b", "a/", "a\0b"] {
        let request = ReadFileRequest {
            vfolder_id: id.into(),
            path: path.into(),
            ..ReadFileRequest::default()
        };
        list.add(READ, path, request, &["path"]);
        let request = CreateUploadRequest {
            vfolder_id: id.into(),
            target: Some(target(path)),
            size: None,
        };
        list.add(CREATE, path, request, &["target.path"]);
        let request = write(Some(To::File(target(path))));
        list.add(WRITE, path, request, &["file.path"]);
    }
    let request = ReadFileRequest {
        vfolder_id: id.into(),
        path: "..".into(),
        length: -1,
        chunk_size: -1,
        ..ReadFileRequest::default()
    };
    list.add(
        READ,
        "everything",
        request,
        &["path", "length", "chunk_size"],
    );
    uploads(list, id);
    list.add(WRITE, "to nowhere", write(None), &["upload_id"]);
    let request = write(Some(To::UploadId(GARBAGE.into())));
    list.add(WRITE, "no upload", request, &["upload_id"]);
    let request = WriteFileRequest {
        offset: Some(-1),
        check: Some(FileCheck::default()),
        ..write(Some(To::UploadId(UUID.into())))
    };
    list.add(
        WRITE,
        "what an upload hasn't",
        request,
        &["offset", "check"],
    );
    let request = WriteFileRequest {
        offset: Some(5),
        check: wrong_check(),
        ..write(Some(To::File(target("f"))))
    };
    let fields = &["check.sha256", "check.blake3", "check.size", "offset"];
    list.add(WRITE, "what a file hasn't", request, fields);
}

fn wrong_check() -> Option<FileCheck> {
    Some(FileCheck {
        size: Some(-1),
        sha256: Bytes::from_static(b"short"),
        blake3: Bytes::from_static(&[0; 33]),
    })
}

fn uploads(list: &mut List, id: &str) {
    let create = |target| CreateUploadRequest {
        vfolder_id: id.into(),
        target,
        size: None,
    };
    list.add(CREATE, "no target", create(None), &["target"]);
    list.add(
        CREATE,
        "the root",
        create(Some(target("."))),
        &["target.path"],
    );
    let wrong = UploadTarget {
        path_bytes: Bytes::from_static(b"f"),
        mode: 0o10000,
        modify_time: Some(Timestamp {
            seconds: 0,
            nanos: -1,
        }),
        ..target("f")
    };
    let request = CreateUploadRequest {
        size: Some(-1),
        ..create(Some(wrong))
    };
    let fields = &[
        "target.path_bytes",
        "target.mode",
        "target.modify_time",
        "size",
    ];
    list.add(CREATE, "everything", request, fields);
    let request = GetUploadRequest {
        vfolder_id: id.into(),
        upload_id: GARBAGE.into(),
    };
    list.add(GET, "no upload", request, &["upload_id"]);
    let request = AbortUploadRequest {
        vfolder_id: id.into(),
        upload_id: GARBAGE.into(),
    };
    list.add(ABORT, "no upload", request, &["upload_id"]);
    let request = CommitUploadRequest {
        vfolder_id: id.into(),
        upload_id: GARBAGE.into(),
        check: wrong_check(),
    };
    let fields = &["upload_id", "check.sha256", "check.blake3", "check.size"];
    list.add(COMMIT, "everything", request, fields);
}
