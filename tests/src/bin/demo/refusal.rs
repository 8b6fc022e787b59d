//! Showing a refusal with everything that it carries.

use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt as _};
use vfolder_tests::reason_of;

use crate::{Told, check, say};

/// Goes on only if it was refused with this code and reason.
pub(crate) fn refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    reason: &str,
) -> Told<()> {
    let status = match answer {
        Ok(answer) => {
            return Err(format!(
                "it was to be refused with {reason}, not {answer:?}"
            ));
        }
        Err(status) => status,
    };
    show(&status);
    let found = (status.code(), reason_of(&status));
    check(
        found == (code, reason.to_owned()),
        format!("it was to be refused with {code:?} {reason}, not {found:?}"),
    )
}

fn show(status: &Status) {
    say(format!(
        "refused: {:?}: {}",
        status.code(),
        status.message()
    ));
    for detail in status.get_error_details_vec() {
        match detail {
            ErrorDetail::ErrorInfo(info) => {
                say(format!(
                    "  ErrorInfo            {} of {}",
                    info.reason, info.domain
                ));
                for (key, value) in info.metadata {
                    say(format!("                       {key} = {value}"));
                }
            }
            ErrorDetail::RetryInfo(retry) => {
                let delay = retry.retry_delay.unwrap_or_default();
                say(format!("  RetryInfo            not before {delay:?}"));
            }
            ErrorDetail::PreconditionFailure(failure) => {
                for violation in failure.violations {
                    let (kind, subject) = (violation.r#type, violation.subject);
                    say(format!(
                        "  PreconditionFailure  {kind} {subject}: {}",
                        violation.description
                    ));
                }
            }
            ErrorDetail::ResourceInfo(resource) => {
                let (kind, name) = (resource.resource_type, resource.resource_name);
                say(format!(
                    "  ResourceInfo         {kind} {name}: {}",
                    resource.description
                ));
            }
            other => say(format!("  {other:?}")),
        }
    }
}
