//! DownloadArchive.

use futures_util::StreamExt as _;
use tonic::{Request, Response, Status};
use vfolder_common::{error::Fields, token::GrantMode};
use vfolder_proto::v1::{ArchiveFormat, DownloadArchiveRequest, DownloadArchiveResponse};

use super::{Messages, Service};
use crate::{archive::Format, file::granted, tree::RelativePath};

const MOST_PATHS: usize = 1_000;

impl Service {
    pub(super) async fn archive(
        &self,
        request: Request<DownloadArchiveRequest>,
    ) -> Result<Response<Messages<DownloadArchiveResponse>>, Status> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadOnly)?;
        let mut fields = Fields::default();
        let format = match ArchiveFormat::try_from(request.format) {
            Ok(ArchiveFormat::Unspecified | ArchiveFormat::Zip) => Format::Zip,
            Ok(ArchiveFormat::Tar) => Format::Tar,
            Ok(ArchiveFormat::TarGz) => Format::TarGz,
            Ok(ArchiveFormat::TarZst) => Format::TarZst,
            Err(_) => {
                fields.wrong("format", "is no format of archives");
                Format::Zip
            }
        };
        let paths = paths(&request, &mut fields);
        fields.finish()?;
        let archive = self.files.archive(&grant, paths, format).await?;
        let messages = archive.map(|chunk| match chunk {
            Ok(data) => Ok(DownloadArchiveResponse { data }),
            Err(refusal) => Err(Status::from(refusal)),
        });
        Ok(Response::new(Box::pin(messages)))
    }
}

fn paths(request: &DownloadArchiveRequest, fields: &mut Fields) -> Vec<RelativePath> {
    if request.paths.len() + request.paths_bytes.len() > MOST_PATHS {
        fields.wrong("paths", "must be at most 1,000, together with paths_bytes");
        return Vec::new();
    }
    let texts = request.paths.iter().map(|path| ("paths", path.as_bytes()));
    let bytes = request.paths_bytes.iter();
    texts
        .chain(bytes.map(|path| ("paths_bytes", &path[..])))
        .filter_map(|(field, path)| fields.check(field, RelativePath::parse(path)))
        .collect()
}
