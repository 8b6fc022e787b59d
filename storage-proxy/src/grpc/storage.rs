//! StorageService: what the manager asks.

use std::{os::fd::AsFd as _, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use vfolder_common::{
    error::{Fields, Refusal},
    token::SharedSecret,
};
use vfolder_proto::storage::{
    CancelTaskRequest, CancelTaskResponse, CloneEstimate, FenceTreeRequest, FenceTreeResponse,
    ForgetTaskRequest, ForgetTaskResponse, GetOwnerUsageRequest, GetOwnerUsageResponse,
    GetTreeUsageRequest, GetTreeUsageResponse, GetVolumeRequest, GetVolumeResponse,
    HandshakeRequest, HandshakeResponse, ListVolumeContentsRequest, ListVolumeContentsResponse,
    RunTaskRequest, RunTaskResponse, SetQuotasRequest, SetQuotasResponse, StatTreeRequest,
    StatTreeResponse, StorageVolume, storage_service_server::StorageService,
};

use super::{
    quota, stream,
    task::{read_id, read_task},
    volume,
};
use crate::{
    file::Turns,
    refuse,
    task::{Tasks, Work},
    tree::{Control, StopOnDrop, Workers, usage},
    volume::{
        Fence, OpenVolume, Volume,
        method::{disk_bytes, inodes},
    },
};

/// Entries sent ahead of a slow reader.
const BUFFERED: usize = 64;
/// A volume that takes longer to say how it is hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// The service.
#[derive(Clone, Debug)]
pub struct Storage {
    tasks: Tasks,
    secret: Arc<SharedSecret>,
    instance_id: Uuid,
    direct_url: String,
    /// Of those who count a vfolder's tree.
    counting: Arc<Turns>,
}

impl Storage {
    /// Over the tasks and their volumes. `instance_id` is new at every start of the process.
    #[must_use]
    pub fn new(tasks: Tasks, secret: Arc<SharedSecret>, instance_id: Uuid) -> Self {
        Self {
            tasks,
            secret,
            instance_id,
            direct_url: String::new(),
            counting: Arc::new(Turns::new(1)),
        }
    }

    /// Telling where bearers of grants are served.
    #[must_use]
    pub fn with_direct_url(self, direct_url: &str) -> Self {
        Self {
            direct_url: direct_url.to_owned(),
            ..self
        }
    }

    /// Runs `look` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        volume: &str,
        look: impl FnOnce(&OpenVolume) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let done = self.tasks.look(volume, move |volume| {
            let open = volume.get().map_err(|error| refuse::by_volume(&error))?;
            look(&open)
        });
        done.await.map_err(|refused| refuse::by_tasks(&refused))?
    }

    /// How a volume is; one that does not answer soon is unavailable.
    async fn describe(&self, name: &str) -> StorageVolume {
        let tasks = self.tasks.clone();
        let look = self
            .tasks
            .look(name, move |volume| volume::describe(&tasks, volume));
        match timeout(PATIENCE, look).await {
            Ok(Ok(described)) => described,
            Ok(Err(refused)) => volume::silent(name, refused.to_string()),
            Err(_) => {
                let why = format!(
                    "it has not answered for {} s; look at its disks and its network",
                    PATIENCE.as_secs()
                );
                volume::silent(name, why)
            }
        }
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
        let mut looks = JoinSet::new();
        for volume in self.tasks.volumes() {
            let (this, name) = (self.clone(), volume.name().to_owned());
            looks.spawn(async move { this.describe(&name).await });
        }
        let mut volumes = looks.join_all().await;
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
        self.tasks
            .volume(&name)
            .map_err(|refused| refuse::by_tasks(&refused))?;
        Ok(Response::new(GetVolumeResponse {
            volume: Some(self.describe(&name).await),
            direct_url: self.direct_url.clone(),
        }))
    }

    async fn run_task(
        &self,
        request: Request<RunTaskRequest>,
    ) -> Result<Response<Self::RunTaskStream>, Status> {
        let mut request = request.into_inner();
        let quota = request.quota.take().map(quota::read);
        let source = request.source_quota.take().map(quota::read);
        let written = request.source_written;
        let (operation, spec) = read_task(request)?;
        if let Ok(accounts) = self.tasks.accounts(&spec.volume) {
            if let Some(quota) = quota {
                accounts.learn(spec.work.vfolder(), &quota);
            }
            if let (Some(quota), Work::Clone { source, .. }) = (source, &spec.work) {
                accounts.learn_source(*source, &quota, written);
            }
        }
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
        let vfolder = read_id(&mut fields, "vfolder_id", &request.vfolder_id);
        if request.epoch < 0 {
            fields.wrong("epoch", "must not be negative");
        }
        fields.finish()?;
        let (tasks, volume) = (&self.tasks, &request.volume);
        let epoch = request.epoch;
        let cancelled = match (request.only_reads, request.in_place) {
            (true, _) => tasks.cancel_reading(operation, volume).await,
            (false, true) => {
                tasks
                    .cancel_in_place(operation, volume, vfolder, epoch)
                    .await
            }
            (false, false) => tasks.cancel(operation, volume, vfolder, epoch).await,
        };
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

    async fn fence_tree(
        &self,
        request: Request<FenceTreeRequest>,
    ) -> Result<Response<FenceTreeResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let vfolder = read_id(&mut fields, "vfolder_id", &request.vfolder_id);
        if request.epoch < 0 {
            fields.wrong("epoch", "must not be negative");
        }
        fields.finish()?;
        let fence = match request.readers {
            true => Fence::for_all(request.epoch),
            false => Fence::for_writers(request.epoch),
        };
        let fenced = self.tasks.fence(&request.volume, vfolder, fence).await;
        fenced.map_err(|refused| refuse::by_tasks(&refused))?;
        Ok(Response::new(FenceTreeResponse {}))
    }

    async fn set_quotas(
        &self,
        request: Request<SetQuotasRequest>,
    ) -> Result<Response<SetQuotasResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let told: Vec<_> = request
            .vfolders
            .into_iter()
            .map(|told| {
                let vfolder = read_id(&mut fields, "vfolders.vfolder_id", &told.vfolder_id);
                (vfolder, quota::read(told.quota.unwrap_or_default()))
            })
            .collect();
        fields.finish()?;
        let accounts = self
            .tasks
            .accounts(&request.volume)
            .map_err(|refused| refuse::by_tasks(&refused))?;
        let kept = self.blocking(&request.volume, move |volume| {
            quota::keep(&accounts, volume, &told).map_err(|error| refuse::by_volume(&error))
        });
        kept.await?;
        Ok(Response::new(SetQuotasResponse {}))
    }

    async fn get_owner_usage(
        &self,
        request: Request<GetOwnerUsageRequest>,
    ) -> Result<Response<GetOwnerUsageResponse>, Status> {
        let GetOwnerUsageRequest { volume, owner } = request.into_inner();
        let accounts = self
            .tasks
            .accounts(&volume)
            .map_err(|refused| refuse::by_tasks(&refused))?;
        let found = self.blocking(&volume, move |volume| {
            let found = accounts.owner_use(volume, &owner);
            found.map_err(|error| refuse::by_volume(&error))
        });
        Ok(Response::new(quota::answer(found.await?)))
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
        // It may take minutes: each waits until there are threads left for what is short.
        let own = self.counting.take(vfolder).await;
        let of_volume = self.tasks.walk_turn(&request.volume).await;
        let turns = (
            own,
            of_volume.map_err(|refused| refuse::by_tasks(&refused))?,
        );
        let counted = self.blocking(&request.volume, move |volume| {
            // Given back by the thread.
            let _turns = turns;
            let tree = volume
                .tree(vfolder)
                .map_err(|error| refuse::by_volume(&error))?;
            let tree = tree.ok_or_else(|| refuse::no_tree(vfolder))?;
            let all = usage(tree.as_fd(), Workers::ONE, &control)
                .map_err(|error| refuse::by_tree(&error))?;
            Ok((all, volume.method_for(tree.as_fd())))
        });
        let (all, method) = counted.await?;
        let took = self
            .tasks
            .clone_estimate(&request.volume, method, all.entries, all.bytes);
        let duration = took.map_err(|refused| refuse::by_tasks(&refused))?;
        Ok(Response::new(GetTreeUsageResponse {
            entries: all.entries,
            bytes: all.bytes,
            disk_bytes: all.disk_bytes,
            clone: Some(CloneEstimate {
                method: volume::method(method).into(),
                disk_bytes: disk_bytes(method, &all),
                inodes: inodes(method, &all),
                duration: duration.try_into().ok(),
            }),
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
        self.tasks
            .volume(&name)
            .map_err(|refused| refuse::by_tasks(&refused))?;
        let (sender, receiver) = mpsc::channel(BUFFERED);
        let (tasks, last) = (self.tasks.clone(), sender.clone());
        let list = move |volume: &Volume| {
            let listed = volume.get().and_then(|volume| {
                // A reader that hangs up ends the listing.
                volume.contents(|found| sender.blocking_send(Ok(volume::found(found))).is_ok())
            });
            if let Err(error) = listed {
                let _ = sender.blocking_send(Err(refuse::by_volume(&error).into()));
            }
        };
        tokio::spawn(async move {
            let broken = tokio::select! {
                looked = tasks.look(&name, list) => looked.err(),
                // Nobody waits for it any more.
                () = last.closed() => None,
            };
            if let Some(refused) = broken {
                let _ = last.send(Err(refuse::by_tasks(&refused).into())).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
