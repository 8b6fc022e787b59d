//! FileService: the files inside a vfolder, for users, by way of the manager.

use std::{os::fd::AsFd as _, sync::Arc};

use prost_types::Timestamp;
use rustix::fs::fstat;
use tonic::{Extensions, Request, Response, Status};
use uuid::Uuid;
use vfolder_common::{
    error::{Fields, Reason, Refusal},
    token::{Grant, GrantMode},
};
use vfolder_proto::v1::{
    CreateDirectoryRequest, FileEntry, FileType, ListFilesRequest, ListFilesResponse,
    file_service_server::FileService,
};

use super::{
    page_token, path, refuse,
    storage::{StopOnDrop, no_tree},
};
use crate::{
    task::{Stay, Tasks},
    tree::{Control, Entry, Fault, FileKind, Meta, RelativePath, TreeRoot},
};

const DEFAULT_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;
const DEFAULT_MODE: u32 = 0o755;
const ALL_MODE_BITS: u32 = 0o7777;

/// The service.
#[derive(Clone, Debug)]
pub struct Files {
    tasks: Tasks,
}

impl Files {
    /// Over the volumes of `tasks`.
    #[must_use]
    pub fn new(tasks: Tasks) -> Self {
        Self { tasks }
    }

    /// Runs `work` in the granted tree, on a thread that may block. `control` is stopped when somebody else gets the tree
    /// meanwhile.
    async fn in_tree<T: Send + 'static>(
        &self,
        grant: Grant,
        stay: Stay,
        control: Arc<Control>,
        work: impl FnOnce(&TreeRoot) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let by_tasks = |refused| refuse::by_tasks(&refused);
        let fences = self.tasks.fences(&grant.volume).map_err(by_tasks)?;
        let name = grant.volume.clone();
        let done = self.tasks.serve(&name, move |volume| {
            let by_volume = |error| refuse::by_volume(&error);
            let volume = volume.get().map_err(by_volume)?;
            let guard = fences
                .enter(&volume, grant.vfolder, stay, grant.epoch, control)
                .map_err(|error| refuse::by_fence(&error))?;
            let tree = volume.tree(grant.vfolder).map_err(by_volume)?;
            let done = work(&tree.ok_or_else(|| no_tree(grant.vfolder))?);
            done.map_err(|refusal| match guard.is_cut() {
                true => cut_off(grant.vfolder),
                false => refusal,
            })
        });
        done.await.map_err(by_tasks)?
    }
}

#[tonic::async_trait]
impl FileService for Files {
    async fn list_files(
        &self,
        request: Request<ListFilesRequest>,
    ) -> Result<Response<ListFilesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(&extensions, &request.vfolder_id, GrantMode::ReadOnly)?;
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

        let control = Arc::new(Control::default());
        let _stop = StopOnDrop(Arc::clone(&control));
        let vfolder = grant.vfolder;
        let work = Arc::clone(&control);
        let listed = self.in_tree(grant, Stay::Reading, work, move |tree| {
            let page = tree.list(&path, after.as_deref(), size, &control);
            let page = page.map_err(|fault| refuse::by_fault(fault, &path.to_string()))?;
            let next = page
                .next_after
                .map(|name| page_token::write(vfolder, &path, &name));
            Ok(ListFilesResponse {
                entries: page.entries.into_iter().map(entry).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        });
        Ok(Response::new(listed.await?))
    }

    async fn create_directory(
        &self,
        request: Request<CreateDirectoryRequest>,
    ) -> Result<Response<FileEntry>, Status> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(&extensions, &request.vfolder_id, GrantMode::ReadWrite)?;
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
        let parents = request.parents;
        let made = self.in_tree(grant, Stay::Writing, Arc::default(), move |tree| {
            if path.is_root() && parents {
                return root_entry(tree, &path);
            }
            let made = tree.create_directory(&path, parents, mode);
            made.map(entry)
                .map_err(|fault| refuse::by_fault(fault, &path.to_string()))
        });
        Ok(Response::new(made.await?))
    }
}

/// The grant that the request came with, if it is for this vfolder and lets its bearer do that much.
fn granted(extensions: &Extensions, vfolder_id: &str, mode: GrantMode) -> Result<Grant, Refusal> {
    let grant = extensions
        .get::<Grant>()
        .ok_or_else(|| Refusal::new(Reason::GrantMissing, "the request came without a grant"))?;
    let vfolder =
        Uuid::parse_str(vfolder_id).map_err(|_| Refusal::field("vfolder_id", "must be a UUID"))?;
    if grant.vfolder != vfolder {
        return Err(Refusal::new(
            Reason::GrantTooSmall,
            "the grant is for another vfolder",
        ));
    }
    if mode == GrantMode::ReadWrite && grant.mode != GrantMode::ReadWrite {
        return Err(Refusal::new(
            Reason::GrantTooSmall,
            "the grant is for reading only",
        ));
    }
    Ok(grant.clone())
}

fn cut_off(vfolder: Uuid) -> Refusal {
    let text = format!(
        "the vfolder {vfolder} has changed hands while this was under way; look at its status, and try again"
    );
    Refusal::new(Reason::GrantStale, text)
}

fn root_entry(tree: &TreeRoot, path: &RelativePath) -> Result<FileEntry, Refusal> {
    let stat = fstat(tree.as_fd())
        .map_err(|errno| refuse::by_fault(Fault::System("fstat", errno), &path.to_string()))?;
    Ok(entry(Entry {
        name: c"".to_owned(),
        meta: Meta::from(stat),
        target: None,
    }))
}

fn entry(entry: Entry) -> FileEntry {
    let (name, name_bytes) = path::write(entry.name.to_bytes());
    let (symlink_target, symlink_target_bytes) =
        path::write(entry.target.as_deref().unwrap_or_default().to_bytes());
    let (seconds, nanos) = entry.meta.modified;
    FileEntry {
        name,
        name_bytes,
        r#type: file_type(entry.meta.kind).into(),
        size: i64::try_from(entry.meta.size).unwrap_or(i64::MAX),
        mode: entry.meta.mode,
        uid: entry.meta.uid,
        gid: entry.meta.gid,
        modify_time: Some(Timestamp {
            seconds,
            nanos: i32::try_from(nanos).unwrap_or(0),
        }),
        symlink_target,
        symlink_target_bytes,
        link_count: i64::try_from(entry.meta.links).unwrap_or(i64::MAX),
    }
}

fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Regular => FileType::Regular,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::Fifo,
        FileKind::Socket => FileType::Socket,
        FileKind::CharacterDevice => FileType::CharacterDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Unknown => FileType::Unspecified,
    }
}
