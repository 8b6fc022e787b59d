//! tus's headers.

use axum::extract::Request;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use vfolder_common::error::Refusal;

use crate::http::condition::date;

/// The version that is spoken.
pub const VERSION: &str = "1.0.0";

/// The version of a message.
pub const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
/// The versions that there are.
pub const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
/// Where a body's bytes begin, or how far an upload is.
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// The size of the whole.
pub const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// "1": the size comes later.
pub const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
/// What a client says of an upload.
pub const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// A digest of a body.
pub const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
/// When an upload goes.
pub const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// What a PATCH has for a body.
pub const OFFSET_STREAM: &str = "application/offset+octet-stream";

/// What OPTIONS is told. The largest file is what a signed offset of 64 bits reaches.
pub const ABILITIES: [(&str, &str); 4] = [
    ("tus-version", VERSION),
    (
        "tus-extension",
        "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination",
    ),
    ("tus-max-size", "9223372036854775807"),
    ("tus-checksum-algorithm", "sha1,sha256"),
];

/// What a browser lets scripts see.
pub const EXPOSED: [&str; 11] = [
    "location",
    "tus-checksum-algorithm",
    "tus-extension",
    "tus-max-size",
    "tus-resumable",
    "tus-version",
    "upload-defer-length",
    "upload-expires",
    "upload-length",
    "upload-metadata",
    "upload-offset",
];

/// The method that is meant: environments that know only POST name it in a header.
///
/// # Errors
/// FIELD_INVALID.
pub fn method(request: &Request) -> Result<Method, Refusal> {
    match request.headers().get(METHOD_OVERRIDE) {
        Some(name) if request.method() == Method::POST => Method::from_bytes(name.as_bytes())
            .map_err(|_| Refusal::field("X-HTTP-Method-Override", "is no method")),
        _ => Ok(request.method().clone()),
    }
}

/// A size or offset: decimal digits, and no larger than a file can be. None: there is no such header.
///
/// # Errors
/// FIELD_INVALID.
pub fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let digits = value.to_str().ok();
    let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse::<i64>().ok());
    match number.map(u64::try_from) {
        Some(Ok(number)) => Ok(Some(number)),
        _ => Err(Refusal::field(
            name.as_str(),
            "must be a number of bytes, at most 9223372036854775807",
        )),
    }
}

/// Whether it is a number, but of more bytes than a file can have.
pub fn is_beyond(headers: &HeaderMap, name: &HeaderName) -> bool {
    let digits = headers.get(name).map(HeaderValue::as_bytes);
    digits.is_some_and(|digits| {
        !digits.is_empty()
            && digits.iter().all(u8::is_ascii_digit)
            && number(headers, name).is_err()
    })
}

/// Whether a body of an upload's bytes comes along.
pub fn has_bytes(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == OFFSET_STREAM)
}

/// A number, as a header's value.
pub fn of_number(number: u64) -> HeaderValue {
    HeaderValue::from(number)
}

/// A time, as HTTP's dates have it.
pub fn of_time(seconds: i64) -> Option<HeaderValue> {
    HeaderValue::try_from(date((seconds, 0)).to_string()).ok()
}
