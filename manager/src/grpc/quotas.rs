//! QuotaService.

use tonic::{Request, Response, Status};
use vfolder_common::error::{Fields, Reason, Refusal};
use vfolder_proto::v1::{
    GetOwnerQuotaRequest, ListOwnerQuotasRequest, ListOwnerQuotasResponse, OwnerQuota, OwnerUsage,
    SetOwnerQuotaRequest, quota_service_server::QuotaService,
};

use super::{convert, fields, page};
use crate::{
    context::Context,
    gate::admitted::caller,
    model::{Caller, Owner},
    vfolder::{
        fields as checks,
        quota::{self, Shown},
    },
};

/// The service.
#[derive(Clone)]
pub struct Quotas {
    /// What it works with.
    pub ctx: Context,
}

#[tonic::async_trait]
impl QuotaService for Quotas {
    async fn set_owner_quota(
        &self,
        request: Request<SetOwnerQuotaRequest>,
    ) -> Result<Response<OwnerQuota>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let volume = wrong.check("volume", self.ctx.volumes.resolve(&asked.volume));
        let owner = fields::owner("owner", asked.owner.as_ref(), &caller, &mut wrong);
        if asked.owner.is_none() {
            wrong.wrong("owner", "is required");
        }
        wrong.check("max_bytes", checks::check_limit(asked.max_bytes));
        wrong.check("max_files", checks::check_limit(asked.max_files));
        let (volume, owner) = both(wrong, volume, owner)?;
        let (bytes, files) = (asked.max_bytes, asked.max_files);
        let set = quota::set(&self.ctx, &volume, &owner, bytes, files).await?;
        tracing::info!(
            by = caller.user,
            volume,
            owner = owner.key(),
            bytes,
            files,
            "owner's quota set"
        );
        Ok(Response::new(shown(&set)))
    }

    async fn get_owner_quota(
        &self,
        request: Request<GetOwnerQuotaRequest>,
    ) -> Result<Response<OwnerQuota>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let volume = wrong.check("volume", self.ctx.volumes.resolve(&asked.volume));
        let owner = match &asked.owner {
            // Whose it may be is not a matter of the field's form.
            Some(_) => fields::owner("owner", asked.owner.as_ref(), &Caller::system(), &mut wrong),
            None => Some(Owner::User(caller.user.clone())),
        };
        let (volume, owner) = both(wrong, volume, owner)?;
        if !caller.may_act_for(&owner) {
            return Err(Refusal::new(
                Reason::PermissionTooSmall,
                "what others may have is for administrators; you may ask for yourself and your projects",
            )
            .into());
        }
        Ok(Response::new(shown(
            &quota::get(&self.ctx, &volume, &owner).await?,
        )))
    }

    async fn list_owner_quotas(
        &self,
        request: Request<ListOwnerQuotasRequest>,
    ) -> Result<Response<ListOwnerQuotasResponse>, Status> {
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let volume = wrong.check("volume", self.ctx.volumes.resolve(&asked.volume));
        let bound = format!("quotas of {}", volume.as_deref().unwrap_or_default());
        let page = page::parse(asked.page_size, &asked.page_token, &bound, &mut wrong);
        let after = match page.after.split_once(':') {
            Some(("user", id)) => Some(Owner::User(id.to_owned())),
            Some(("project", id)) => Some(Owner::Project(id.to_owned())),
            _ => None,
        };
        wrong.finish()?;
        let volume = volume.unwrap_or_default();
        let (rows, more) = quota::list(&self.ctx, &volume, after.as_ref(), page.size).await?;
        let next_page_token = match rows.last() {
            Some(last) if more => page::token(&last.owner().key(), &bound),
            _ => String::new(),
        };
        Ok(Response::new(ListOwnerQuotasResponse {
            quotas: rows.iter().map(convert::owner_quota).collect(),
            next_page_token,
        }))
    }
}

fn both(
    wrong: Fields,
    volume: Option<String>,
    owner: Option<Owner>,
) -> Result<(String, Owner), Refusal> {
    wrong.finish()?;
    volume
        .zip(owner)
        .ok_or_else(|| Refusal::field("owner", "is not valid"))
}

fn shown(found: &Shown) -> OwnerQuota {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    OwnerQuota {
        usage: found.usage.as_ref().map(|used| OwnerUsage {
            bytes: signed(used.bytes),
            files: signed(used.files),
            reserved_bytes: signed(used.reserved_bytes),
            reserved_files: signed(used.reserved_files),
            uncounted_vfolders: signed(used.uncounted),
        }),
        ..convert::owner_quota(&found.row)
    }
}
