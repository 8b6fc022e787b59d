//! Forwarding: the untouched stream goes to the storage-proxy of the vfolder's volume, with a grant.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Frame;
use tonic::{Status, body::Body};
use tower::{Service as _, ServiceExt as _};
use vfolder_common::{
    body::Unbroken,
    error::{Reason, Refusal},
    token::{GRANT_HEADER, Grant, GrantMode, SERVICE_HEADER},
};

use super::Admitted;
use crate::{model::Access, storage::Volumes};

/// How long a grant is good for: the time until the storage-proxy sees it, not the length of the transfer.
const GRANT_LIFE: Duration = Duration::from_secs(60);

/// Sends an admitted request on and its response back.
pub async fn forward(
    volumes: &Volumes,
    admitted: &Admitted,
    request: Request<Body>,
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
    let volume = volume.to_owned();
    Ok(response.map(|body| {
        let body = Some(Unbroken::http2(body));
        Body::new(Relay { body, volume })
    }))
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

/// A response body that ends with a status where the connection to the storage-proxy breaks, instead of breaking the
/// connection to the client.
struct Relay {
    body: Option<Unbroken<Body>>,
    volume: String,
}

impl http_body::Body for Relay {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        Pin::new(body).poll_frame(cx).map(|frame| match frame {
            Some(Err(error)) => {
                tracing::debug!(%error, volume = this.volume, "response broke off");
                this.body = None;
                let refusal = crate::storage::unavailable(
                    &this.volume,
                    "the connection to its storage-proxy broke",
                );
                let mut trailers = http::HeaderMap::new();
                match Status::from(refusal).add_header(&mut trailers) {
                    Ok(()) => Some(Ok(Frame::trailers(trailers))),
                    Err(status) => Some(Err(status)),
                }
            }
            other => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }
}
