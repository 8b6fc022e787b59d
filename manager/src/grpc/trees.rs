//! TreeService.

use tonic::{Request, Response, Status};
use vfolder_common::{
    error::{Fields, Refusal},
    path::RelativePath,
};
use vfolder_proto::{
    google::longrunning::Operation as Lro,
    v1::{
        self, ExistingFiles, ExtractArchiveRequest, RemoveTreeRequest,
        tree_service_server::TreeService,
    },
};

use super::{fields, lro};
use crate::{
    context::Context,
    gate::{Admitted, admitted::admitted},
    model::{ArchiveFormat, Existing, Extract, Remove, TreeWork},
    vfolder::{perform::perform, replay::RequestKey},
};

/// What an extraction that names no limits is held to.
const MOST_BYTES: u64 = 1 << 40;
const MOST_FILES: u64 = 10_000_000;
/// What one removal may name.
const MOST_PATHS: usize = 1_000;
const MOST_PATH_BYTES: usize = 1 << 20;

/// The service.
#[derive(Clone)]
pub struct Trees {
    /// What it works with.
    pub ctx: Context,
}

#[tonic::async_trait]
impl TreeService for Trees {
    async fn extract_archive(
        &self,
        request: Request<ExtractArchiveRequest>,
    ) -> Result<Response<Lro>, Status> {
        let gate = admitted(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let work = extract(&asked, &mut wrong);
        self.perform(gate, "ExtractArchive", work, &asked.request_id, wrong)
            .await
    }

    async fn remove_tree(
        &self,
        request: Request<RemoveTreeRequest>,
    ) -> Result<Response<Lro>, Status> {
        let gate = admitted(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let work = remove(&asked, &mut wrong);
        self.perform(gate, "RemoveTree", work, &asked.request_id, wrong)
            .await
    }
}

impl Trees {
    async fn perform(
        &self,
        gate: Admitted,
        method: &str,
        work: Option<TreeWork>,
        request_id: &str,
        mut wrong: Fields,
    ) -> Result<Response<Lro>, Status> {
        let request_id = fields::optional_id("request_id", request_id, &mut wrong);
        wrong.finish()?;
        let work = work.ok_or_else(|| Refusal::field("path", "is not valid"))?;
        let (caller, vfolder) = (&gate.warrant.caller, &gate.vfolder);
        let arguments = (vfolder.id.to_string(), &work);
        let key = RequestKey::new(&caller.user, request_id, method, &arguments);
        let (ctx, volume) = (&self.ctx, &vfolder.volume);
        let op = perform(ctx, &gate.warrant, vfolder.id, volume, &work, key).await?;
        Ok(Response::new(lro::operation(ctx, caller, &op).await?))
    }
}

fn extract(asked: &ExtractArchiveRequest, wrong: &mut Fields) -> Option<TreeWork> {
    let archive = path("path", &asked.path, &asked.path_bytes, wrong);
    if archive.as_ref().is_some_and(RelativePath::is_root) {
        wrong.wrong("path", "must name a file");
    }
    let destination = path(
        "destination",
        &asked.destination,
        &asked.destination_bytes,
        wrong,
    );
    let format = match v1::ArchiveFormat::try_from(asked.format) {
        Ok(v1::ArchiveFormat::Unspecified) => None,
        Ok(v1::ArchiveFormat::Tar) => Some(ArchiveFormat::Tar),
        Ok(v1::ArchiveFormat::TarGz) => Some(ArchiveFormat::TarGz),
        Ok(v1::ArchiveFormat::TarZst) => Some(ArchiveFormat::TarZst),
        Ok(v1::ArchiveFormat::Zip) => Some(ArchiveFormat::Zip),
        Err(_) => {
            wrong.wrong("format", "is no format of archives");
            None
        }
    };
    let existing = match ExistingFiles::try_from(asked.existing) {
        Ok(ExistingFiles::Unspecified | ExistingFiles::Fail) => Existing::Fail,
        Ok(ExistingFiles::Skip) => Existing::Skip,
        Ok(ExistingFiles::Replace) => Existing::Replace,
        Err(_) => {
            wrong.wrong("existing", "is no way to treat existing files");
            Existing::Fail
        }
    };
    let max_bytes = limit("max_bytes", asked.max_bytes, MOST_BYTES, wrong);
    let max_files = limit("max_files", asked.max_files, MOST_FILES, wrong);
    Some(TreeWork::Extract(Extract {
        archive: archive?,
        destination: destination?,
        format,
        existing,
        max_bytes,
        max_files,
    }))
}

fn remove(asked: &RemoveTreeRequest, wrong: &mut Fields) -> Option<TreeWork> {
    let texts = asked.paths.iter().map(|path| ("paths", path.as_bytes()));
    let bytes = asked.paths_bytes.iter();
    let given: Vec<(&str, &[u8])> = texts
        .chain(bytes.map(|path| ("paths_bytes", &path[..])))
        .collect();
    let length: usize = given.iter().map(|(_, path)| path.len()).sum();
    if given.is_empty() || given.len() > MOST_PATHS || length > MOST_PATH_BYTES {
        wrong.wrong(
            "paths",
            "must be 1 to 1,000 together with paths_bytes, and 1 MiB at most",
        );
        return None;
    }
    let mut paths = Vec::with_capacity(given.len());
    for (field, path) in given {
        let path = wrong.check(field, RelativePath::parse(path))?;
        if path.is_root() {
            wrong.wrong(field, "must not be the root: purge the vfolder instead");
            return None;
        }
        paths.push(path);
    }
    Some(TreeWork::Remove(Remove {
        paths,
        missing_ok: asked.missing_ok,
    }))
}

/// The path of a field that has a twin for what is not UTF-8.
fn path(field: &str, text: &str, bytes: &[u8], wrong: &mut Fields) -> Option<RelativePath> {
    let twin = format!("{field}_bytes");
    if !text.is_empty() && !bytes.is_empty() {
        wrong.wrong(
            twin.as_str(),
            format!("leave one of {field} and {twin} empty"),
        );
        return None;
    }
    match bytes {
        b"" => wrong.check(field, RelativePath::parse(text.as_bytes())),
        bytes => wrong.check(&twin, RelativePath::parse(bytes)),
    }
}

fn limit(field: &str, asked: i64, default: u64, wrong: &mut Fields) -> u64 {
    match u64::try_from(asked) {
        Ok(0) => default,
        Ok(limit) => limit,
        Err(_) => {
            wrong.wrong(field, "must not be negative");
            default
        }
    }
}
