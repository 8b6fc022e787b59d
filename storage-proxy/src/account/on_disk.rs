//! Limits that the filesystem keeps itself, and has kept to before ours were met.

use std::os::fd::AsFd as _;

use uuid::Uuid;
use vfolder_common::{
    error::{Reason, Refusal},
    token::Limits,
};

use super::{Accounts, Exceeded};
use crate::{backend::QuotaUse, volume::OpenVolume};

impl Accounts {
    /// Adds the figures to a refusal that the filesystem's own quota has caused: it counts what lies on its disk.
    #[must_use]
    pub fn explain(&self, volume: &OpenVolume, vfolder: Uuid, refusal: Refusal) -> Refusal {
        let looks_full = match refusal.reason() {
            Reason::QuotaExceeded if refusal.metadata("limit").is_none() => false,
            Reason::VolumeFull => true,
            _ => return refusal,
        };
        self.met_on_disk(volume, vfolder, looks_full)
            .map_or(refusal, Refusal::from)
    }

    /// The limit that the filesystem has just kept to in the tree of `vfolder`. `looks_full` says that it has refused as
    /// if it were full, which it may be.
    #[must_use]
    pub fn met_on_disk(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        looks_full: bool,
    ) -> Option<Exceeded> {
        let backend = volume.backend();
        if looks_full && !backend.quota_looks_full() {
            return None;
        }
        let tree = volume.tree(vfolder).ok()??;
        let found = backend.quota_use(tree.as_fd()).ok()?;
        let exceeded = kept_to(vfolder, self.limits(vfolder), found)?;
        if looks_full {
            // What there is less of was in the way.
            let free = volume.capacity().ok()?;
            let free = match &*exceeded.unit {
                "files" => free.available_inodes,
                _ => free.available_bytes,
            };
            let left = exceeded.limit.saturating_sub(exceeded.used);
            return (left < free).then_some(exceeded);
        }
        Some(exceeded)
    }
}

/// What the filesystem has refused, which says no more than that it did. Entries are lacking if none is left, else
/// bytes. Nothing if neither is limited.
fn kept_to(vfolder: Uuid, limits: Limits, found: QuotaUse) -> Option<Exceeded> {
    // The filesystem counts the root, too.
    let entries = found.entries.map(|entries| entries.saturating_sub(1));
    let full = entries.filter(|used| limits.files > 0 && *used >= limits.files);
    let (unit, limit, used) = match full {
        Some(used) => ("files", limits.files, used),
        None if limits.bytes > 0 => ("bytes", limits.bytes, found.bytes),
        None => return None,
    };
    Some(Exceeded {
        subject: format!("vfolder:{vfolder}"),
        unit: unit.into(),
        limit,
        used,
        asked: limit.saturating_sub(used).saturating_add(1),
    })
}
