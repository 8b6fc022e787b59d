//! VolumeService.

use futures_util::future::try_join_all;
use tonic::{Request, Response, Status};
use vfolder_common::error::{Fields, Reason, Refusal};
use vfolder_proto::{
    storage::{StorageVolume, StorageVolumeState},
    v1::{
        GetVolumeRequest, ListVolumesRequest, ListVolumesResponse, PauseVolumeRequest,
        ResumeVolumeRequest, Volume, VolumeState, volume_service_server::VolumeService,
    },
};

use super::{convert, page};
use crate::{
    context::Context, gate::admitted::caller, operation::pause, vfolder::fields as checks,
};

/// The service.
#[derive(Clone)]
pub struct VolumesService {
    /// What it works with.
    pub ctx: Context,
}

#[tonic::async_trait]
impl VolumeService for VolumesService {
    async fn list_volumes(
        &self,
        request: Request<ListVolumesRequest>,
    ) -> Result<Response<ListVolumesResponse>, Status> {
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let page = page::parse(asked.page_size, &asked.page_token, "volumes", &mut wrong);
        wrong.finish()?;
        let size = usize::try_from(page.size).unwrap_or_default();
        let mut names: Vec<&str> = self
            .ctx
            .volumes
            .names()
            .filter(|name| *name > page.after.as_str())
            .take(size + 1)
            .collect();
        let more = names.len() > size;
        names.truncate(size);
        let next_page_token = match names.last() {
            Some(last) if more => page::token(last, "volumes"),
            _ => String::new(),
        };
        Ok(Response::new(ListVolumesResponse {
            volumes: try_join_all(names.into_iter().map(|name| self.look(name))).await?,
            next_page_token,
        }))
    }

    async fn get_volume(
        &self,
        request: Request<GetVolumeRequest>,
    ) -> Result<Response<Volume>, Status> {
        let name = request.into_inner().volume;
        self.known(&name)?;
        Ok(Response::new(self.look(&name).await?))
    }

    async fn pause_volume(
        &self,
        request: Request<PauseVolumeRequest>,
    ) -> Result<Response<Volume>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        wrong.check("reason", checks::check_description(&asked.reason));
        wrong.finish()?;
        self.known(&asked.volume)?;
        pause::set_paused(&self.ctx, &caller, &asked.volume, true, &asked.reason).await?;
        Ok(Response::new(self.look(&asked.volume).await?))
    }

    async fn resume_volume(
        &self,
        request: Request<ResumeVolumeRequest>,
    ) -> Result<Response<Volume>, Status> {
        let caller = caller(&request)?;
        let name = request.into_inner().volume;
        self.known(&name)?;
        pause::set_paused(&self.ctx, &caller, &name, false, "").await?;
        Ok(Response::new(self.look(&name).await?))
    }
}

impl VolumesService {
    /// Whether a volume is configured.
    fn known(&self, name: &str) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::field("volume", "is required"));
        }
        if self.ctx.volumes.names().any(|known| known == name) {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::VolumeNotFound,
            format!("no volume is named \"{name}\"; ListVolumes shows those there are"),
        )
        .with_resource("vfolder.v1.Volume", name, "not found"))
    }

    /// A volume that can't be reached is an answer, not an error.
    async fn look(&self, name: &str) -> Result<Volume, Refusal> {
        let found = match self.ctx.volumes.owner(name) {
            Ok(proxy) => proxy.volume(name).await.map_err(|e| e.into_refusal(name)),
            Err(refusal) => Err(refusal),
        };
        let mut volume = match found {
            Ok(found) => describe(found),
            Err(refusal) => Volume {
                state: VolumeState::Unavailable.into(),
                message: refusal.text().to_owned(),
                ..Volume::default()
            },
        };
        name.clone_into(&mut volume.name);
        volume.default = self.ctx.volumes.is_default(name);
        let queue = pause::look(&self.ctx, name).await?;
        volume.running_operations = queue.running;
        volume.waiting_operations = queue.waiting;
        volume.paused = queue.row.paused;
        volume.pause_reason = queue.row.pause_reason;
        volume.pause_time = queue.row.pause_time.map(convert::time);
        Ok(volume)
    }
}

fn describe(found: StorageVolume) -> Volume {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let state = match found.state() {
        StorageVolumeState::Serving => VolumeState::Serving,
        StorageVolumeState::ReadOnly => VolumeState::ServingReadOnly,
        StorageVolumeState::Unavailable | StorageVolumeState::Unspecified => {
            VolumeState::Unavailable
        }
    };
    Volume {
        state: state.into(),
        message: found.message,
        volume_id: found.volume_id,
        filesystem: found.filesystem,
        total_bytes: signed(found.total_bytes),
        available_bytes: signed(found.available_bytes),
        total_inodes: signed(found.total_inodes),
        available_inodes: signed(found.available_inodes),
        reflink: found.reflink,
        snapshot: found.snapshot,
        reclaim_pending_trees: signed(found.reclaim_pending_trees),
        reclaim_pending_bytes: signed(found.reclaim_pending_bytes),
        ..Volume::default()
    }
}
