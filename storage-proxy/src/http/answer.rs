//! Refusals as HTTP: a status that fits, and JSON with the reason, the text and the details that gRPC has.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use vfolder_common::error::{Reason, Refusal};

/// The reason of a refusal, for those who get no body: answers to HEAD have none.
pub const REASON: HeaderName = HeaderName::from_static("vfolder-reason");

/// A refusal, and what HTTP has besides.
#[derive(Debug)]
pub struct Refused {
    refusal: Refusal,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: status(refusal.reason()),
            refusal,
            headers: Vec::new(),
        }
    }
}

impl Refused {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.refusal.reason()
    }

    /// With another status than its reason has.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = Status::from(self.refusal);
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.as_str());
        let body = json!({
            "reason": reason,
            "message": status.message(),
            "details": shown(&details),
        });
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        if let Some(Ok(reason)) = reason.map(HeaderValue::from_str) {
            headers.insert(REASON, reason);
        }
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        if let Some(delay) = delay {
            // Whole seconds, and not sooner.
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let missing = reason == Some(Reason::GrantMissing.as_str());
            let challenge = if missing {
                "Bearer realm=\"vfolder\""
            } else {
                "Bearer realm=\"vfolder\", error=\"invalid_token\""
            };
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        headers.extend(self.headers);
        response
    }
}

/// Exhaustive, so that a new code is thought of.
fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::UploadBusy => return StatusCode::LOCKED,
        Reason::TransferTimeout => return StatusCode::REQUEST_TIMEOUT,
        Reason::VolumeFull | Reason::QuotaExceeded => return StatusCode::INSUFFICIENT_STORAGE,
        _ => {}
    }
    match reason.code() {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal | Code::DataLoss | Code::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn shown(details: &ErrorDetails) -> Value {
    let mut shown = Map::new();
    if let Some(info) = details.error_info()
        && !info.metadata.is_empty()
    {
        shown.insert("metadata".into(), json!(info.metadata));
    }
    if let Some(bad) = details.bad_request() {
        let fields = bad.field_violations.iter();
        let fields = fields.map(|v| json!({"field": v.field, "description": v.description}));
        shown.insert("fields".into(), fields.collect());
    }
    if let Some(failure) = details.quota_failure() {
        let violations = failure.violations.iter();
        let violations =
            violations.map(|v| json!({"subject": v.subject, "description": v.description}));
        shown.insert("quotas".into(), violations.collect());
    }
    if let Some(resource) = details.resource_info() {
        let resource = json!({
            "type": resource.resource_type,
            "name": resource.resource_name,
            "description": resource.description,
        });
        shown.insert("resource".into(), resource);
    }
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        shown.insert("retry_after_seconds".into(), json!(delay.as_secs_f64()));
    }
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_reason_has_a_status_that_says_refused() {
        for reason in Reason::ALL {
            let status = Refused::from(Refusal::new(*reason, "text")).into_response();
            let status = status.status();
            assert!(status.is_client_error() || status.is_server_error());
            // A fault of ours, and nothing else, is a 500.
            let ours = matches!(reason.code(), Code::Internal | Code::DataLoss);
            assert_eq!(
                status == StatusCode::INTERNAL_SERVER_ERROR,
                ours,
                "{reason:?}"
            );
        }
    }

    #[test]
    fn when_to_come_back_is_told_in_whole_seconds() {
        let refusal = Refusal::new(Reason::VolumeUnavailable, "text");
        let refused = Refused::from(refusal.with_retry(Duration::from_millis(1_500)));
        let response = refused.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
