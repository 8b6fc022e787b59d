//! StatFile and GetUsage.

use tonic::{Request, Response, Status};
use vfolder_common::{error::Fields, token::GrantMode};
use vfolder_proto::v1::{FileEntry, GetUsageRequest, GetUsageResponse, StatFileRequest};

use super::{Service, entry::entry_at};
use crate::{file::granted, grpc::path, tree::RelativePath};

impl Service {
    pub(super) async fn stat(
        &self,
        request: Request<StatFileRequest>,
    ) -> Result<Response<FileEntry>, Status> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadOnly)?;
        let mut fields = Fields::default();
        let path = path::read(&request.path, &request.path_bytes, &mut fields);
        fields.finish()?;
        let path = path.unwrap_or_else(RelativePath::root);
        let at = path.as_bytes().to_vec();
        let entry = self.files.stat(grant, path).await?;
        Ok(Response::new(entry_at(&at, entry)))
    }

    pub(super) async fn count(
        &self,
        request: Request<GetUsageRequest>,
    ) -> Result<Response<GetUsageResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadOnly)?;
        let mut fields = Fields::default();
        let path = path::read(&request.path, &request.path_bytes, &mut fields);
        fields.finish()?;
        let path = path.unwrap_or_else(RelativePath::root);
        let usage = self.files.usage(grant, path).await?;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Ok(Response::new(GetUsageResponse {
            files: number(usage.entries),
            bytes: number(usage.bytes),
            disk_bytes: number(usage.disk_bytes),
        }))
    }
}
