//! ListFiles.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use vfolder_common::{error::Fields, token::GrantMode};
use vfolder_proto::v1::{ListFilesRequest, ListFilesResponse};

use super::{Service, entry::entry};
use crate::{
    file::{granted, in_scope},
    grpc::{page_token, path, storage::StopOnDrop},
    refuse,
    task::Stay,
    tree::{Control, RelativePath},
};

const DEFAULT_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

impl Service {
    pub(super) async fn list(
        &self,
        request: Request<ListFilesRequest>,
    ) -> Result<Response<ListFilesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadOnly)?;
        let mut fields = Fields::default();
        let path = path::read(&request.path, &request.path_bytes, &mut fields);
        let size = match usize::try_from(request.page_size) {
            Ok(0) => DEFAULT_PAGE,
            Ok(size) => size.min(LARGEST_PAGE),
            Err(_) => {
                fields.wrong("page_size", "must not be negative");
                0
            }
        };
        let after = path
            .as_ref()
            .and_then(|path| page_token::read(grant.vfolder, path, &request.page_token));
        if after.is_none() && !request.page_token.is_empty() {
            fields.wrong(
                "page_token",
                "must come from the previous page of the same directory; begin again without it",
            );
        }
        fields.finish()?;
        let path = path.unwrap_or_else(RelativePath::root);
        in_scope(&grant, &path)?;

        let control = Arc::new(Control::default());
        let _stop = StopOnDrop(Arc::clone(&control));
        let vfolder = grant.vfolder;
        let work = Arc::clone(&control);
        let listed = self
            .files
            .in_tree(grant, Stay::Reading, work, move |visit| {
                let page = visit.tree.list(&path, after.as_deref(), size, &control);
                let page = page.map_err(|fault| refuse::by_fault(fault, &path.to_string()))?;
                let next = page
                    .next_after
                    .map(|name| page_token::write(vfolder, &path, &name));
                Ok(ListFilesResponse {
                    entries: page.entries.into_iter().map(entry).collect(),
                    next_page_token: next.unwrap_or_default(),
                    ..ListFilesResponse::default()
                })
            });
        Ok(Response::new(listed.await?))
    }
}
