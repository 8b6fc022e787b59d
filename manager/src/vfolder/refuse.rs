//! Refusals that the gate and the verbs share, with everything that helps: who is at work, who holds the mounts, which
//! statuses would do.

use std::time::Duration;

use vfolder_common::error::{Reason, Refusal};

use crate::{
    model::{Access, Permission, Status, Warrant, admission},
    store::{Id, Timestamp, Tx, Vfolder, mounts, operations},
};

/// Mounts beyond this number are counted, not named.
const NAMED_MOUNTS: i64 = 10;

/// Absent, or not visible to the caller: the two look the same.
#[must_use]
pub fn not_found(id: Id) -> Refusal {
    Refusal::new(
        Reason::VFolderNotFound,
        format!(
            "there is no vfolder {id}, or you may not see it; ListVFolders shows those you may"
        ),
    )
    .with_resource("vfolder.v1.VFolder", id.to_string(), "not found")
}

/// Whether the caller's permission suffices.
pub fn unless_permitted(row: &Vfolder, warrant: &Warrant) -> Result<Permission, Refusal> {
    let Some(has) = row.permission(&warrant.caller) else {
        return Err(not_found(row.id));
    };
    if has >= warrant.permission {
        return Ok(has);
    }
    Err(Refusal::new(
        Reason::PermissionTooSmall,
        format!(
            "this needs {} on the vfolder and you have {has}; ask its owner",
            warrant.permission
        ),
    )
    .with_metadata("has", has.as_str())
    .with_metadata("needs", warrant.permission.as_str())
    .with_resource(
        "vfolder.v1.VFolder",
        row.id.to_string(),
        "permission too small",
    ))
}

/// The status refuses.
pub async fn status(
    tx: &mut Tx,
    row: &Vfolder,
    warrant: &Warrant,
    now: Timestamp,
) -> Result<Refusal, Refusal> {
    let refusal = if row.status.is_transient() {
        busy(tx, row).await?
    } else {
        resting(tx, row, warrant.access, now).await?
    };
    Ok(refusal
        .with_metadata("vfolder_id", row.id.to_string())
        .with_metadata("status", row.status.as_str())
        .with_metadata("access", warrant.access.as_str())
        .with_resource(
            "vfolder.v1.VFolder",
            row.id.to_string(),
            format!("it is {}", row.status),
        ))
}

/// It ends by itself: say who is at work and when to come back.
async fn busy(tx: &mut Tx, row: &Vfolder) -> Result<Refusal, Refusal> {
    let at_work = operations::live_on(tx, row.id).await?;
    let names: Vec<String> = at_work
        .iter()
        .filter(|op| op.kind.backs().is_some())
        .map(operations::Operation::name)
        .collect();
    let mut refusal = Refusal::new(
        Reason::VFolderBusy,
        format!(
            "the vfolder is {} and this has to wait until that ends; wait for {} or try again later",
            row.status,
            names.first().map_or("it", String::as_str)
        ),
    )
    .with_retry(Duration::from_secs(1));
    if let Some(first) = names.first() {
        refusal = refusal
            .with_metadata("operation", first.clone())
            .with_metadata("operations", names.len().to_string());
    }
    Ok(refusal)
}

/// Somebody has to act: say what would do, and who holds the mounts.
async fn resting(
    tx: &mut Tx,
    row: &Vfolder,
    access: Access,
    now: Timestamp,
) -> Result<Refusal, Refusal> {
    let wanted: Vec<String> = admission::admitting(access)
        .filter(|(_, cell)| *cell != admission::Cell::No)
        .map(|(status, cell)| match cell.condition() {
            "" => status.to_string(),
            condition => format!("{status} ({condition})"),
        })
        .collect();
    let mut refusal = Refusal::new(
        Reason::VFolderStatus,
        format!("the vfolder is {}: {}", row.status, advice(row.status)),
    )
    .with_metadata("admitting", wanted.join(", "))
    .with_precondition(
        "VFOLDER_STATUS",
        row.id.to_string(),
        format!(
            "it is {}; {access} needs {}",
            row.status,
            wanted.join(" or ")
        ),
    );
    if row.status == Status::Mounted {
        for mount in mounts::live_on(tx, row.id, now, None, NAMED_MOUNTS).await? {
            refusal = refusal.with_precondition(
                "MOUNT",
                mount.id.to_string(),
                format!(
                    "session \"{}\" of {} holds a {} mount",
                    mount.session, mount.holder, mount.mode
                ),
            );
        }
    }
    Ok(refusal)
}

const fn advice(status: Status) -> &'static str {
    match status {
        Status::Mounted => "unmount it first, or wait until its mounts expire",
        Status::Trashed => "restore it first",
        Status::Deleted => "it is gone for good",
        Status::Error => {
            "trash it, purge it, or ask an administrator for ResetStatus; status_reason says what happened"
        }
        Status::Ready => "trash it first (a purge may say skip_trash instead)",
        Status::Creating | Status::Performing | Status::Cloning | Status::Deleting => {
            "wait until that ends"
        }
    }
}
