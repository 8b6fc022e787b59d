//! Looking at refusals.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use vfolder_common::error::DOMAIN;

/// The reason for programs.
///
/// # Panics
///
/// If there is none, or it is of another domain.
#[must_use]
pub fn reason_of(status: &Status) -> String {
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("a refusal without ErrorInfo: {status:?}"));
    assert_eq!(info.domain, DOMAIN, "{status:?}");
    info.reason
}

/// Asserts that it was refused with this code and reason; gives the refusal for a closer look.
///
/// # Panics
///
/// If it was not.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    reason: &str,
) -> Status {
    let status = match answer {
        Ok(answer) => panic!("expected {code:?} {reason}, was admitted: {answer:?}"),
        Err(status) => status,
    };
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (code, reason),
        "{}",
        status.message()
    );
    status
}

/// The fields that a refusal names.
#[must_use]
pub fn refused_fields(status: &Status) -> Vec<String> {
    let named = status.get_details_bad_request();
    let violations = named.map_or_else(Vec::new, |named| named.field_violations);
    violations.into_iter().map(|v| v.field).collect()
}

/// Asserts that it was refused for exactly these fields.
///
/// # Panics
///
/// If it was not.
#[track_caller]
pub fn assert_field_refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    fields: &[&str],
) -> Status {
    let status = assert_refused(answer, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refused_fields(&status), fields, "{}", status.message());
    status
}
