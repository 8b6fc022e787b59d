//! An upload: HEAD, PATCH and DELETE.

use axum::{body::Body as HttpBody, extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use uuid::Uuid;
use vfolder_common::{
    error::{Reason, Refusal},
    token::{Grant, GrantMode},
};

use super::{
    headers::{
        OFFSET_STREAM, UPLOAD_DEFER_LENGTH, UPLOAD_EXPIRES, UPLOAD_LENGTH, UPLOAD_METADATA,
        UPLOAD_OFFSET, has_bytes, number, of_number, of_time,
    },
    receive::{Body, receive, settle},
};
use crate::{
    file::{Start, UploadState, granted, in_scope},
    http::{address, answer::Refused, routes::Http},
};

/// How far it is. One that is whole is in the tree, or it is said why not.
pub async fn head(http: &Http, request: Request) -> Result<Response, Refused> {
    let (grant, id) = named(&request)?;
    let state = found(http, &grant, id).await?;
    let state = settle(http, &grant, state).await?;
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(UPLOAD_OFFSET, of_number(state.offset));
    match state.size {
        Some(size) => headers.insert(UPLOAD_LENGTH, of_number(size)),
        None => headers.insert(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1")),
    };
    if !state.note.is_empty()
        && let Ok(metadata) = HeaderValue::from_str(&state.note)
    {
        headers.insert(UPLOAD_METADATA, metadata);
    }
    expiry(headers, &state);
    Ok(response)
}

/// More of it.
pub async fn patch(http: &Http, request: Request) -> Result<Response, Refused> {
    let (grant, id) = named(&request)?;
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    if !has_bytes(headers) {
        let text = format!("must be {OFFSET_STREAM}");
        let refused = Refused::from(Refusal::field("Content-Type", text));
        return Err(refused.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let offset = number(headers, &UPLOAD_OFFSET)?
        .ok_or_else(|| Refusal::field("Upload-Offset", "is required"))?;
    let size = number(headers, &UPLOAD_LENGTH)?;
    let bytes = Body::read(headers, body)?;
    let mut state = found(http, &grant, id).await?;
    if let Some(size) = size
        && state.size != Some(size)
    {
        state = http.files.set_upload_size(&grant, id, size).await?;
    }
    let state = receive(http, &grant, state, Start::Resumed(offset), bytes).await?;
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(UPLOAD_OFFSET, of_number(state.offset));
    expiry(headers, &state);
    Ok(response)
}

/// Gives it up.
pub async fn delete(http: &Http, request: Request) -> Result<Response, Refused> {
    let (grant, id) = named(&request)?;
    found(http, &grant, id).await?;
    http.files.abort_upload(&grant, id).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Which upload, and the grant for it. Ids are no secrets: the grant is what admits.
fn named(request: &Request) -> Result<(Grant, Uuid), Refusal> {
    let uri = request.uri();
    let grant = request.extensions().get();
    let grant = granted(grant, address::vfolder(uri), GrantMode::ReadWrite)?;
    let id = Uuid::parse_str(address::rest(uri))
        .map_err(|_| Refusal::field("upload", "must be a UUID, as Location had it"))?;
    Ok((grant, id))
}

async fn found(http: &Http, grant: &Grant, id: Uuid) -> Result<UploadState, Refusal> {
    let state = http.files.upload(grant, id).await?;
    in_scope(grant, &state.path)?;
    if !state.completes {
        let text = format!(
            "the upload {id} was begun over gRPC: go on with it there, where CommitUpload checks it"
        );
        return Err(Refusal::new(Reason::UploadNotFound, text));
    }
    Ok(state)
}

/// Says when it goes, unless it is done.
pub fn expiry(headers: &mut HeaderMap, state: &UploadState) {
    // Milliseconds here, and seconds there.
    let seconds = i64::try_from(state.expires / 1_000).unwrap_or(i64::MAX);
    if !state.committed
        && let Some(time) = of_time(seconds)
    {
        headers.insert(UPLOAD_EXPIRES, time);
    }
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(HttpBody::empty());
    *response.status_mut() = status;
    response
}
