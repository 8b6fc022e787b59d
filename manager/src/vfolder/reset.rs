//! Reconciling a status with the disk.

use vfolder_common::error::{Reason, Refusal};

use super::{Cause, Locked, refuse};
use crate::{
    context::Context,
    model::{Caller, Status, Transition},
    store::{Id, Tx, Vfolder, vfolders},
};

/// What was found and done.
#[derive(Clone, Debug)]
pub struct Reset {
    /// The row afterwards.
    pub row: Vfolder,
    /// The status before.
    pub from: Status,
    /// For a person.
    pub finding: String,
}

/// Looks at the disk, then at the row under its lock, and brings the status to what both say.
pub async fn reset(
    ctx: &Context,
    caller: &Caller,
    seen: &Vfolder,
    reason: &str,
    dry: bool,
) -> Result<Reset, Refusal> {
    let has_tree = ctx
        .volumes
        .owner(&seen.volume)?
        .has_tree(&seen.volume, seen.id)
        .await
        .map_err(|e| e.into_refusal(&seen.volume))?;
    let mut tx = ctx.store.begin("vfolder.reset").await?;
    let done = in_transaction(&mut tx, caller, seen.id, seen.revision, has_tree, reason).await;
    tx.finish_or_abandon(dry, done).await
}

async fn in_transaction(
    tx: &mut Tx,
    caller: &Caller,
    id: Id,
    revision: i64,
    has_tree: bool,
    reason: &str,
) -> Result<Reset, Refusal> {
    let found = vfolders::lock(tx, id).await?;
    let from = found.ok_or_else(|| refuse::not_found(id))?;
    if from.revision != revision {
        return Err(Refusal::new(
            Reason::EtagMismatch,
            "the vfolder changed while its volume was looked at; look again",
        ));
    }
    // Sweeps expired mounts, which is all that a MOUNTED without a live mount needs.
    let mut locked = Locked::take(tx, id)
        .await?
        .ok_or_else(|| refuse::not_found(id))?;
    let tree = if has_tree { "a tree" } else { "no tree" };
    if locked.backing.has_operation() || locked.backing.mounts > 0 {
        return Err(Refusal::new(
            Reason::ResetUnsafe,
            format!(
                "the status {} is true: {} live operations and {} live mounts back it; cancel or wait for them, or unmount",
                locked.row.status,
                locked.backing.purges
                    + locked.backing.creations
                    + locked.backing.in_place
                    + locked.backing.clones,
                locked.backing.mounts
            ),
        ));
    }
    let to = match (locked.row.status, has_tree) {
        (Status::Error, true) => Status::Ready,
        (Status::Error, false) => Status::Deleted,
        (Status::Ready | Status::Trashed, false) => {
            return Err(Refusal::new(
                Reason::ResetUnsafe,
                format!(
                    "the vfolder is {} but its volume has no tree of it: bring the tree back, or purge the vfolder; calling it anything else would hide the loss",
                    locked.row.status
                ),
            ));
        }
        (Status::Deleted, true) => {
            return Err(Refusal::new(
                Reason::ResetUnsafe,
                "the vfolder is DELETED but its volume has a tree of it: an orphan, which `manager doctor` lists too",
            ));
        }
        (status, _) if status.is_transient() => {
            return Err(Refusal::new(
                Reason::ResetUnsafe,
                format!(
                    "the vfolder is {status} and nothing backs that, which must never be: `manager doctor` tells more"
                ),
            ));
        }
        (status, _) => status,
    };
    let finding = format!(
        "the volume has {tree} of it, no operation and no mount is live: {}",
        if to == from.status {
            format!("{to} is right")
        } else {
            format!("{} should be {to}", from.status)
        }
    );
    if locked.row.status == Status::Error {
        let cause = Cause {
            action: "ResetStatus",
            actor: caller.user.clone(),
            reason: if reason.is_empty() {
                finding.clone()
            } else {
                format!("{reason} ({finding})")
            },
            ..Cause::default()
        };
        locked
            .change(tx, Transition::Reset, to, cause, |row| {
                if to == Status::Ready {
                    row.delete_time = None;
                }
            })
            .await?;
    }
    Ok(Reset {
        row: locked.row,
        from: from.status,
        finding,
    })
}
