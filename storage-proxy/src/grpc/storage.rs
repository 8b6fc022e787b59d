//! StorageService: what the manager asks.

use std::{os::fd::AsFd as _, sync::Arc};

use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use vfolder_common::{
    error::{Fields, Reason, Refusal},
    token::SharedSecret,
};
use vfolder_proto::storage::{
    CancelTaskRequest, CancelTaskResponse, ForgetTaskRequest, ForgetTaskResponse,
    GetTreeUsageRequest, GetTreeUsageResponse, GetVolumeRequest, GetVolumeResponse,
    HandshakeRequest, HandshakeResponse, ListVolumeContentsRequest, ListVolumeContentsResponse,
    RunTaskRequest, RunTaskResponse, StatTreeRequest, StatTreeResponse, run_task_request::Task,
    storage_service_server::StorageService,
};

use super::{refuse, stream, volume};
use crate::{
    task::{TaskSpec, Tasks, Work},
    tree::{Control, usage},
    volume::OpenVolume,
};

/// Entries sent ahead of a slow reader.
const BUFFERED: usize = 64;

/// The service.
#[derive(Clone, Debug)]
pub struct Storage {
    tasks: Tasks,
    secret: Arc<SharedSecret>,
    instance_id: Uuid,
}

impl Storage {
    /// Over the tasks and their volumes. `instance_id` is new at every start of the process.
    #[must_use]
    pub fn new(tasks: Tasks, secret: Arc<SharedSecret>, instance_id: Uuid) -> Self {
        Self {
            tasks,
            secret,
            instance_id,
        }
    }

    /// Runs `look` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        volume: &str,
        look: impl FnOnce(&OpenVolume) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let volume = Arc::clone(
            self.tasks
                .volume(volume)
                .map_err(|refused| refuse::by_tasks(&refused))?,
        );
        let done = spawn_blocking(move || {
            let open = volume.get().map_err(|error| refuse::by_volume(&error))?;
            look(&open)
        });
        done.await.map_err(|error| refuse::by_join(&error))?
    }
}

#[tonic::async_trait]
impl StorageService for Storage {
    type RunTaskStream = ReceiverStream<Result<RunTaskResponse, Status>>;
    type ListVolumeContentsStream = ReceiverStream<Result<ListVolumeContentsResponse, Status>>;

    async fn handshake(
        &self,
        request: Request<HandshakeRequest>,
    ) -> Result<Response<HandshakeResponse>, Status> {
        let nonce = request.into_inner().nonce;
        if nonce.is_empty() || nonce.len() > 256 {
            return Err(Refusal::field("nonce", "must have 1 to 256 bytes").into());
        }
        let proof = self
            .secret
            .prove(&nonce)
            .map_err(|error| Refusal::internal(&error))?;
        let volumes: Vec<_> = self.tasks.volumes().cloned().collect();
        let described = spawn_blocking(move || {
            volumes
                .iter()
                .map(|one| volume::describe(one))
                .collect::<Vec<_>>()
        });
        let mut volumes = described.await.map_err(|error| refuse::by_join(&error))?;
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Response::new(HandshakeResponse {
            proof,
            instance_id: self.instance_id.to_string(),
            volumes,
        }))
    }

    async fn get_volume(
        &self,
        request: Request<GetVolumeRequest>,
    ) -> Result<Response<GetVolumeResponse>, Status> {
        let name = request.into_inner().volume;
        let volume = Arc::clone(
            self.tasks
                .volume(&name)
                .map_err(|refused| refuse::by_tasks(&refused))?,
        );
        let described = spawn_blocking(move || volume::describe(&volume)).await;
        let volume = described.map_err(|error| refuse::by_join(&error))?;
        Ok(Response::new(GetVolumeResponse {
            volume: Some(volume),
        }))
    }

    async fn run_task(
        &self,
        request: Request<RunTaskRequest>,
    ) -> Result<Response<Self::RunTaskStream>, Status> {
        let (operation, spec) = read_task(request.into_inner())?;
        let task = self
            .tasks
            .run(operation, spec)
            .map_err(|refused| refuse::by_tasks(&refused))?;
        Ok(Response::new(stream::news(task)))
    }

    async fn cancel_task(
        &self,
        request: Request<CancelTaskRequest>,
    ) -> Result<Response<CancelTaskResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let operation = read_id(&mut fields, "operation_id", &request.operation_id);
        read_id(&mut fields, "vfolder_id", &request.vfolder_id);
        fields.finish()?;
        let cancelled = self.tasks.cancel(operation, &request.volume).await;
        let published = cancelled.map_err(|refused| refuse::by_tasks(&refused))?;
        Ok(Response::new(CancelTaskResponse { published }))
    }

    async fn forget_task(
        &self,
        request: Request<ForgetTaskRequest>,
    ) -> Result<Response<ForgetTaskResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let operation = read_id(&mut fields, "operation_id", &request.operation_id);
        fields.finish()?;
        let forgotten = self.tasks.forget(operation, &request.volume).await;
        forgotten.map_err(|refused| refuse::by_tasks(&refused))?;
        Ok(Response::new(ForgetTaskResponse {}))
    }

    async fn get_tree_usage(
        &self,
        request: Request<GetTreeUsageRequest>,
    ) -> Result<Response<GetTreeUsageResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let vfolder = read_id(&mut fields, "vfolder_id", &request.vfolder_id);
        fields.finish()?;
        let control = Arc::new(Control::default());
        let _stop = StopOnDrop(Arc::clone(&control));
        let counted = self.blocking(&request.volume, move |volume| {
            let tree = volume
                .tree(vfolder)
                .map_err(|error| refuse::by_volume(&error))?;
            let tree = tree.ok_or_else(|| no_tree(vfolder))?;
            usage(tree.as_fd(), &control).map_err(|error| refuse::by_tree(&error))
        });
        let all = counted.await?;
        Ok(Response::new(GetTreeUsageResponse {
            entries: all.entries,
            bytes: all.bytes,
            disk_bytes: all.disk_bytes,
        }))
    }

    async fn stat_tree(
        &self,
        request: Request<StatTreeRequest>,
    ) -> Result<Response<StatTreeResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let vfolder = read_id(&mut fields, "vfolder_id", &request.vfolder_id);
        fields.finish()?;
        let looked = self.blocking(&request.volume, move |volume| {
            volume
                .tree(vfolder)
                .map(|tree| tree.is_some())
                .map_err(|error| refuse::by_volume(&error))
        });
        Ok(Response::new(StatTreeResponse {
            exists: looked.await?,
        }))
    }

    async fn list_volume_contents(
        &self,
        request: Request<ListVolumeContentsRequest>,
    ) -> Result<Response<Self::ListVolumeContentsStream>, Status> {
        let name = request.into_inner().volume;
        let volume = Arc::clone(
            self.tasks
                .volume(&name)
                .map_err(|refused| refuse::by_tasks(&refused))?,
        );
        let (sender, receiver) = mpsc::channel(BUFFERED);
        spawn_blocking(move || {
            let listed = volume.get().and_then(|volume| {
                // A reader that hangs up ends the listing.
                volume.contents(|found| sender.blocking_send(Ok(volume::found(found))).is_ok())
            });
            if let Err(error) = listed {
                let _ = sender.blocking_send(Err(refuse::by_volume(&error).into()));
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Stops work that nobody waits for any more.
pub(super) struct StopOnDrop(pub Arc<Control>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A vfolder without a tree.
pub(super) fn no_tree(vfolder: Uuid) -> Refusal {
    Refusal::new(
        Reason::VFolderNotFound,
        format!("the vfolder {vfolder} has no tree on this volume"),
    )
    .with_resource("vfolder", vfolder.to_string(), "no tree")
}

fn read_task(request: RunTaskRequest) -> Result<(Uuid, TaskSpec), Refusal> {
    let mut fields = Fields::default();
    let operation = read_id(&mut fields, "operation_id", &request.operation_id);
    if request.volume.is_empty() {
        fields.wrong("volume", "must name a volume");
    }
    if request.epoch < 0 {
        fields.wrong("epoch", "must not be negative");
    }
    let work = match &request.task {
        None => {
            fields.wrong("task", "must be set");
            None
        }
        Some(Task::CreateTree(task)) => {
            let vfolder = read_id(&mut fields, "create_tree.vfolder_id", &task.vfolder_id);
            Some(Work::Create { vfolder })
        }
        Some(Task::CloneTree(task)) => {
            let source = read_id(&mut fields, "clone_tree.source_id", &task.source_id);
            let vfolder = read_id(&mut fields, "clone_tree.vfolder_id", &task.vfolder_id);
            if source == vfolder && !source.is_nil() {
                fields.wrong("clone_tree.vfolder_id", "must differ from source_id");
            }
            Some(Work::Clone { source, vfolder })
        }
        Some(Task::PurgeTree(task)) => {
            let vfolder = read_id(&mut fields, "purge_tree.vfolder_id", &task.vfolder_id);
            Some(Work::Purge { vfolder })
        }
    };
    fields.finish()?;
    let work = work.ok_or_else(|| Refusal::field("task", "must be set"))?;
    Ok((
        operation,
        TaskSpec {
            volume: request.volume,
            epoch: request.epoch,
            work,
        },
    ))
}

/// Nil, and noted in `fields`, if it is none.
fn read_id(fields: &mut Fields, field: &str, text: &str) -> Uuid {
    fields
        .check(field, Uuid::parse_str(text).map_err(|_| "must be a UUID"))
        .unwrap_or_default()
}
