//! Volumes as messages.

use vfolder_proto::storage::{
    ListVolumeContentsResponse, StorageCloneMethod, StorageVolume, StorageVolumeState, VolumeArea,
};

use crate::{
    backend::Method,
    task::Tasks,
    volume::{Area, Found, Health, Volume, VolumeError},
};

/// How a volume is now. Blocks.
pub fn describe(tasks: &Tasks, volume: &Volume) -> StorageVolume {
    let name = volume.name().to_owned();
    let open = match volume.get() {
        Ok(open) => open,
        Err(error) => return unavailable(&name, &error),
    };
    let capacity = match open.capacity() {
        Ok(capacity) => capacity,
        Err(error) => return unavailable(&name, &error),
    };
    let pending = match tasks.pending(&open) {
        Ok(pending) => pending,
        Err(refused) => return silent(&name, refused.to_string()),
    };
    let (state, message) = match capacity.health {
        Health::Serving => (StorageVolumeState::Serving, String::new()),
        Health::ReadOnly => {
            let message = format!(
                "{} is mounted read-only; mount it for writing",
                volume.path().display()
            );
            (StorageVolumeState::ReadOnly, message)
        }
    };
    StorageVolume {
        name,
        volume_id: open.description().volume_id.to_string(),
        state: state.into(),
        message,
        filesystem: capacity.filesystem,
        total_bytes: capacity.total_bytes,
        available_bytes: capacity.available_bytes,
        total_inodes: capacity.total_inodes,
        available_inodes: capacity.available_inodes,
        reflink: capacity.method != Method::Copy,
        snapshot: capacity.method == Method::Snapshot,
        reclaim_pending_trees: pending.trees,
        reclaim_pending_bytes: pending.bytes,
    }
}

fn unavailable(name: &str, error: &VolumeError) -> StorageVolume {
    let message = match error {
        VolumeError::Unavailable { why, .. } => why.clone(),
        other => other.to_string(),
    };
    silent(name, message)
}

/// One that can't say more than why.
pub fn silent(name: &str, why: String) -> StorageVolume {
    StorageVolume {
        name: name.to_owned(),
        state: StorageVolumeState::Unavailable.into(),
        message: why,
        ..StorageVolume::default()
    }
}

/// How clones are made.
pub const fn method(method: Method) -> StorageCloneMethod {
    match method {
        Method::Snapshot => StorageCloneMethod::Snapshot,
        Method::Reflink => StorageCloneMethod::Reflink,
        Method::Copy => StorageCloneMethod::Copy,
    }
}

/// Something found on a volume.
pub fn found(found: Found) -> ListVolumeContentsResponse {
    let area = match found.area {
        Area::Tree => VolumeArea::Tree,
        Area::Staging => VolumeArea::Staging,
        Area::Trash => VolumeArea::Trash,
        Area::Journal => VolumeArea::Journal,
    };
    ListVolumeContentsResponse {
        area: area.into(),
        id: found.id.map(|id| id.to_string()).unwrap_or_default(),
        path: found.path,
        problem: found.problem.unwrap_or_default().to_owned(),
    }
}
