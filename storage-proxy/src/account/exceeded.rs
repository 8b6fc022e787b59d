//! More than may be.

use thiserror::Error;
use uuid::Uuid;
use vfolder_common::error::{Reason, Refusal};

/// Why nothing is set aside.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotReserved {
    /// A limit is in the way.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// What is there is not known, and can't be found out.
    #[error(
        "what is in the vfolder {vfolder} can't be counted ({why}), so nothing can be added within its limits; have the \
         tree mended, remove what can't be read, or have the limits lifted"
    )]
    Uncountable {
        /// Whose tree.
        vfolder: Uuid,
        /// What the count has met.
        why: String,
    },
}

impl From<NotReserved> for Refusal {
    fn from(why: NotReserved) -> Self {
        let text = why.to_string();
        match why {
            NotReserved::Exceeded(exceeded) => exceeded.into(),
            NotReserved::Uncountable { .. } => Self::new(Reason::IoError, text),
        }
    }
}

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
