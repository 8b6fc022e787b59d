//! What arrives over the wire and is no proper request, and what is one although it looks unusual.

use std::io::Write as _;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message as _;
use tonic::{Code, Status, body::Body};
use vfolder_proto::v1::{
    GetVFolderRequest, ListFilesRequest, ListVFoldersRequest, StatFileRequest, VFolder,
};
use vfolder_tests::{Engine, System, assert_refused, on_each_engine};

use crate::raw::{Raw, frame};

on_each_engine!(
    a_malformed_message_is_an_invalid_argument,
    bytes_that_follow_the_only_message_are_the_callers_fault,
    a_path_of_any_length_and_bytes_is_told_of_in_headers_that_fit,
    an_oversized_message_exhausts_a_limit,
    a_message_that_grows_when_decompressed_exhausts_the_same_limit,
    compressed_messages_are_read,
    an_unknown_compression_is_told_what_would_do,
    an_unknown_method_is_unimplemented,
    what_is_not_grpc_is_not_answered_as_grpc,
    the_first_bytes_of_a_message_decide_nothing,
);

/// One that the gate reads, one that it doesn't need to read, one that it forwards, one that streams.
const METHODS: [&str; 4] = [
    "vfolder.v1.VFolderService/GetVFolder",
    "vfolder.v1.VFolderService/ListVFolders",
    "vfolder.v1.FileService/ListFiles",
    "vfolder.v1.VFolderService/Watch",
];
/// The default of `limits.max_message_bytes`.
const LIMIT: usize = 4 << 20;

struct Wire {
    system: System,
    token: String,
    vfolder: String,
}

impl Wire {
    async fn new(engine: Engine) -> Self {
        let system = System::start(engine).await;
        let vfolder = system.user("alice").create("wire").await.unwrap().id;
        let token = system.tokens.user("alice");
        Self {
            system,
            token,
            vfolder,
        }
    }

    fn to(&self, method: &str) -> Raw {
        Raw::new(self.system.manager.channel(), method).bearer(&self.token)
    }

    /// A message that the method would like.
    fn good(&self, method: &str) -> Vec<u8> {
        let vfolder_id = self.vfolder.clone();
        match method {
            "vfolder.v1.VFolderService/ListVFolders" => {
                // Not empty, so that compressing it means something.
                let request = ListVFoldersRequest {
                    page_size: 10,
                    ..ListVFoldersRequest::default()
                };
                request.encode_to_vec()
            }
            "vfolder.v1.FileService/ListFiles" => ListFilesRequest {
                vfolder_id,
                ..ListFilesRequest::default()
            }
            .encode_to_vec(),
            _ => GetVFolderRequest {
                vfolder_id,
                show_deleted: false,
            }
            .encode_to_vec(),
        }
    }
}

async fn a_malformed_message_is_an_invalid_argument(engine: Engine) {
    let wire = Wire::new(engine).await;
    for method in METHODS {
        let good = wire.good(method);
        let bodies = [
            // A field that announces more bytes than there are.
            frame(0, &[0x0a, 0x7f, b'x']),
            // A tag of wire type 7, which doesn't exist.
            frame(0, &[0x0f]),
            // A string that is not UTF-8, in a field that every one of these has as a string or number.
            frame(0, &[0x0a, 0x02, 0xff, 0xfe]),
            // Fewer bytes than the frame announces, and then the end.
            frame(0, &good).slice(..4 + good.len()),
            // Not even a whole frame header.
            Bytes::from_static(&[0, 0]),
            // No message at all.
            Bytes::new(),
        ];
        for (number, body) in bodies.into_iter().enumerate() {
            let status = wire.to(method).send(body).await.into_result().unwrap_err();
            assert_eq!(
                status.code(),
                Code::InvalidArgument,
                "{method} body {number}: {status:?}"
            );
        }
    }
}

/// When its storage-proxy is at work on the first.
async fn bytes_that_follow_the_only_message_are_the_callers_fault(engine: Engine) {
    let wire = Wire::new(engine).await;
    let method = "vfolder.v1.FileService/ListFiles";
    for _ in 0..3 {
        let (more, frames) = tokio::sync::mpsc::channel::<Result<_, Status>>(2);
        let frames = tokio_stream::wrappers::ReceiverStream::new(frames);
        for part in [frame(0, &wire.good(method)), frame(0, b"more")] {
            more.send(Ok(Frame::data(part))).await.unwrap();
        }
        let body = Body::new(StreamBody::new(frames));
        let answer = wire.to(method).send_body(body).await;
        drop(more);
        assert_refused(
            answer.into_result(),
            Code::InvalidArgument,
            "MESSAGE_MALFORMED",
        );
    }
    let log = wire.system.manager.log();
    assert!(!log.contains("storage-proxy lost"));
}

/// A response with more than a connection takes would break it, with all that is under way on it.
async fn a_path_of_any_length_and_bytes_is_told_of_in_headers_that_fit(engine: Engine) {
    let wire = Wire::new(engine).await;
    let strange = [&[0xff; 200][..], b"/"].concat().repeat(20);
    let path = &strange[..strange.len() - 1];
    let stat = StatFileRequest {
        vfolder_id: wire.vfolder.clone(),
        path_bytes: path.to_vec().into(),
        ..StatFileRequest::default()
    };
    let method = "vfolder.v1.FileService/StatFile";
    let answer = wire.to(method).send(frame(0, &stat.encode_to_vec())).await;
    assert_refused(answer.into_result(), Code::NotFound, "FILE_NOT_FOUND");
    let log = wire.system.manager.log();
    assert!(!log.contains("storage-proxy lost"));
}

async fn an_oversized_message_exhausts_a_limit(engine: Engine) {
    let wire = Wire::new(engine).await;
    // Padded by a field that nobody knows: number 1000, bytes.
    for method in METHODS {
        let mut message = wire.good(method);
        message.extend([0xc2, 0x3e]);
        prost::encoding::encode_varint(u64::try_from(LIMIT).unwrap(), &mut message);
        message.resize(message.len() + LIMIT, b'.');
        let answer = wire.to(method).send(frame(0, &message)).await.into_result();
        assert_refused(answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    }
}

async fn a_message_that_grows_when_decompressed_exhausts_the_same_limit(engine: Engine) {
    let wire = Wire::new(engine).await;
    let big = vec![0_u8; 64 << 20];
    for (name, compressed) in [("gzip", gzip(&big)), ("zstd", zstd(&big))] {
        for method in METHODS {
            let raw = wire.to(method).with("grpc-encoding", name);
            let answer = raw.send(frame(1, &compressed)).await.into_result();
            assert_refused(answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        }
    }
}

async fn compressed_messages_are_read(engine: Engine) {
    let wire = Wire::new(engine).await;
    for method in &METHODS[..3] {
        let good = wire.good(method);
        for (name, flag, bytes) in [
            ("identity", 0, good.clone()),
            ("gzip", 0, good.clone()),
            ("gzip", 1, gzip(&good)),
            ("zstd", 1, zstd(&good)),
        ] {
            let raw = wire.to(method).with("grpc-encoding", name);
            let answer = raw.send(frame(flag, &bytes)).await.into_result();
            assert!(answer.is_ok(), "{method} {name} {flag}: {answer:?}");
        }
        // What says that it is gzip and isn't.
        let raw = wire.to(method).with("grpc-encoding", "gzip");
        let status = raw.send(frame(1, &good)).await.into_result().unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{method}: {status:?}");
    }
}

async fn an_unknown_compression_is_told_what_would_do(engine: Engine) {
    let wire = Wire::new(engine).await;
    for method in METHODS {
        let raw = wire.to(method).with("grpc-encoding", "snappy");
        let answer = raw.send(frame(1, &wire.good(method))).await;
        // gRPC's compression specification: the server SHOULD say which it knows.
        let known = answer.headers.get("grpc-accept-encoding").cloned();
        assert_refused(
            answer.into_result(),
            Code::Unimplemented,
            "COMPRESSION_UNSUPPORTED",
        );
        let known = known.unwrap_or_else(|| panic!("{method}: no grpc-accept-encoding"));
        for name in ["gzip", "zstd"] {
            assert!(
                known.to_str().unwrap().contains(name),
                "{method}: {known:?}"
            );
        }
    }
}

async fn an_unknown_method_is_unimplemented(engine: Engine) {
    let wire = Wire::new(engine).await;
    for method in [
        "vfolder.v1.VFolderService/NoSuchMethod",
        "vfolder.v1.FileService/NoSuchMethod",
        "no.such.Service/Method",
        "vfolder.storage.v1.StorageService/RunTask",
        "vfolder.v1.VFolderService",
        "",
    ] {
        let answer = wire.to(method).send(frame(0, &[])).await.into_result();
        assert_refused(answer, Code::Unimplemented, "METHOD_UNKNOWN");
    }
}

async fn what_is_not_grpc_is_not_answered_as_grpc(engine: Engine) {
    let wire = Wire::new(engine).await;
    for method in METHODS {
        let raw = wire.to(method).with("content-type", "application/json");
        let answer = raw.send(Bytes::from_static(b"{}")).await;
        let refused = answer.http == http::StatusCode::UNSUPPORTED_MEDIA_TYPE
            || answer
                .status
                .as_ref()
                .is_some_and(|s| s.code() != Code::Ok && s.code() != Code::Internal);
        assert!(refused, "{method}: {answer:?}");
    }
}

/// Protobuf lets a later field of the same number win; the gate must decide by the value that the handler will see.
async fn the_first_bytes_of_a_message_decide_nothing(engine: Engine) {
    let wire = Wire::new(engine).await;
    let theirs = wire.system.user("bob").create("private").await.unwrap().id;
    let method = METHODS[0];
    let twice = |first: &str, second: &str| {
        let one = |id: &str| GetVFolderRequest {
            vfolder_id: id.into(),
            show_deleted: false,
        };
        let mut message = one(first).encode_to_vec();
        message.extend(one(second).encode_to_vec());
        frame(0, &message)
    };
    let answer = wire
        .to(method)
        .send(twice(&wire.vfolder, &theirs))
        .await
        .into_result();
    assert_refused(answer, Code::NotFound, "VFOLDER_NOT_FOUND");
    let answer = wire
        .to(method)
        .send(twice(&theirs, &wire.vfolder))
        .await
        .into_result()
        .unwrap();
    let got = VFolder::decode(answer.slice(5..)).unwrap();
    assert_eq!(got.id, wire.vfolder);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}
