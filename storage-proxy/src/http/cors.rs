//! Whose scripts a browser lets call (the Fetch standard's CORS).

use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use super::{answer::REASON, tus::EXPOSED};

/// What a script may see besides what it always may.
const OF_ALL: [HeaderName; 8] = [
    header::ACCEPT_RANGES,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ETAG,
    header::RETRY_AFTER,
    REASON,
    header::WWW_AUTHENTICATE,
];

/// For these origins; none where there are none. No cookies are involved: a grant is what admits.
pub fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::from(Any)
    } else {
        let origins = origins.iter();
        AllowOrigin::list(origins.filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let exposed = EXPOSED.map(HeaderName::from_static);
    let exposed: Vec<_> = OF_ALL.into_iter().chain(exposed).collect();
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers(allowed_headers())
            .expose_headers(exposed),
    )
}

/// What tus clients and downloads send. ("*" would not stand for Authorization.)
fn allowed_headers() -> Vec<HeaderName> {
    let of_tus = [
        "tus-resumable",
        "upload-checksum",
        "upload-defer-length",
        "upload-length",
        "upload-metadata",
        "upload-offset",
        "x-http-method-override",
        "x-request-id",
        "x-requested-with",
    ];
    let common = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_RANGE,
        header::RANGE,
    ];
    common
        .into_iter()
        .chain(of_tus.map(HeaderName::from_static))
        .collect()
}
