//! Limits as the manager tells them, and what is used of them.

use uuid::Uuid;
use vfolder_common::token::{Limits, Quota};
use vfolder_proto::storage::{GetOwnerUsageResponse, TreeLimits, TreeQuota};

use crate::{
    account::{Accounts, OwnerUse},
    volume::{OpenVolume, VolumeError},
};

/// From wire.
pub(super) fn read(wire: TreeQuota) -> Quota {
    let limits = |wire: Option<TreeLimits>| {
        let TreeLimits { bytes, files } = wire.unwrap_or_default();
        Limits { bytes, files }
    };
    Quota {
        owner: wire.owner,
        revision: wire.revision,
        vfolder: limits(wire.vfolder),
        mounted: wire.mounted,
        owner_revision: wire.owner_revision,
        all: limits(wire.all),
    }
}

/// Takes note of all of it, in memory and on the volume. Blocks.
pub(super) fn keep(
    accounts: &Accounts,
    volume: &OpenVolume,
    told: &[(Uuid, Quota)],
) -> Result<(), VolumeError> {
    let mut there = Vec::with_capacity(told.len());
    for (vfolder, quota) in told {
        // One whose tree is gone, or not there yet, has no note; whoever makes it brings its limits.
        let has_tree = volume.tree(*vfolder)?.is_some();
        accounts.learn_if(*vfolder, quota, has_tree);
        there.extend(has_tree.then_some(*vfolder));
    }
    // All of it is known before any of it is written: that takes longer.
    for vfolder in there {
        accounts.keep(volume, vfolder)?;
    }
    Ok(())
}

/// To wire.
pub(super) fn answer(found: OwnerUse) -> GetOwnerUsageResponse {
    GetOwnerUsageResponse {
        bytes: found.used.bytes,
        files: found.used.files,
        reserved_bytes: found.reserved.bytes,
        reserved_files: found.reserved.files,
        uncounted: found.uncounted,
    }
}
