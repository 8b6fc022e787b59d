//! Forwarding: the untouched stream goes to the storage-proxy of the vfolder's volume, with a grant.

use std::time::Duration;

use http::{HeaderValue, Request, Response, header};
use tonic::body::Body;
use tower::{Service as _, ServiceExt as _};
use vfolder_common::{
    error::{Reason, Refusal},
    token::{GRANT_HEADER, Grant, GrantMode, SERVICE_HEADER},
};

use super::{Admitted, message::Wrong, relay::Relay};
use crate::{model::Access, storage::Volumes};

/// How long a grant is good for: the time until the storage-proxy sees it, not the length of the transfer.
const GRANT_LIFE: Duration = Duration::from_secs(60);

/// Sends an admitted request on and its response back.
pub async fn forward(
    volumes: &Volumes,
    admitted: &Admitted,
    request: Request<Body>,
    wrong: Wrong,
) -> Result<Response<Body>, Refusal> {
    let vfolder = &admitted.vfolder;
    let volume = vfolder.volume.as_str();
    let proxy = volumes.owner(volume)?;
    let grant = Grant {
        vfolder: vfolder.id.0,
        volume: volume.to_owned(),
        mode: match admitted.warrant.access {
            Access::Writable => GrantMode::ReadWrite,
            _ => GrantMode::ReadOnly,
        },
        epoch: vfolder.epoch,
        subject: admitted.warrant.caller.user.clone(),
        path: Vec::new(),
        quota: admitted.quota.clone(),
    };
    let token = proxy
        .secret()
        .sign_grant(&grant, GRANT_LIFE)
        .map_err(|e| Refusal::internal(&e))?;
    let token = HeaderValue::try_from(token).map_err(|e| Refusal::internal(&e))?;

    let (mut parts, body) = request.into_parts();
    // The caller's credentials are for us.
    parts.headers.remove(header::AUTHORIZATION);
    // What the storage-proxy trusts comes from us alone.
    parts.headers.remove(SERVICE_HEADER);
    parts.headers.insert(GRANT_HEADER, token);
    parts.extensions = http::Extensions::new();
    let request = Request::from_parts(parts, body);

    let unreachable = |error: &dyn std::fmt::Display| {
        if let Some(refusal) = wrong.refusal() {
            return refusal;
        }
        proxy.lost();
        crate::storage::unavailable(
            volume,
            &format!("its storage-proxy does not answer: {error}"),
        )
    };
    let mut channel = proxy.channel().await.map_err(|e| e.into_refusal(volume))?;
    let channel = channel.ready().await.map_err(|e| unreachable(&e))?;
    let response = channel.call(request).await.map_err(|e| {
        if is_timeout(&e) {
            // The caller's own deadline, which the channel keeps for us: no fault of the storage-proxy.
            Refusal::new(Reason::DeadlineExceeded, "the request's deadline passed")
        } else {
            unreachable(&e)
        }
    })?;
    Ok(response.map(|body| Body::new(Relay::new(body, volume, wrong))))
}

fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(error) = source {
        if error.is::<tonic::TimeoutExpired>() {
            return true;
        }
        source = error.source();
    }
    false
}
