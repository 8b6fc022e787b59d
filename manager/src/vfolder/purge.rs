//! Destroying a vfolder.

use vfolder_common::error::Refusal;
use vfolder_proto::storage::GetTreeUsageResponse;

use super::{
    Cause, Locked,
    clone::{Estimate, estimate},
    fence, room,
};
use crate::{
    context::Context,
    model::{Kind, Status, Transition, Warrant},
    store::{Id, Operation, Tx, operations},
};

/// What became of the request.
pub enum Purged {
    /// Only checked: the operation as it would be, and what it would destroy.
    Checked(Box<Operation>, Estimate),
    /// Begun.
    Begun(Box<Operation>),
}

/// Writes the operation that destroys the tree, and makes the vfolder DELETING.
pub async fn purge(
    ctx: &Context,
    warrant: &Warrant,
    id: Id,
    etag: &str,
    volume: &str,
    dry: bool,
) -> Result<Purged, Refusal> {
    let state = ctx.volumes.writable(volume).await?;
    let mut tx = ctx.store.begin("vfolder.purge").await?;
    let done = begin(&mut tx, warrant, id, etag, "PurgeVFolder", Some(ctx)).await;
    let op = tx.finish_or_abandon(dry, done).await?;
    if !dry {
        fence::tell_ahead(ctx, id, volume, op.epoch, Status::Deleting).await;
        return Ok(Purged::Begun(Box::new(op)));
    }
    // A vfolder in ERROR may have no tree: then there is nothing to destroy.
    let owner = ctx.volumes.owner(volume)?;
    let has_tree = owner.has_tree(volume, id).await;
    let estimate = if has_tree.map_err(|e| e.into_refusal(volume))? {
        estimate(ctx, volume, id, &state).await?
    } else {
        Estimate::new(GetTreeUsageResponse::default(), &state)
    };
    Ok(Purged::Checked(Box::new(op), estimate))
}

/// The part that belongs in a transaction; the retention sweeper uses it too, without `limits` on the queue's length.
pub async fn begin(
    tx: &mut Tx,
    warrant: &Warrant,
    id: Id,
    etag: &str,
    action: &'static str,
    limits: Option<&Context>,
) -> Result<Operation, Refusal> {
    let mut locked = Locked::admit(tx, id, warrant, etag).await?;
    let mut op = Operation::new(Kind::Purge, id, None, &locked.row.volume, locked.now);
    op.requester.clone_from(&warrant.caller.user);
    let cause = Cause {
        action,
        actor: warrant.caller.user.clone(),
        operation: Some(op.id),
        ..Cause::default()
    };
    let now = locked.now;
    locked
        .change(tx, Transition::PurgeStart, Status::Deleting, cause, |row| {
            row.delete_time.get_or_insert(now);
        })
        .await?;
    op.epoch = locked.row.epoch;
    op.owner = locked.row.owner().key();
    if let Some(ctx) = limits {
        room::in_queue(ctx, tx, &op).await?;
    }
    operations::insert(tx, &op).await?;
    Ok(op)
}
