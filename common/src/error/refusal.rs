//! A refusal and its details.

use std::{collections::HashMap, fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt as _};
use uuid::Uuid;

use super::{
    Reason,
    room::{Room, TEXT, VALUE, encoded, shorten},
};

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "vfolder.v1";

/// The most wrong fields that are named.
const MAX_VIOLATIONS: usize = 16;

/// A value of the details.
fn value(text: impl Into<String>) -> String {
    shorten(&text.into(), VALUE, char::len_utf8).into_owned()
}

/// Why a request is not carried out.
#[derive(Clone, Debug)]
pub struct Refusal {
    reason: Reason,
    text: String,
    metadata: HashMap<String, String>,
    details: Box<ErrorDetails>,
    room: Room,
}

impl Refusal {
    /// `text` is for people and says what to do. As all that is added, it is cut to what a response's headers have room for.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: shorten(&text.into(), TEXT, encoded).into_owned(),
            metadata: HashMap::new(),
            details: Box::new(ErrorDetails::new()),
            room: Room::default(),
        }
    }

    /// One wrong field; for several, see [`Fields`].
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        let mut fields = Fields::default();
        fields.wrong(field, description);
        fields.into_refusal()
    }

    /// A fault of ours: logged here with everything, told to the client as a number only.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let incident = Uuid::new_v4().simple().to_string();
        tracing::error!(incident, error = %Chain(error), "internal error");
        Self::new(
            Reason::Internal,
            format!("internal error; the service's log has it under incident {incident}"),
        )
        .with_metadata("incident", incident)
    }

    /// Why, for programs.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Why, for people.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The gRPC code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.reason.code()
    }

    /// Adds to `ErrorInfo.metadata`.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), self::value(value));
        self
    }

    /// What `ErrorInfo.metadata` says so far.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Adds `RetryInfo`: not before `delay`.
    #[must_use]
    pub fn with_retry(mut self, delay: Duration) -> Self {
        self.details.set_retry_info(Some(delay));
        self
    }

    /// Adds a violation to `PreconditionFailure`.
    #[must_use]
    pub fn with_precondition(
        mut self,
        kind: &str,
        subject: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        let (subject, description) = (value(subject), value(description));
        if self.room.takes(&subject, &description) {
            self.details
                .add_precondition_failure_violation(kind, subject, description);
        }
        self
    }

    /// Adds `ResourceInfo`.
    #[must_use]
    pub fn with_resource(
        mut self,
        kind: &str,
        name: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        self.details
            .set_resource_info(kind, value(name), "", value(description));
        self
    }

    /// Adds a violation to `QuotaFailure`.
    #[must_use]
    pub fn with_quota(
        mut self,
        subject: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        let (subject, description) = (value(subject), value(description));
        if self.room.takes(&subject, &description) {
            self.details
                .add_quota_failure_violation(subject, description);
        }
        self
    }

    /// Adds a violation to `BadRequest`.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        let (field, description) = (value(field), value(description));
        if self.room.takes(&field, &description) {
            self.details.add_bad_request_violation(field, description);
        }
        self
    }

    /// What `PreconditionFailure` says so far.
    #[must_use]
    pub fn preconditions(&self) -> &[PreconditionViolation] {
        self.details
            .precondition_failure()
            .map_or(&[], |p| &p.violations)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.text)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut details = refusal.details;
        details.set_error_info(refusal.reason.as_str(), DOMAIN, refusal.metadata);
        Self::with_error_details(refusal.reason.code(), refusal.text, *details)
    }
}

/// Collects what is wrong with a request, so that the client learns all of it at once.
#[derive(Debug, Default)]
pub struct Fields {
    wrong: Vec<FieldViolation>,
    room: Room,
}

impl Fields {
    /// Notes a wrong field. What comes after many is dropped.
    pub fn wrong(&mut self, field: impl Into<String>, description: impl Into<String>) {
        let (field, description) = (value(field), value(description));
        if self.wrong.len() < MAX_VIOLATIONS && self.room.takes(&field, &description) {
            self.wrong.push(FieldViolation::new(field, description));
        }
    }

    /// Notes a wrong field if `result` is an error; keeps the value if it is not.
    pub fn check<T>(&mut self, field: &str, result: Result<T, impl fmt::Display>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(field, error.to_string());
                None
            }
        }
    }

    /// An error if anything was wrong.
    pub fn finish(self) -> Result<(), Refusal> {
        if self.wrong.is_empty() {
            Ok(())
        } else {
            Err(self.into_refusal())
        }
    }

    fn into_refusal(self) -> Refusal {
        let said = self.wrong.iter();
        let said = said.map(|v| format!("{}: {}", v.field, v.description));
        let text = said.collect::<Vec<_>>().join("; ");
        let mut refusal = Refusal::new(Reason::FieldInvalid, text);
        refusal.details.set_bad_request(self.wrong);
        refusal
    }
}

/// An error with its sources, for the log.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn every_refusal_carries_an_error_info_of_our_domain() {
        for reason in Reason::ALL {
            let status = Status::from(Refusal::new(*reason, "text").with_metadata("k", "v"));
            assert_eq!(status.code(), reason.code());
            let info = status.get_details_error_info().unwrap();
            assert_eq!(
                (info.reason.as_str(), info.domain.as_str()),
                (reason.as_str(), DOMAIN)
            );
            assert_eq!(info.metadata.get("k").map(String::as_str), Some("v"));
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
    }

    #[test]
    fn no_refusal_outgrows_the_headers_of_a_response() {
        // What is no text has three bytes for each of its own, and each of those takes three.
        for long in ["a", " ", "\u{fffd}"] {
            let long = long.repeat(4_095);
            for refusal in [fields_of(&long), details_of(&long)] {
                let response = Status::from(refusal).into_http::<()>();
                let headers = response.headers().iter();
                let sizes = headers.map(|(name, value)| name.as_str().len() + value.len() + 32);
                assert!(sizes.sum::<usize>() < 8 << 10);
            }
        }
    }

    fn fields_of(long: &str) -> Refusal {
        let mut fields = Fields::default();
        for _ in 0..20 {
            fields.wrong(long, long);
        }
        fields.finish().unwrap_err()
    }

    fn details_of(long: &str) -> Refusal {
        let refusal = Refusal::new(Reason::FileNotFound, long)
            .with_metadata("key", long)
            .with_resource("file", long, long);
        (0..20).fold(refusal, |refusal, _| {
            let refusal = refusal.with_precondition("KIND", long, long);
            refusal.with_quota(long, long).with_field(long, long)
        })
    }

    #[test]
    fn all_wrong_fields_are_named_at_once() {
        let mut fields = Fields::default();
        fields.wrong("a", "is wrong");
        fields.wrong("b.c", "is wrong too");
        let Err(refusal) = fields.finish() else {
            unreachable!("two fields were wrong")
        };
        let status = Status::from(refusal);
        let bad = status.get_details_bad_request().unwrap();
        let named: Vec<_> = bad
            .field_violations
            .iter()
            .map(|v| v.field.as_str())
            .collect();
        assert_eq!(named, ["a", "b.c"]);
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}
