//! The tus resumable upload protocol 1.0 (<https://tus.io/protocols/resumable-upload>): core, and the extensions creation,
//! creation-with-upload, creation-defer-length, checksum, expiration and termination.
//!
//! An upload appears in the tree by itself once its last byte has arrived. If it can't, because something of that name is
//! there by then, say, whoever sent the last byte is told, and so is whoever asks how far it is: a tus client would take
//! a full offset for success.

mod checksum;
mod create;
mod headers;
mod metadata;
mod receive;
mod upload;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use vfolder_common::error::{Reason, Refusal};

use self::headers::{TUS_RESUMABLE, TUS_VERSION, VERSION};
use super::{answer::Refused, routes::Http};

pub use headers::EXPOSED;

/// `/v1/vfolders/<id>/uploads`.
pub async fn uploads(State(http): State<Http>, request: Request) -> Result<Response, Refused> {
    match *request.method() {
        Method::OPTIONS => Ok(StatusCode::NO_CONTENT.into_response()),
        Method::POST => {
            check_version(&request)?;
            create::create(&http, request).await
        }
        _ => Err(wrong_method("OPTIONS, POST")),
    }
}

/// `/v1/vfolders/<id>/uploads/<upload>`.
pub async fn upload(State(http): State<Http>, request: Request) -> Result<Response, Refused> {
    let method = headers::method(&request)?;
    if method == Method::OPTIONS {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    check_version(&request)?;
    match method {
        Method::HEAD => upload::head(&http, request).await,
        Method::PATCH => upload::patch(&http, request).await,
        Method::DELETE => upload::delete(&http, request).await,
        _ => Err(wrong_method("DELETE, HEAD, OPTIONS, PATCH")),
    }
}

/// Says on every answer which version is spoken, and to OPTIONS what else there is.
pub async fn announce(request: Request, next: Next) -> Response {
    let ours = request.uri().path().split('/').nth(4) == Some("uploads");
    let asked = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    if ours {
        let headers = response.headers_mut();
        headers.insert(TUS_RESUMABLE, HeaderValue::from_static(VERSION));
        if asked {
            for (name, value) in headers::ABILITIES {
                headers.insert(
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                );
            }
        }
    }
    response
}

fn check_version(request: &Request<Body>) -> Result<(), Refused> {
    let version = request.headers().get(TUS_RESUMABLE);
    if version.is_some_and(|version| version == VERSION) {
        return Ok(());
    }
    let text = format!("must be {VERSION}: this is tus, and no other version of it is spoken");
    Err(Refused::from(Refusal::field("Tus-Resumable", text))
        .with_status(StatusCode::PRECONDITION_FAILED)
        .with_header(TUS_VERSION, HeaderValue::from_static(VERSION)))
}

fn wrong_method(allowed: &'static str) -> Refused {
    let text = format!("that method is not served there; these are: {allowed}");
    Refused::from(Refusal::new(Reason::MethodUnknown, text))
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
        .with_header(header::ALLOW, HeaderValue::from_static(allowed))
}
