//! More than may be.

use thiserror::Error;
use vfolder_common::error::{Reason, Refusal};

/// A limit that somebody would exceed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{subject} may hold {limit} {unit} on this volume: {used} are used or set aside, and {asked} more are asked for; \
     remove some, or have the limit raised"
)]
pub struct Exceeded {
    /// Whose limit: `vfolder:<id>`, `user:<id>` or `project:<id>`.
    pub subject: String,
    /// Of what: "bytes" or "files".
    pub unit: &'static str,
    /// So many at most.
    pub limit: u64,
    /// So many are there, or set aside for what is under way.
    pub used: u64,
    /// So many more were asked for.
    pub asked: u64,
}

impl From<Exceeded> for Refusal {
    fn from(exceeded: Exceeded) -> Self {
        let text = exceeded.to_string();
        let Exceeded {
            subject,
            unit,
            limit,
            used,
            asked,
        } = exceeded;
        let description = format!("limit {limit} {unit}, used {used}, asked {asked}");
        Self::new(Reason::QuotaExceeded, text)
            .with_metadata("subject", &*subject)
            .with_metadata("unit", unit)
            .with_metadata("limit", limit.to_string())
            .with_metadata("used", used.to_string())
            .with_metadata("asked", asked.to_string())
            .with_quota(subject, description)
    }
}
