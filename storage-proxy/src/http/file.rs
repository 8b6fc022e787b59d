//! GET and HEAD of a file.

use std::{num::NonZeroUsize, time::SystemTime};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use vfolder_common::{
    error::{Reason, Refusal},
    token::GrantMode,
};

use super::{
    address,
    answer::Refused,
    condition::{self, Validators, Verdict, date},
    disposition,
    range::{self, Wanted},
    routes::Http,
};
use crate::file::{OpenFile, granted};

/// Bytes that hyper gets at once. Larger ones were no faster.
const CHUNK: NonZeroUsize = NonZeroUsize::MIN.saturating_add((256 << 10) - 1);

/// Answers with a file, a part of it, or why not.
pub async fn get(State(http): State<Http>, request: Request) -> Result<Response, Refused> {
    let (uri, headers) = (request.uri(), request.headers());
    let grant = request.extensions().get();
    let grant = granted(grant, address::vfolder(uri), GrantMode::ReadOnly)?;
    let path = address::path(uri)?;
    let file = http.files.open_file(&grant, &path).await?;
    let is = Validators {
        etag: format!("\"{}\"", file.etag),
        // Whoever writes a file may set its date, and no answer may have one of the future (§8.8.2.1).
        modified: date(file.entry.meta.modified).min(SystemTime::now().into()),
        size: file.size(),
    };
    match condition::verdict(headers, &is) {
        Verdict::Proceed => {}
        Verdict::NotModified => return Ok(described(StatusCode::NOT_MODIFIED, &is)),
        Verdict::Failed => return Err(failed(&is)),
    }
    // Only GET has ranges (RFC 9110 §14.2).
    let ranged = request.method() == Method::GET && condition::range_allowed(headers, &is);
    let asked = headers.get(header::RANGE).filter(|_| ranged);
    let (status, part) = match range::wanted(asked.map(HeaderValue::as_bytes), is.size) {
        Wanted::Whole => (StatusCode::OK, 0..is.size),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Unsatisfiable => return Err(unsatisfiable(&is)),
    };
    let mut response = described(status, &is);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, (part.end - part.start).into());
    headers.insert(
        header::CONTENT_DISPOSITION,
        disposition::attachment(file.entry.name.to_bytes()),
    );
    // What it is, nobody has told; and a guess would let whoever has uploaded it decide what a browser does with it.
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    if status == StatusCode::PARTIAL_CONTENT {
        let value = format!("bytes {}-{}/{}", part.start, part.end - 1, is.size);
        insert(headers, header::CONTENT_RANGE, &value);
    }
    if request.method() == Method::GET {
        *response.body_mut() = body(file, part.start, part.end);
    }
    Ok(response)
}

/// A file that changes while it is sent breaks the connection off: whoever counts knows that it is not whole.
fn body(file: OpenFile, begin: u64, end: u64) -> Body {
    if begin == end {
        return Body::empty();
    }
    Body::from_stream(file.stream(begin, end, CHUNK))
}

/// What 200, 206 and 304 have in common.
fn described(status: StatusCode, is: &Validators) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    insert(headers, header::ETAG, &is.etag);
    insert(headers, header::LAST_MODIFIED, &is.modified.to_string());
    insert(headers, header::ACCEPT_RANGES, "bytes");
    // For the caller's own cache, and only after asking.
    insert(headers, header::CACHE_CONTROL, "private, no-cache");
    response
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    // Made of hexadecimal digits, dates and numbers.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn failed(is: &Validators) -> Refused {
    let text = "the file is not what If-Match or If-Unmodified-Since says: fetch it anew";
    let refusal = Refusal::new(Reason::EtagMismatch, text).with_metadata("etag", &is.etag);
    Refused::from(refusal).with_status(StatusCode::PRECONDITION_FAILED)
}

fn unsatisfiable(is: &Validators) -> Refused {
    let text = format!(
        "the file has {} bytes, and the range begins after them",
        is.size
    );
    let refused = Refused::from(Refusal::field("Range", text));
    let refused = refused.with_status(StatusCode::RANGE_NOT_SATISFIABLE);
    match HeaderValue::try_from(format!("bytes */{}", is.size)) {
        Ok(value) => refused.with_header(header::CONTENT_RANGE, value),
        Err(_) => refused,
    }
}
