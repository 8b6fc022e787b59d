//! Which path and method leads where.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
    routing::{any, get},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tonic::Status;
use vfolder_common::{
    error::{Reason, Refusal},
    token::SharedSecret,
};

use super::{answer::Refused, archive, auth, cors, file, tus};
use crate::file::Files;

/// What every verb works with. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    pub(super) files: Files,
    pub(super) secret: Arc<SharedSecret>,
}

impl Http {
    /// Over these files, for bearers of grants that this secret has signed.
    #[must_use]
    pub fn new(files: Files, secret: Arc<SharedSecret>) -> Self {
        Self { files, secret }
    }
}

/// For every answer: whatever somebody has uploaded must never run as a page of this site, and no address leaves it, since
/// one may hold a grant.
const GUARDED: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; sandbox",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Plain HTTP beside `grpc`, on one port.
pub fn routes(http: Http, grpc: Router, cors_origins: &[String]) -> Router {
    let plain = Router::new()
        .route("/v1/vfolders/{id}/files", get(file::get))
        .route("/v1/vfolders/{id}/files/", get(file::get))
        .route("/v1/vfolders/{id}/files/{*path}", get(file::get))
        .route("/v1/vfolders/{id}/archive", get(archive::get))
        .route("/v1/vfolders/{id}/uploads", any(tus::uploads))
        .route("/v1/vfolders/{id}/uploads/", any(tus::uploads))
        .route("/v1/vfolders/{id}/uploads/{upload}", any(tus::upload))
        .method_not_allowed_fallback(wrong_method)
        .route_layer(from_fn_with_state(Arc::clone(&http.secret), auth::admit))
        .with_state(http);
    let plain = match cors::layer(cors_origins) {
        Some(layer) => plain.route_layer(layer),
        None => plain,
    };
    // Outside of CORS, which answers OPTIONS by itself.
    let plain = plain.route_layer(from_fn(tus::announce));
    grpc.merge(plain).fallback(unknown).layer(from_fn(guard))
}

/// What every answer has.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in GUARDED {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn unknown(request: Request) -> Result<Response, Refused> {
    let refusal = Refusal::new(
        Reason::MethodUnknown,
        "nothing is served there; there are /v1/vfolders/<id>/files/<path>, …/archive and …/uploads",
    );
    if is_grpc(&request) {
        return Ok(Status::from(refusal).into_http());
    }
    Err(Refused::from(refusal).with_status(StatusCode::NOT_FOUND))
}

async fn wrong_method() -> Refused {
    let refusal = Refusal::new(
        Reason::MethodUnknown,
        "that method is not served there; Allow names those that are",
    );
    Refused::from(refusal).with_status(StatusCode::METHOD_NOT_ALLOWED)
}

fn is_grpc(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
