//! Creation: POST.

use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use vfolder_common::{
    error::Refusal,
    token::{Grant, GrantMode},
};

use super::{
    headers::{
        UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET, has_bytes, number,
        of_number,
    },
    metadata,
    receive::{Body, receive, settle},
    upload::expiry,
};
use crate::{
    file::{NewUpload, granted, in_scope},
    http::{address, answer::Refused, routes::Http},
};

const FILE_MODE: u32 = 0o644;
const MOST_METADATA: usize = 8 << 10;

/// Begins an upload, with its first bytes if they come along, or all.
pub async fn create(http: &Http, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let (uri, headers) = (&parts.uri, &parts.headers);
    let vfolder = address::vfolder(uri);
    let grant = granted(parts.extensions.get(), vfolder, GrantMode::ReadWrite)?;
    let new = new_upload(&grant, headers)?;
    in_scope(&grant, &new.path)?;
    let bytes = has_bytes(headers)
        .then(|| Body::read(headers, body))
        .transpose()?;
    let made = http.files.create_upload(&grant, new).await?;
    let id = made.id;
    let location = format!("/v1/vfolders/{vfolder}/uploads/{id}");
    let with_bytes = bytes.is_some();
    let state = match bytes {
        Some(bytes) => receive(http, &grant, made, Some(0), bytes).await?,
        None => settle(http, &grant, made).await?,
    };
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(header::LOCATION, location);
    }
    expiry(headers, &state);
    if with_bytes {
        headers.insert(UPLOAD_OFFSET, of_number(state.offset));
    }
    Ok(response)
}

fn new_upload(grant: &Grant, headers: &HeaderMap) -> Result<NewUpload, Refusal> {
    let size = number(headers, &UPLOAD_LENGTH)?;
    match (size, headers.get(UPLOAD_DEFER_LENGTH)) {
        (Some(_), None) => {}
        (None, Some(value)) if value == "1" => {}
        _ => {
            return Err(Refusal::field(
                "Upload-Length",
                "either it must be there, or Upload-Defer-Length must be 1",
            ));
        }
    }
    let note = headers.get(UPLOAD_METADATA).map(HeaderValue::as_bytes);
    let note = note.unwrap_or_default();
    if note.len() > MOST_METADATA {
        let text = format!("must be at most {MOST_METADATA} bytes");
        return Err(Refusal::field("Upload-Metadata", text));
    }
    let metadata = metadata::read(note)?;
    Ok(NewUpload {
        path: metadata.path(grant)?,
        replace: metadata.replace,
        // There is no other way to make directories here.
        parents: true,
        mode: FILE_MODE,
        modified: None,
        size,
        // It has been read as ASCII.
        note: String::from_utf8_lossy(note).into_owned(),
    })
}
