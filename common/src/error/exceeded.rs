//! More than may be.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Reason, Refusal};

/// A limit that somebody would exceed. It travels with refusals, and with the outcomes of tasks and operations.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error(
    "{subject} may hold {limit} {unit} on this volume: {used} are used or set aside, and {asked} more are asked for; \
     remove some, or have the limit raised"
)]
pub struct Exceeded {
    /// Whose limit: `vfolder:<id>`, `user:<id>` or `project:<id>`.
    pub subject: String,
    /// Of what: "bytes" or "files".
    pub unit: Cow<'static, str>,
    /// So many at most.
    pub limit: u64,
    /// So many are there, or set aside for what is under way.
    pub used: u64,
    /// So many more were asked for.
    pub asked: u64,
}

impl Exceeded {
    /// What a refusal says of it, if it says all.
    #[must_use]
    pub fn of(refusal: &Refusal) -> Option<Self> {
        let number = |key| refusal.metadata(key)?.parse().ok();
        Some(Self {
            subject: refusal.metadata("subject")?.to_owned(),
            unit: refusal.metadata("unit")?.to_owned().into(),
            limit: number("limit")?,
            used: number("used")?,
            asked: number("asked")?,
        })
    }

    /// Adds it to a refusal, for programs.
    #[must_use]
    pub fn explain(self, refusal: Refusal) -> Refusal {
        let Self {
            subject,
            unit,
            limit,
            used,
            asked,
        } = self;
        let description = format!("limit {limit} {unit}, used {used}, asked {asked}");
        refusal
            .with_metadata("subject", &*subject)
            .with_metadata("unit", unit)
            .with_metadata("limit", limit.to_string())
            .with_metadata("used", used.to_string())
            .with_metadata("asked", asked.to_string())
            .with_quota(subject, description)
    }
}

impl From<Exceeded> for Refusal {
    fn from(exceeded: Exceeded) -> Self {
        let refusal = Self::new(Reason::QuotaExceeded, exceeded.to_string());
        exceeded.explain(refusal)
    }
}
