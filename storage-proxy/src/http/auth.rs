//! Whoever bears a grant may pass; it is left in the request's extensions.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderValue, Method};
use vfolder_common::{error::Refusal, token::Grant, token::SharedSecret};

use super::{address, answer::Refused};
use crate::file::{bearer, verified};

/// For links, which can't have headers.
const PARAMETER: &str = "grant";

/// The layer.
pub async fn admit(
    State(secret): State<Arc<SharedSecret>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    // What is asked for by OPTIONS is no secret, and tus clients ask without credentials.
    if request.method() != Method::OPTIONS {
        let grant = grant(&secret, &request)?;
        request.extensions_mut().insert(grant);
    }
    Ok(next.run(request).await)
}

fn grant(secret: &SharedSecret, request: &Request) -> Result<Grant, Refusal> {
    let by_url = address::parameters(request.uri(), PARAMETER)?;
    match &by_url[..] {
        [] => bearer(secret, |name| {
            request.headers().get(name).map(HeaderValue::as_bytes)
        }),
        [token] => verified(secret, token),
        _ => Err(Refusal::field(PARAMETER, "must come once")),
    }
}
