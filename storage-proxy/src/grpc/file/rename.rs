//! MoveFile.

use tonic::{Request, Response, Status};
use vfolder_common::{error::Fields, token::GrantMode};
use vfolder_proto::v1::{FileEntry, MoveFileRequest};

use super::{Service, entry::entry_at};
use crate::{file::granted, grpc::path, tree::RelativePath};

impl Service {
    pub(super) async fn rename(
        &self,
        request: Request<MoveFileRequest>,
    ) -> Result<Response<FileEntry>, Status> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadWrite)?;
        let mut fields = Fields::default();
        let mut read = |name: &str, text: &str, bytes: &[u8]| {
            let path = path::read_as(name, text, bytes, &mut fields)?;
            if path.is_root() {
                fields.wrong(name, "must not be the vfolder's root");
            }
            Some(path)
        };
        let from = read("path", &request.path, &request.path_bytes);
        let to = read("new_path", &request.new_path, &request.new_path_bytes);
        if let (Some(from), Some(to)) = (&from, &to)
            && !from.is_root()
            && to.is_below(from)
        {
            fields.wrong("new_path", "must not be inside of what is moved");
        }
        fields.finish()?;
        let root = RelativePath::root;
        let (from, to) = (from.unwrap_or_else(root), to.unwrap_or_else(root));
        let at = to.as_bytes().to_vec();
        let moved = self.files.rename(grant, from, to, request.replace).await?;
        Ok(Response::new(entry_at(&at, moved)))
    }
}
