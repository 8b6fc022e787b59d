//! SearchFiles.

use tonic::{Request, Response, Status};
use vfolder_common::{error::Fields, token::GrantMode};
use vfolder_proto::v1::{SearchFilesRequest, SearchFilesResponse};

use super::{
    Service,
    entry::{entry_at, file_kind},
    page,
};
use crate::{
    file::{Find, Glob, granted},
    grpc::{page_token::Asked, path},
    tree::{FileKind, RelativePath},
};

impl Service {
    pub(super) async fn search(
        &self,
        request: Request<SearchFilesRequest>,
    ) -> Result<Response<SearchFilesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadOnly)?;
        let mut fields = Fields::default();
        let path = path::read(&request.path, &request.path_bytes, &mut fields);
        let pattern = Glob::parse(&request.pattern, request.ignore_case);
        let pattern = fields.check("pattern", pattern);
        let kinds: Option<Vec<FileKind>> =
            request.types.iter().map(|one| file_kind(*one)).collect();
        let kinds = fields.check("types", kinds.ok_or("must be types of files"));
        let size = page::read_size(request.page_size, &mut fields);
        let path = path.unwrap_or_else(RelativePath::root);
        let asked = Asked::of("SearchFiles", grant.vfolder)
            .with(path.as_bytes())
            .with(request.pattern.as_bytes())
            .and(i64::from(request.ignore_case));
        let types = request.types.iter();
        let asked = types.fold(asked, |asked, one| asked.and(i64::from(*one)));
        let begin = page::Begin::read(
            asked,
            &request.page_token,
            self.files.shelf().now(),
            |place| page::is_below(place, &path),
            &mut fields,
        );
        fields.finish()?;
        let found = self.files.find(
            grant,
            Find {
                path,
                max_depth: usize::MAX,
                after: begin.path(),
                size,
                since: begin.since,
                pattern,
                kinds: kinds.unwrap_or_default(),
            },
        );
        let found = found.await?;
        let next = found.next_after.map(|path| asked.write(begin.since, &path));
        let entries = found.found.into_iter();
        Ok(Response::new(SearchFilesResponse {
            entries: entries.map(|one| entry_at(&one.path, one.entry)).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }
}
