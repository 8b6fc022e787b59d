//! ReadFile.

use std::num::NonZeroUsize;

use bytes::Bytes;
use tokio_stream::{StreamExt as _, once};
use tonic::{Request, Response, Status};
use vfolder_common::{
    error::{Fields, Reason, Refusal},
    token::GrantMode,
};
use vfolder_proto::v1::{ReadFileRequest, ReadFileResponse};

use super::{Messages, Service, entry::entry_at};
use crate::{
    file::{LARGEST_PIECE, OpenFile, granted},
    grpc::path,
    tree::RelativePath,
};

const DEFAULT_CHUNK: NonZeroUsize = NonZeroUsize::new(256 * 1024).unwrap();
const LARGEST_CHUNK: usize = 2 << 20;

impl Service {
    pub(super) async fn read(
        &self,
        request: Request<ReadFileRequest>,
    ) -> Result<Response<Messages<ReadFileResponse>>, Status> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadOnly)?;
        let mut fields = Fields::default();
        let path = path::read(&request.path, &request.path_bytes, &mut fields);
        if request.length < 0 {
            fields.wrong("length", "must not be negative");
        }
        let chunk = usize::try_from(request.chunk_size).map(NonZeroUsize::new);
        let chunk = match chunk {
            Ok(None) => DEFAULT_CHUNK,
            Ok(Some(chunk)) if chunk.get() <= LARGEST_CHUNK => chunk,
            _ => {
                fields.wrong("chunk_size", "must be from 0 to 2 MiB, 2097152");
                DEFAULT_CHUNK
            }
        };
        fields.finish()?;
        let path = path.unwrap_or_else(RelativePath::root);
        let file = self.files.open_file(&grant, &path).await?;
        if !request.etag.is_empty() && request.etag != file.etag {
            return Err(other_etag(&path, &file).into());
        }
        let begin = beginning(request.offset, file.size())?;
        let end = match u64::try_from(request.length) {
            Ok(length) if length > 0 => file.size().min(begin.saturating_add(length)),
            _ => file.size(),
        };
        let head = ReadFileResponse {
            entry: Some(entry_at(path.as_bytes(), file.entry.clone())),
            offset: signed(begin),
            data: Bytes::new(),
        };
        let mut offset = begin;
        let data = file
            .stream(begin, end, chunk.min(LARGEST_PIECE))
            .map(move |data| {
                let data = data?;
                let at = signed(offset);
                offset += data.len() as u64;
                Ok(ReadFileResponse {
                    entry: None,
                    offset: at,
                    data,
                })
            });
        Ok(Response::new(Box::pin(once(Ok(head)).chain(data))))
    }
}

fn beginning(offset: i64, size: u64) -> Result<u64, Refusal> {
    match u64::try_from(offset) {
        Ok(offset) if offset > size => {
            let text = format!("is past the end: the file has {size} bytes");
            Err(Refusal::field("offset", text))
        }
        Ok(offset) => Ok(offset),
        Err(_) => Ok(size.saturating_sub(offset.unsigned_abs())),
    }
}

fn other_etag(path: &RelativePath, file: &OpenFile) -> Refusal {
    let text = format!("\"{path}\" is not the file that it was; read it from the beginning");
    Refusal::new(Reason::EtagMismatch, text).with_metadata("etag", &file.etag)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
