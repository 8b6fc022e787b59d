//! Creation: POST.

use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::runtime::Handle;
use uuid::Uuid;
use vfolder_common::{
    error::{Reason, Refusal},
    token::{Grant, GrantMode},
};

use super::{
    headers::{
        UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET, has_bytes, is_beyond,
        number, of_number,
    },
    metadata,
    receive::{Body, receive_in, settle},
    upload::expiry,
};
use crate::{
    file::{Files, NewUpload, Start, granted, in_scope},
    http::{address, answer::Refused, routes::Http},
};

const FILE_MODE: u32 = 0o644;
const MOST_METADATA: usize = 8 << 10;

/// An upload whose address nobody has been told. Dropped, it is given up: it would hold its quota until it expires.
struct Untold {
    files: Files,
    grant: Grant,
    id: Uuid,
    told: bool,
}

impl Untold {
    fn new(http: &Http, grant: &Grant, id: Uuid) -> Self {
        Self {
            files: http.files.clone(),
            grant: grant.clone(),
            id,
            told: false,
        }
    }

    fn told(mut self) {
        self.told = true;
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.told {
            return;
        }
        let (files, grant, id) = (self.files.clone(), self.grant.clone(), self.id);
        runtime.spawn(async move {
            if let Err(refusal) = files.abort_upload(&grant, id).await {
                tracing::debug!(upload = %id, %refusal, "can't give up an upload that nobody knows of; it expires");
            }
        });
    }
}

/// Begins an upload, with its first bytes if they come along, or all. If those fail, nothing is left of it, or the refusal
/// has its address and how much has arrived.
pub async fn create(http: &Http, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let (uri, headers) = (&parts.uri, &parts.headers);
    let vfolder = address::vfolder(uri);
    let grant = granted(parts.extensions.get(), vfolder, GrantMode::ReadWrite)?;
    if is_beyond(headers, &UPLOAD_LENGTH) {
        let text = "must be at most 9223372036854775807, which is Tus-Max-Size";
        let refused = Refused::from(Refusal::field("Upload-Length", text));
        return Err(refused.with_status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let new = new_upload(&grant, headers)?;
    in_scope(&grant, &new.path)?;
    let bytes = has_bytes(headers)
        .then(|| Body::read(headers, body))
        .transpose()?;
    // Before anything is made: without a place for its bytes, nothing is.
    let transfer = bytes
        .as_ref()
        .map(|_| http.files.begin_transfer(grant.vfolder))
        .transpose()?;
    let made = http.files.create_upload(&grant, new).await?;
    let id = made.id;
    let untold = Untold::new(http, &grant, id);
    let location = HeaderValue::try_from(format!("/v1/vfolders/{vfolder}/uploads/{id}"));
    let location = location.map_err(|error| Refusal::internal(&error))?;
    let with_bytes = bytes.is_some();
    let received = match (bytes, transfer) {
        (Some(bytes), Some(transfer)) => {
            receive_in(transfer, http, &grant, made, Start::At(0), bytes).await
        }
        _ => settle(http, &grant, made).await,
    };
    let state = match received {
        Ok(state) => state,
        Err(refused) => {
            let now = http.files.upload(&grant, id).await?;
            // A client that broke off hears of nothing any more.
            if now.offset == 0 || refused.reason() == Reason::Cancelled {
                return Err(refused);
            }
            untold.told();
            return Err(refused
                .with_header(header::LOCATION, location)
                .with_header(UPLOAD_OFFSET, of_number(now.offset)));
        }
    };
    untold.told();
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
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
        completes: true,
    })
}
