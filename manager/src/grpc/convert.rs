//! From domain to wire.

use std::time::Duration;

use vfolder_proto::{
    storage::StorageCloneMethod,
    v1::{self, owner::Owner as WireOwner},
};

use crate::{
    model::{Access, Kind, Owner, Permission, State, Status},
    store::{Event, Mode, Mount, Operation, OwnerQuota, Timestamp, operations},
    vfolder::{fields, list::Shown},
};

/// A time.
#[must_use]
pub fn time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.0.div_euclid(1_000_000),
        nanos: i32::try_from(time.0.rem_euclid(1_000_000) * 1_000).unwrap_or_default(),
    }
}

/// A vfolder.
#[must_use]
pub fn vfolder(shown: &Shown) -> v1::VFolder {
    let row = &shown.row;
    v1::VFolder {
        id: row.id.to_string(),
        name: row.name.clone(),
        owner: Some(owner(&row.owner())),
        volume: row.volume.clone(),
        status: status(row.status).into(),
        status_reason: row.status_reason.clone(),
        description: row.description.clone(),
        labels: fields::labels_of(&row.labels).into_iter().collect(),
        member_permission: permission(row.member_permission).into(),
        creator: row.creator.clone(),
        create_time: Some(time(row.create_time)),
        update_time: Some(time(row.update_time)),
        delete_time: row.delete_time.map(time),
        purge_time: row.purge_time.map(time),
        etag: row.etag(),
        operations: shown
            .operations
            .iter()
            .map(|id| operations::name(*id))
            .collect(),
        epoch: row.epoch,
        receipt: row.digest_time.map(|at| v1::TreeReceipt {
            digest: row.digest.clone(),
            files: row.digest_files,
            bytes: row.digest_bytes,
            time: Some(time(at)),
        }),
        max_bytes: Some(row.max_bytes),
        max_files: Some(row.max_files),
    }
}

/// An owner's limits on a volume, without what is used.
#[must_use]
pub fn owner_quota(row: &OwnerQuota) -> v1::OwnerQuota {
    v1::OwnerQuota {
        volume: row.volume.clone(),
        owner: Some(owner(&row.owner())),
        max_bytes: row.max_bytes,
        max_files: row.max_files,
        update_time: (row.revision > 0).then(|| time(row.update_time)),
        usage: None,
    }
}

fn owner(owner: &Owner) -> v1::Owner {
    v1::Owner {
        owner: Some(match owner {
            Owner::User(id) => WireOwner::User(id.clone()),
            Owner::Project(id) => WireOwner::Project(id.clone()),
        }),
    }
}

/// A status.
#[must_use]
pub const fn status(status: Status) -> v1::VFolderStatus {
    match status {
        Status::Creating => v1::VFolderStatus::Creating,
        Status::Ready => v1::VFolderStatus::Ready,
        Status::Performing => v1::VFolderStatus::Performing,
        Status::Cloning => v1::VFolderStatus::Cloning,
        Status::Mounted => v1::VFolderStatus::Mounted,
        Status::Trashed => v1::VFolderStatus::Trashed,
        Status::Deleting => v1::VFolderStatus::Deleting,
        Status::Deleted => v1::VFolderStatus::Deleted,
        Status::Error => v1::VFolderStatus::Error,
    }
}

const fn permission(permission: Permission) -> v1::VFolderPermission {
    match permission {
        Permission::Read => v1::VFolderPermission::Read,
        Permission::Write => v1::VFolderPermission::Write,
        Permission::Delete => v1::VFolderPermission::Delete,
        Permission::Own => v1::VFolderPermission::Own,
    }
}

/// An access kind.
#[must_use]
pub const fn access(access: Access) -> v1::VFolderAccess {
    match access {
        Access::Metadata => v1::VFolderAccess::Metadata,
        Access::Readable => v1::VFolderAccess::Readable,
        Access::Writable => v1::VFolderAccess::Writable,
        Access::Updatable => v1::VFolderAccess::Updatable,
        Access::Clonable => v1::VFolderAccess::Clonable,
        Access::Mountable => v1::VFolderAccess::Mountable,
        Access::Deletable => v1::VFolderAccess::Deletable,
        Access::Restorable => v1::VFolderAccess::Restorable,
        Access::Purgable => v1::VFolderAccess::Purgable,
    }
}

/// How a clone is made.
#[must_use]
pub const fn clone_method(method: StorageCloneMethod) -> v1::CloneMethod {
    match method {
        StorageCloneMethod::Unspecified => v1::CloneMethod::Unspecified,
        StorageCloneMethod::Snapshot => v1::CloneMethod::Snapshot,
        StorageCloneMethod::Reflink => v1::CloneMethod::Reflink,
        StorageCloneMethod::Copy => v1::CloneMethod::Copy,
    }
}

/// An event.
#[must_use]
pub fn event(event: &Event) -> v1::VFolderEvent {
    v1::VFolderEvent {
        sequence: event.sequence,
        vfolder_id: event.vfolder_id.to_string(),
        time: Some(time(event.time)),
        from_status: event
            .from_status
            .map_or(v1::VFolderStatus::VfolderStatusUnspecified, status)
            .into(),
        to_status: status(event.to_status).into(),
        action: event.action.clone(),
        actor: event.actor.clone(),
        operation: event.operation_id.map(operations::name).unwrap_or_default(),
        mount_id: event.mount_id.map(|m| m.to_string()).unwrap_or_default(),
        reason: event.reason.clone(),
    }
}

/// A mount of a vfolder on `volume`.
#[must_use]
pub fn mount(mount: &Mount, volume: &str) -> v1::Mount {
    v1::Mount {
        id: mount.id.to_string(),
        vfolder_id: mount.vfolder_id.to_string(),
        session: mount.session.clone(),
        mode: match mount.mode {
            Mode::ReadOnly => v1::MountMode::ReadOnly,
            Mode::ReadWrite => v1::MountMode::ReadWrite,
        }
        .into(),
        holder: mount.holder.clone(),
        create_time: Some(time(mount.create_time)),
        expire_time: Some(time(mount.expire_time)),
        volume: volume.to_owned(),
        tree_path: tree_path(mount.vfolder_id.0),
    }
}

/// Where a vfolder's tree is on its volume (DESIGN §5): fanned out by the id's last two bytes.
fn tree_path(id: uuid::Uuid) -> String {
    let bytes = id.as_bytes();
    format!("tree/{:02x}/{:02x}/{id}", bytes[14], bytes[15])
}

/// The metadata of an operation. Who sees a clone's source need not see where it goes.
#[must_use]
pub fn metadata(
    op: &Operation,
    sees_target: bool,
    queue_place: Option<i64>,
) -> v1::OperationMetadata {
    v1::OperationMetadata {
        kind: match op.kind {
            Kind::Create => v1::OperationKind::Create,
            Kind::Clone => v1::OperationKind::Clone,
            Kind::Purge => v1::OperationKind::Purge,
            Kind::Verify => v1::OperationKind::Verify,
            Kind::Extract => v1::OperationKind::Extract,
            Kind::Remove => v1::OperationKind::Remove,
            Kind::Recount => v1::OperationKind::Recount,
        }
        .into(),
        state: match op.state {
            State::Pending => v1::OperationState::Pending,
            State::Running => v1::OperationState::Running,
            State::Succeeded => v1::OperationState::Succeeded,
            State::Failed => v1::OperationState::Failed,
            State::Cancelled => v1::OperationState::Cancelled,
        }
        .into(),
        vfolder_id: if sees_target {
            op.vfolder_id.to_string()
        } else {
            String::new()
        },
        source_id: op.source_id.map(|s| s.to_string()).unwrap_or_default(),
        requester: op.requester.clone(),
        progress: Some(progress(op)),
        attempt: op.attempt,
        cancel_requested: op.cancel_requested,
        create_time: Some(time(op.create_time)),
        start_time: op.start_time.map(time),
        end_time: op.end_time.map(time),
        last_problem: if op.state.is_live() && sees_target {
            op.last_problem.clone()
        } else {
            String::new()
        },
        estimate: None,
        queue_place: queue_place.unwrap_or_default(),
        receipt: receipt(op),
    }
}

/// What an operation found its tree to be.
#[must_use]
pub fn receipt(op: &Operation) -> Option<v1::TreeReceipt> {
    (!op.digest.is_empty()).then(|| v1::TreeReceipt {
        digest: op.digest.clone(),
        files: op.files_done,
        bytes: op.bytes_done,
        time: op.end_time.map(time),
    })
}

fn progress(op: &Operation) -> v1::OperationProgress {
    v1::OperationProgress {
        files_done: op.files_done,
        files_total: op.files_total,
        bytes_done: op.bytes_done,
        bytes_total: op.bytes_total,
        bytes_per_second: op.bytes_per_second,
        files_per_second: op.files_per_second,
        remaining: if op.state.is_live() {
            remaining(op)
        } else {
            None
        },
    }
}

/// By files and by bytes, whichever takes longer.
fn remaining(op: &Operation) -> Option<prost_types::Duration> {
    let files = (op.files_total, op.files_done, op.files_per_second);
    let bytes = (op.bytes_total, op.bytes_done, op.bytes_per_second);
    let seconds = longest([files, bytes])?;
    prost_types::Duration::try_from(Duration::from_secs(seconds)).ok()
}

/// In seconds, of each: how many there are, how many are done, and how many are done in a second. Nothing while neither is
/// known.
fn longest(all: [(i64, i64, i64); 2]) -> Option<u64> {
    let known = all
        .into_iter()
        .filter(|(total, _, rate)| *total > 0 && *rate > 0);
    let left = known.map(|(total, done, rate)| (total - done).max(0) / rate);
    u64::try_from(left.max()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_what_takes_longer() {
        let unknown = (0, 10, 5);
        assert_eq!(
            longest([(1000, 400, 100), (1 << 30, 1 << 29, 1 << 20)]),
            Some(512)
        );
        assert_eq!(
            longest([(100_000, 0, 10), (1 << 30, 1 << 29, 1 << 20)]),
            Some(10_000)
        );
        assert_eq!(longest([unknown, (1000, 0, 100)]), Some(10));
        assert_eq!(longest([unknown, (1000, 0, 0)]), None, "nothing moves yet");
        assert_eq!(
            longest([(10, 12, 1), unknown]),
            Some(0),
            "there were more than were counted"
        );
    }
}
