//! CreateDirectory.

use tonic::{Request, Response, Status};
use vfolder_common::{error::Fields, token::GrantMode};
use vfolder_proto::v1::{CreateDirectoryRequest, FileEntry};

use super::{Service, entry::entry_at};
use crate::{file::granted, grpc::path, tree::RelativePath};

const DEFAULT_MODE: u32 = 0o755;
const ALL_MODE_BITS: u32 = 0o7777;

impl Service {
    pub(super) async fn make_directory(
        &self,
        request: Request<CreateDirectoryRequest>,
    ) -> Result<Response<FileEntry>, Status> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadWrite)?;
        let mut fields = Fields::default();
        let path = path::read(&request.path, &request.path_bytes, &mut fields);
        let mode = match request.mode {
            0 => DEFAULT_MODE,
            mode if mode <= ALL_MODE_BITS => mode,
            _ => {
                fields.wrong("mode", "must be at most 07777 (octal), 4095");
                DEFAULT_MODE
            }
        };
        fields.finish()?;
        let path = path.unwrap_or_else(RelativePath::root);
        let at = path.as_bytes().to_vec();
        let made = self
            .files
            .create_directory(grant, path, request.parents, mode);
        Ok(Response::new(entry_at(&at, made.await?)))
    }
}
