//! MountService.

use std::time::Duration;

use tonic::{Request, Response, Status};
use vfolder_common::error::Fields;
use vfolder_proto::v1::{
    ListMountsRequest, ListMountsResponse, Mount, MountMode, MountRequest, RenewMountRequest,
    UnmountRequest, UnmountResponse, mount_service_server::MountService,
};

use super::{convert, fields, page};
use crate::{context::Context, gate::admitted::admitted, mount, store::Mode};

const MIN_TTL: Duration = Duration::from_secs(1);
const MAX_TTL: Duration = Duration::from_secs(86_400);
const MAX_SESSION: usize = 128;

/// The service.
#[derive(Clone)]
pub struct Mounts {
    /// What it works with.
    pub ctx: Context,
}

#[tonic::async_trait]
impl MountService for Mounts {
    async fn mount(&self, request: Request<MountRequest>) -> Result<Response<Mount>, Status> {
        let gate = admitted(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        wrong.check("session", check_session(&asked.session));
        let mode = match MountMode::try_from(asked.mode) {
            Ok(MountMode::Unspecified | MountMode::ReadOnly) => Mode::ReadOnly,
            Ok(MountMode::ReadWrite) => Mode::ReadWrite,
            Err(_) => {
                wrong.wrong("mode", format!("{} is no mode", asked.mode));
                Mode::ReadOnly
            }
        };
        let ttl = self.ttl(asked.ttl, &mut wrong);
        wrong.finish()?;
        let id = gate.vfolder.id;
        let (taken, vfolder) =
            mount::take::take(&self.ctx, &gate.warrant, id, &asked.session, mode, ttl).await?;
        Ok(Response::new(convert::mount(&taken, &vfolder.volume)))
    }

    async fn renew_mount(
        &self,
        request: Request<RenewMountRequest>,
    ) -> Result<Response<Mount>, Status> {
        let gate = admitted(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let mount_id = fields::id("mount_id", &asked.mount_id, &mut wrong);
        let ttl = self.ttl(asked.ttl, &mut wrong);
        wrong.finish()?;
        let (id, mount_id) = (gate.vfolder.id, mount_id.unwrap_or_default());
        let (renewed, vfolder) =
            mount::renew::renew(&self.ctx, &gate.warrant, id, mount_id, ttl).await?;
        Ok(Response::new(convert::mount(&renewed, &vfolder.volume)))
    }

    async fn unmount(
        &self,
        request: Request<UnmountRequest>,
    ) -> Result<Response<UnmountResponse>, Status> {
        let gate = match crate::gate::admitted::absent(&request) {
            Some(_) => return Ok(Response::new(UnmountResponse {})),
            None => admitted(&request)?,
        };
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let mount_id = fields::id("mount_id", &asked.mount_id, &mut wrong);
        wrong.finish()?;
        let (id, mount_id) = (gate.vfolder.id, mount_id.unwrap_or_default());
        mount::release::release(&self.ctx, &gate.warrant, id, mount_id, asked.allow_missing)
            .await?;
        Ok(Response::new(UnmountResponse {}))
    }

    async fn list_mounts(
        &self,
        request: Request<ListMountsRequest>,
    ) -> Result<Response<ListMountsResponse>, Status> {
        let vfolder = admitted(&request)?.vfolder;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let bound = vfolder.id.to_string();
        let page = page::parse(asked.page_size, &asked.page_token, &bound, &mut wrong);
        let after = fields::optional_id("page_token", &page.after, &mut wrong);
        wrong.finish()?;
        let (mounts, more) = mount::list::list(&self.ctx, vfolder.id, after, page.size).await?;
        let next_page_token = match mounts.last() {
            Some(last) if more => page::token(&last.id.to_string(), &bound),
            _ => String::new(),
        };
        Ok(Response::new(ListMountsResponse {
            mounts: mounts
                .iter()
                .map(|m| convert::mount(m, &vfolder.volume))
                .collect(),
            next_page_token,
        }))
    }
}

impl Mounts {
    fn ttl(&self, wire: Option<prost_types::Duration>, wrong: &mut Fields) -> Duration {
        fields::duration("ttl", wire, MIN_TTL, MAX_TTL, wrong)
            .unwrap_or(self.ctx.settings.mounts.default_ttl)
    }
}

fn check_session(session: &str) -> Result<(), String> {
    if session.is_empty() {
        Err("is required".into())
    } else if session.chars().count() > MAX_SESSION || session.chars().any(char::is_control) {
        Err(format!("must have 1 to {MAX_SESSION} printable characters"))
    } else {
        Ok(())
    }
}
