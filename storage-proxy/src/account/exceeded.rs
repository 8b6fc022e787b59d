//! More than may be.

use thiserror::Error;
use uuid::Uuid;
use vfolder_common::{
    error::{Reason, Refusal},
    token::Limits,
};

use crate::backend::QuotaUse;

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

impl Exceeded {
    /// What the filesystem has refused, which says no more than that it did. Entries are lacking if none is left, else
    /// bytes. Nothing if neither is limited.
    pub(super) fn on_disk(vfolder: Uuid, limits: Limits, found: QuotaUse) -> Option<Self> {
        // The filesystem counts the root, too.
        let entries = found.entries.map(|entries| entries.saturating_sub(1));
        let full = entries.filter(|used| limits.files > 0 && *used >= limits.files);
        let (unit, limit, used) = match full {
            Some(used) => ("files", limits.files, used),
            None if limits.bytes > 0 => ("bytes", limits.bytes, found.bytes),
            None => return None,
        };
        Some(Self {
            subject: format!("vfolder:{vfolder}"),
            unit,
            limit,
            used,
            asked: limit.saturating_sub(used).saturating_add(1),
        })
    }
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
