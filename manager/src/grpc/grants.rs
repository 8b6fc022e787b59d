//! GrantService.

use std::time::Duration;

use tonic::{Request, Response, Status};
use vfolder_common::{error::Fields, path::RelativePath, token::GrantMode};
use vfolder_proto::v1::{CreateGrantRequest, Grant, MountMode, grant_service_server::GrantService};

use super::fields;
use crate::{
    context::Context,
    gate::admitted::admitted,
    grant::{self, Asked},
};

const MIN_TTL: Duration = Duration::from_secs(1);

/// The service.
#[derive(Clone)]
pub struct Grants {
    /// What it works with.
    pub ctx: Context,
}

#[tonic::async_trait]
impl GrantService for Grants {
    async fn create_grant(
        &self,
        request: Request<CreateGrantRequest>,
    ) -> Result<Response<Grant>, Status> {
        let gate = admitted(&request)?;
        let asked = request.into_inner();
        let settings = &self.ctx.settings.grants;
        let mut wrong = Fields::default();
        let mode = match MountMode::try_from(asked.mode) {
            Ok(MountMode::Unspecified | MountMode::ReadOnly) => GrantMode::ReadOnly,
            Ok(MountMode::ReadWrite) => GrantMode::ReadWrite,
            Err(_) => {
                wrong.wrong("mode", format!("{} is no mode", asked.mode));
                GrantMode::ReadOnly
            }
        };
        let path = path(&asked, &mut wrong);
        let ttl = fields::duration("ttl", asked.ttl, MIN_TTL, settings.max_ttl, &mut wrong);
        wrong.finish()?;
        let asked = Asked {
            mode,
            path: path.unwrap_or_else(RelativePath::root),
            ttl: ttl.unwrap_or(settings.default_ttl.min(settings.max_ttl)),
        };
        let made = grant::create(&self.ctx, &gate.warrant, &gate.vfolder, asked).await?;
        let http_url = match made.direct_url.as_str() {
            "" => String::new(),
            url => format!("{url}/v1/vfolders/{}", gate.vfolder.id),
        };
        Ok(Response::new(Grant {
            token: made.token,
            expire_time: Some(prost_types::Timestamp {
                seconds: i64::try_from(made.end).unwrap_or(i64::MAX),
                nanos: 0,
            }),
            grpc_url: made.direct_url,
            http_url,
        }))
    }
}

/// The path that the grant is for. None: it is wrong.
fn path(asked: &CreateGrantRequest, wrong: &mut Fields) -> Option<RelativePath> {
    match (asked.path.as_str(), &asked.path_bytes[..]) {
        (text, b"") => wrong.check("path", RelativePath::parse(text.as_bytes())),
        ("", bytes) => wrong.check("path_bytes", RelativePath::parse(bytes)),
        _ => {
            wrong.wrong("path_bytes", "leave one of path and path_bytes empty");
            None
        }
    }
}
