//! The calls to a storage-proxy, by volume.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tonic::Streaming;
use vfolder_common::{
    error::{Exceeded, Reason},
    fault::{Side, beside},
    token::Quota,
};
use vfolder_proto::storage::{
    CancelTaskRequest, FenceTreeRequest, ForgetTaskRequest, GetOwnerUsageRequest,
    GetOwnerUsageResponse, GetTreeUsageRequest, GetTreeUsageResponse, GetVolumeRequest,
    GetVolumeResponse, ListVolumeContentsRequest, ListVolumeContentsResponse, RunTaskRequest,
    RunTaskResponse, SetQuotasRequest, StatTreeRequest, StorageVolume, VFolderQuota,
    run_task_response::News,
};

use super::{
    Proxy, ProxyError,
    proxy::CALL_TIMEOUT,
    wire::{progress, quota_to_wire, task},
};
use crate::store::{Id, Operation, Progress, lease::Receipt};

/// Whoever is in the tree is given a few seconds to leave.
const FENCE_TIMEOUT: Duration = Duration::from_secs(15);

/// What a running task tells.
#[derive(Debug)]
pub enum TaskNews {
    /// How far it is.
    Progress(Progress),
    /// How it ended.
    Ended(Outcome),
}

/// How a task ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was done in all.
    pub progress: Progress,
    /// What the tree is, if that was asked for.
    pub receipt: Option<Receipt>,
    /// None: it succeeded and is durable.
    pub failure: Option<Failure>,
}

/// Whom to keep out of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Fence<'a> {
    /// Where the tree is.
    pub volume: &'a str,
    /// Whose it is.
    pub vfolder: Id,
    /// The least epoch that still counts.
    pub epoch: i64,
    /// Readers too, or only writers.
    pub readers: bool,
}

/// How much may be in a tree.
#[derive(Clone, Debug)]
pub struct QuotaOf {
    /// Whose tree.
    pub vfolder: Id,
    /// So much.
    pub quota: Quota,
}

/// What a task's vfolders may hold, and what to know of them: no part of the task.
#[derive(Clone, Debug, Default)]
pub struct TaskQuotas {
    /// Of the vfolder that it makes or works in.
    pub vfolder: Option<Quota>,
    /// Of the one that it copies.
    pub source: Option<Quota>,
    /// Sessions may be writing into that one.
    pub source_written: bool,
}

/// Why a task ended without its result. Nothing of it is visible.
#[derive(Debug)]
pub struct Failure {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// It may succeed later.
    pub retryable: bool,
    /// Of QUOTA_EXCEEDED: which limit, if it is one of ours.
    pub exceeded: Option<Exceeded>,
}

/// The news of a task.
pub struct TaskStream<'a> {
    proxy: &'a Proxy,
    stream: Streaming<RunTaskResponse>,
}

impl TaskStream<'_> {
    /// The next news. A stream that ends before the task does is a lost connection.
    pub async fn next(&mut self) -> Result<TaskNews, ProxyError> {
        loop {
            let message = match self.stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => {
                    self.proxy.lost();
                    return Err(ProxyError::Unreachable {
                        address: self.proxy.address().to_owned(),
                        message: "it hung up".into(),
                    });
                }
                Err(status) => return Err(self.proxy.failed(status)),
            };
            match message.news {
                Some(News::Progress(p)) => return Ok(TaskNews::Progress(progress(&p))),
                Some(News::Outcome(o)) => {
                    return Ok(TaskNews::Ended(Outcome {
                        progress: o.progress.as_ref().map(progress).unwrap_or_default(),
                        receipt: o.receipt.map(|r| Receipt {
                            digest: r.digest,
                            may_have_changed: r.disturbed,
                        }),
                        failure: o.failure.map(|f| Failure {
                            reason: Reason::parse(&f.reason).unwrap_or(Reason::IoError),
                            message: f.message,
                            retryable: f.retryable,
                            exceeded: f.exceeded.map(|of| Exceeded {
                                subject: of.subject,
                                unit: of.unit.into(),
                                limit: of.limit,
                                used: of.used,
                                asked: of.asked,
                            }),
                        }),
                    }));
                }
                None => {}
            }
        }
    }
}

impl Proxy {
    /// A fault point beside a call.
    fn fault(&self, call: &str, side: Side) -> Result<(), ProxyError> {
        beside(call, side).map_err(|error| ProxyError::Unreachable {
            address: self.address().to_owned(),
            message: error.to_string(),
        })
    }

    /// Starts an operation's task, or attaches to it.
    pub async fn run_task(
        &self,
        operation: &Operation,
        quotas: &TaskQuotas,
    ) -> Result<TaskStream<'_>, ProxyError> {
        let request = RunTaskRequest {
            operation_id: operation.id.to_string(),
            volume: operation.volume.clone(),
            epoch: operation.epoch,
            task: Some(task(operation)),
            quota: quotas.vfolder.as_ref().map(quota_to_wire),
            source_quota: quotas.source.as_ref().map(quota_to_wire),
            source_written: quotas.source_written,
        };
        self.fault("call.run_task", Side::Before)?;
        let stream = self
            .client()
            .await?
            .run_task(self.request(request, None)?)
            .await
            .map_err(|s| self.failed(s))?
            .into_inner();
        self.fault("call.run_task", Side::After)?;
        Ok(TaskStream {
            proxy: self,
            stream,
        })
    }

    /// Stops an operation's task. True: its result was published before.
    pub async fn cancel_task(&self, operation: &Operation) -> Result<bool, ProxyError> {
        let request = CancelTaskRequest {
            operation_id: operation.id.to_string(),
            volume: operation.volume.clone(),
            vfolder_id: operation.vfolder_id.to_string(),
            epoch: operation.epoch,
            only_reads: operation.kind.backs().is_none(),
            in_place: operation.kind.is_in_place(),
        };
        self.fault("call.cancel_task", Side::Before)?;
        // Without a timeout of ours: it answers when what was staged is out of sight.
        let answer = self
            .client()
            .await?
            .cancel_task(self.request(request, None)?)
            .await
            .map_err(|s| self.failed(s))?;
        self.fault("call.cancel_task", Side::After)?;
        Ok(answer.into_inner().published)
    }

    /// Removes what an operation that has ended has left on its volume.
    pub async fn forget_task(&self, operation: Id, volume: &str) -> Result<(), ProxyError> {
        let request = ForgetTaskRequest {
            operation_id: operation.to_string(),
            volume: volume.to_owned(),
        };
        self.fault("call.forget_task", Side::Before)?;
        self.client()
            .await?
            .forget_task(self.request(request, Some(CALL_TIMEOUT))?)
            .await
            .map_err(|s| self.failed(s))?;
        self.fault("call.forget_task", Side::After)
    }

    /// Takes a tree away from whoever holds it by an older epoch.
    pub async fn fence(&self, fence: &Fence<'_>) -> Result<(), ProxyError> {
        let request = FenceTreeRequest {
            volume: fence.volume.to_owned(),
            vfolder_id: fence.vfolder.to_string(),
            epoch: fence.epoch,
            readers: fence.readers,
        };
        self.fault("call.fence_tree", Side::Before)?;
        self.client()
            .await?
            .fence_tree(self.request(request, Some(FENCE_TIMEOUT))?)
            .await
            .map_err(|s| self.failed(s))?;
        self.fault("call.fence_tree", Side::After)
    }

    /// Says how much may be in trees.
    pub async fn set_quotas(&self, volume: &str, told: &[QuotaOf]) -> Result<(), ProxyError> {
        let request = SetQuotasRequest {
            volume: volume.to_owned(),
            vfolders: told
                .iter()
                .map(|told| VFolderQuota {
                    vfolder_id: told.vfolder.to_string(),
                    quota: Some(quota_to_wire(&told.quota)),
                })
                .collect(),
        };
        self.client()
            .await?
            .set_quotas(self.request(request, Some(CALL_TIMEOUT))?)
            .await
            .map_err(|s| self.failed(s))
            .map(|_| ())
    }

    /// What an owner's vfolders on a volume hold.
    pub async fn owner_usage(
        &self,
        volume: &str,
        owner: &str,
    ) -> Result<GetOwnerUsageResponse, ProxyError> {
        let request = GetOwnerUsageRequest {
            volume: volume.to_owned(),
            owner: owner.to_owned(),
        };
        let answer = self
            .client()
            .await?
            .get_owner_usage(self.request(request, Some(CALL_TIMEOUT))?)
            .await
            .map_err(|s| self.failed(s))?;
        Ok(answer.into_inner())
    }

    /// Reads a volume's state.
    pub async fn volume(&self, volume: &str) -> Result<StorageVolume, ProxyError> {
        let answer = self.get_volume(volume).await?;
        Ok(answer.volume.unwrap_or_default())
    }

    /// Where the volume's files are served to bearers of grants. Empty: only by way of us. Asked each time: the
    /// storage-proxy may have been started anew, elsewhere.
    pub async fn direct_url(&self, volume: &str) -> Result<String, ProxyError> {
        Ok(self.get_volume(volume).await?.direct_url)
    }

    async fn get_volume(&self, volume: &str) -> Result<GetVolumeResponse, ProxyError> {
        let request = GetVolumeRequest {
            volume: volume.to_owned(),
        };
        let answer = self
            .client()
            .await?
            .get_volume(self.request(request, Some(CALL_TIMEOUT))?)
            .await
            .map_err(|s| self.failed(s))?;
        Ok(answer.into_inner())
    }

    /// Counts a tree.
    pub async fn usage(
        &self,
        volume: &str,
        vfolder: Id,
    ) -> Result<GetTreeUsageResponse, ProxyError> {
        let request = GetTreeUsageRequest {
            volume: volume.to_owned(),
            vfolder_id: vfolder.to_string(),
        };
        let answer = self
            .client()
            .await?
            .get_tree_usage(self.request(request, None)?)
            .await
            .map_err(|s| self.failed(s))?;
        Ok(answer.into_inner())
    }

    /// Whether a vfolder has a tree.
    pub async fn has_tree(&self, volume: &str, vfolder: Id) -> Result<bool, ProxyError> {
        let request = StatTreeRequest {
            volume: volume.to_owned(),
            vfolder_id: vfolder.to_string(),
        };
        let answer = self
            .client()
            .await?
            .stat_tree(self.request(request, Some(CALL_TIMEOUT))?)
            .await
            .map_err(|s| self.failed(s))?;
        Ok(answer.into_inner().exists)
    }

    /// Streams what is on a volume.
    pub async fn contents(
        &self,
        volume: &str,
    ) -> Result<
        impl Stream<Item = Result<ListVolumeContentsResponse, ProxyError>> + use<'_>,
        ProxyError,
    > {
        let request = ListVolumeContentsRequest {
            volume: volume.to_owned(),
        };
        let stream = self
            .client()
            .await?
            .list_volume_contents(self.request(request, None)?)
            .await
            .map_err(|s| self.failed(s))?
            .into_inner();
        Ok(stream.map(|item| item.map_err(|s| self.failed(s))))
    }
}
