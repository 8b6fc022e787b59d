//! RemoveFiles.

use tonic::{Request, Response, Status};
use vfolder_common::{
    error::{Fields, Refusal},
    token::GrantMode,
};
use vfolder_proto::v1::{RemoveFilesRequest, RemoveFilesResponse, RemovedFile};

use super::Service;
use crate::{
    file::{Removal, granted},
    grpc::path,
    tree::RelativePath,
};

/// Paths in one request.
const MOST: usize = 10_000;
/// Bytes of all of them as they are told in the answer, which stays below 4 MiB with a reason for each.
const MOST_BYTES: usize = 1 << 20;

impl Service {
    pub(super) async fn remove(
        &self,
        request: Request<RemoveFilesRequest>,
    ) -> Result<Response<RemoveFilesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadWrite)?;
        let paths = paths(&request)?;
        let removal = Removal {
            paths: paths.clone(),
            recursive: request.recursive,
            missing_ok: request.missing_ok,
        };
        let removed = self.files.remove(grant, removal).await?;
        let results = paths.iter().zip(removed).map(|(path, removed)| {
            let (path, path_bytes) = path::write(path.as_bytes());
            let (reason, message) = match &removed.refusal {
                Some((reason, text)) => (reason.as_str().to_owned(), text.clone()),
                None => Default::default(),
            };
            RemovedFile {
                path,
                path_bytes,
                removed: removed.refusal.is_none(),
                files: i64::try_from(removed.files).unwrap_or(i64::MAX),
                reason,
                message,
            }
        });
        Ok(Response::new(RemoveFilesResponse {
            results: results.collect(),
        }))
    }
}

/// The paths of the request, in the order of the answer.
fn paths(request: &RemoveFilesRequest) -> Result<Vec<RelativePath>, Refusal> {
    let texts = request.paths.iter().map(String::as_bytes);
    let bytes = request.paths_bytes.iter().map(AsRef::as_ref);
    let texts = texts.enumerate().map(|(at, path)| ("paths", at, path));
    let bytes = bytes
        .enumerate()
        .map(|(at, path)| ("paths_bytes", at, path));
    let all: Vec<(&str, usize, &[u8])> = texts.chain(bytes).collect();
    if all.is_empty() || all.len() > MOST {
        let wrong = format!("must be 1 to {MOST}, together with paths_bytes");
        return Err(Refusal::field("paths", wrong));
    }
    let told = |path: &[u8]| {
        let (text, bytes) = path::write(path);
        text.len() + bytes.len()
    };
    if all.iter().map(|(_, _, path)| told(path)).sum::<usize>() > MOST_BYTES {
        let wrong = "must be 1 MiB together at most: remove them in several requests";
        return Err(Refusal::field("paths", wrong));
    }
    let (mut fields, mut paths) = (Fields::default(), Vec::with_capacity(all.len()));
    for (field, at, path) in all {
        let field = format!("{field}[{at}]");
        match RelativePath::parse(path) {
            Ok(path) if path.is_root() => fields.wrong(field, "must not be the vfolder's root"),
            Ok(path) => paths.push(path),
            Err(error) => fields.wrong(field, error.to_string()),
        }
    }
    fields.finish()?;
    Ok(paths)
}
