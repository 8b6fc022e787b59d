//! Reconciling a status with the disk.

use vfolder_common::error::{Reason, Refusal};

use super::{Cause, Locked, fence, refuse};
use crate::{
    context::Context,
    model::{Caller, Status, Transition},
    store::{Id, Tx, Vfolder, events},
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
    let has_tree = has_tree_now(ctx, seen).await?;
    let looked = Looked {
        id: seen.id,
        revision: seen.revision,
        has_tree,
    };
    if !dry && seen.status == Status::Error {
        // Whatever an operation that was given up may still do on the volume, it must not do to a vfolder in use: the
        // row takes a new epoch, then the storage-proxy hears of it, and only then does the status change.
        let row = take_over(ctx, caller, looked, reason).await?;
        fence::tell_once(ctx, row.id, &row.volume, row.epoch, row.status).await?;
        let has_tree = has_tree_now(ctx, seen).await?;
        let looked = Looked {
            revision: row.revision,
            has_tree,
            ..looked
        };
        return decide(ctx, caller, looked, reason, false).await;
    }
    decide(ctx, caller, looked, reason, dry).await
}

/// What the volume said, and as of which revision of the row.
#[derive(Clone, Copy)]
struct Looked {
    id: Id,
    revision: i64,
    has_tree: bool,
}

async fn has_tree_now(ctx: &Context, seen: &Vfolder) -> Result<bool, Refusal> {
    let volume = seen.volume.as_str();
    let has_tree = ctx.volumes.owner(volume)?.has_tree(volume, seen.id).await;
    has_tree.map_err(|e| e.into_refusal(volume))
}

/// Raises the epoch, if the reset would be done as things are.
async fn take_over(
    ctx: &Context,
    caller: &Caller,
    looked: Looked,
    reason: &str,
) -> Result<Vfolder, Refusal> {
    decide(ctx, caller, looked, reason, true).await?;
    let mut tx = ctx.store.begin("vfolder.take_over").await?;
    let done = async {
        let mut locked = unchanged(&mut tx, looked).await?;
        locked
            .take_over(&mut tx, &caller.user, "ResetStatus")
            .await?;
        Ok::<_, Refusal>(locked.row)
    }
    .await;
    tx.finish(done).await
}

async fn decide(
    ctx: &Context,
    caller: &Caller,
    looked: Looked,
    reason: &str,
    dry: bool,
) -> Result<Reset, Refusal> {
    let mut tx = ctx.store.begin("vfolder.reset").await?;
    let done = in_transaction(&mut tx, caller, looked, reason).await;
    tx.finish_or_abandon(dry, done).await
}

/// The vfolder under its lock, if it is still as it was when its volume was looked at.
async fn unchanged(tx: &mut Tx, looked: Looked) -> Result<Locked, Refusal> {
    // Sweeps expired mounts, which is all that a MOUNTED without a live mount needs.
    let locked = Locked::take(tx, looked.id).await?;
    let locked = locked.ok_or_else(|| refuse::not_found(looked.id))?;
    if locked.seen_revision != looked.revision {
        return Err(Refusal::new(
            Reason::EtagMismatch,
            "the vfolder changed while its volume was looked at; look again",
        ));
    }
    Ok(locked)
}

async fn in_transaction(
    tx: &mut Tx,
    caller: &Caller,
    looked: Looked,
    reason: &str,
) -> Result<Reset, Refusal> {
    let Looked { id, has_tree, .. } = looked;
    let mut locked = unchanged(tx, looked).await?;
    let from = locked.seen_status;
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
        (Status::Error, true) if !events::was_ready(tx, id).await? => {
            return Err(Refusal::new(
                Reason::ResetUnsafe,
                "its creation was given up, and nobody knows whether the tree that its volume has is whole: purge it",
            ));
        }
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
        if to == from {
            format!("{to} is right")
        } else {
            format!("{from} should be {to}")
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
        from,
        finding,
    })
}
