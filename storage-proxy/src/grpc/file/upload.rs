//! CreateUpload, GetUpload, CommitUpload, AbortUpload.

use prost_types::Timestamp;
use tonic::{Request, Response};
use uuid::Uuid;
use vfolder_common::{error::Fields, token::GrantMode};
use vfolder_proto::v1::{
    AbortUploadRequest, AbortUploadResponse, ByteRange, CommitUploadRequest, CreateUploadRequest,
    FileCheck as CheckMessage, FileEntry, GetUploadRequest, Upload, UploadTarget,
};

use super::{Answer, Service, entry::entry_at};
use crate::{
    file::{FileCheck, NewUpload, UploadState, granted},
    grpc::path,
    tree::RelativePath,
};

const DEFAULT_MODE: u32 = 0o644;
const ALL_MODE_BITS: u32 = 0o7777;

impl Service {
    pub(super) async fn begin_upload(
        &self,
        request: Request<CreateUploadRequest>,
    ) -> Answer<Upload> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadWrite)?;
        let mut fields = Fields::default();
        let mut new = target("target", request.target, &mut fields);
        new.size = size("size", request.size, &mut fields);
        fields.finish()?;
        let begun = self.files.create_upload(&grant, new).await?;
        Ok(Response::new(upload(begun)))
    }

    pub(super) async fn tell_upload(&self, request: Request<GetUploadRequest>) -> Answer<Upload> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadOnly)?;
        let mut fields = Fields::default();
        let id = upload_id("upload_id", &request.upload_id, &mut fields);
        fields.finish()?;
        Ok(Response::new(upload(self.files.upload(&grant, id).await?)))
    }

    pub(super) async fn commit(&self, request: Request<CommitUploadRequest>) -> Answer<FileEntry> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadWrite)?;
        let mut fields = Fields::default();
        let id = upload_id("upload_id", &request.upload_id, &mut fields);
        let check = check(request.check, &mut fields);
        fields.finish()?;
        let path = self.files.upload(&grant, id).await?.path;
        let entry = self.files.commit_upload(&grant, id, check).await?;
        Ok(Response::new(entry_at(path.as_bytes(), entry)))
    }

    pub(super) async fn abort(
        &self,
        request: Request<AbortUploadRequest>,
    ) -> Answer<AbortUploadResponse> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadWrite)?;
        let mut fields = Fields::default();
        let id = upload_id("upload_id", &request.upload_id, &mut fields);
        fields.finish()?;
        self.files.abort_upload(&grant, id).await?;
        Ok(Response::new(AbortUploadResponse {}))
    }
}

/// Nil, and noted in `fields`, if it is none.
pub fn upload_id(field: &str, text: &str, fields: &mut Fields) -> Uuid {
    let id = Uuid::parse_str(text).map_err(|_| "must be a UUID");
    fields.check(field, id).unwrap_or_default()
}

/// The target of an upload, in the request's field `field`.
pub fn target(field: &str, message: Option<UploadTarget>, fields: &mut Fields) -> NewUpload {
    let named = |name: &str| format!("{field}.{name}");
    if message.is_none() {
        fields.wrong(field, "must be set");
    }
    let message = message.unwrap_or_default();
    let path = path::read_in(&named(""), &message.path, &message.path_bytes, fields);
    if path.as_ref().is_some_and(RelativePath::is_root) && message != UploadTarget::default() {
        fields.wrong(named("path"), "must name a file");
    }
    let mode = match message.mode {
        0 => DEFAULT_MODE,
        mode if mode <= ALL_MODE_BITS => mode,
        _ => {
            fields.wrong(named("mode"), "must be at most 07777 (octal), 4095");
            DEFAULT_MODE
        }
    };
    let modified = message.modify_time.and_then(|time| {
        let nanos = u32::try_from(time.nanos)
            .ok()
            .filter(|n| *n < 1_000_000_000);
        if nanos.is_none() {
            fields.wrong(named("modify_time"), "must be a timestamp");
        }
        nanos.map(|nanos| (time.seconds, nanos))
    });
    NewUpload {
        path: path.unwrap_or_else(RelativePath::root),
        replace: message.replace,
        parents: message.parents,
        mode,
        modified,
        size: None,
        note: String::new(),
        completes: false,
    }
}

/// What a file has to be.
pub fn check(message: Option<CheckMessage>, fields: &mut Fields) -> FileCheck {
    let message = message.unwrap_or_default();
    let mut digest = |field: &str, bytes: &[u8]| -> Option<[u8; 32]> {
        if bytes.is_empty() {
            return None;
        }
        fields.check(field, bytes.try_into().map_err(|_| "must have 32 bytes"))
    };
    FileCheck {
        sha256: digest("check.sha256", &message.sha256),
        blake3: digest("check.blake3", &message.blake3),
        size: size("check.size", message.size, fields),
    }
}

fn size(field: &str, size: Option<i64>, fields: &mut Fields) -> Option<u64> {
    let size = size.map(|size| u64::try_from(size).map_err(|_| "must not be negative"))?;
    fields.check(field, size)
}

/// How far an upload is.
pub fn upload(state: UploadState) -> Upload {
    let (path, path_bytes) = path::write(state.path.as_bytes());
    Upload {
        id: state.id.to_string(),
        vfolder_id: state.vfolder.to_string(),
        path,
        path_bytes,
        size: state.size.map(signed),
        offset: signed(state.offset),
        received: state
            .received
            .into_iter()
            .map(|(begin, end)| ByteRange {
                begin: signed(begin),
                end: signed(end),
            })
            .collect(),
        committed: state.committed,
        create_time: Some(time(state.created)),
        expire_time: Some(time(state.expires)),
    }
}

fn time(millis: u64) -> Timestamp {
    Timestamp {
        seconds: signed(millis / 1000),
        nanos: i32::try_from(millis % 1000 * 1_000_000).unwrap_or(0),
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
