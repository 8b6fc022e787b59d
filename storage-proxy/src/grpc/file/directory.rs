//! CreateDirectory.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use vfolder_common::{error::Fields, token::GrantMode};
use vfolder_proto::v1::{CreateDirectoryRequest, FileEntry};

use super::{
    Service,
    entry::{entry, root_entry},
};
use crate::{
    file::{granted, in_scope},
    grpc::path,
    refuse,
    task::Stay,
    tree::RelativePath,
};

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
        in_scope(&grant, &path)?;
        let parents = request.parents;
        let made = self
            .files
            .in_tree(grant, Stay::Writing, Arc::default(), move |visit| {
                if path.is_root() && parents {
                    return root_entry(visit.tree, &path);
                }
                let made = visit.tree.create_directory(&path, parents, mode);
                made.map(entry)
                    .map_err(|fault| refuse::by_fault(fault, &path.to_string()))
            });
        Ok(Response::new(made.await?))
    }
}
