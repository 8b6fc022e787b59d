//! Wishing to stop an operation, and forgetting one.

use vfolder_common::error::{Reason, Refusal};

use super::{finish::end_unstarted, not_found, read};
use crate::{
    context::Context,
    model::{Caller, Permission, State},
    store::{Id, Operation, lease::Ending, operations, requests, vfolders},
};

/// Notes the wish; the worker that has the operation, or takes it next, sees to it. An operation that has ended stays
/// as it is.
pub async fn cancel(ctx: &Context, caller: &Caller, id: Id) -> Result<(), Refusal> {
    let op = read::get_visible(ctx, caller, id).await?;
    may_change(ctx, caller, &op).await?;
    if !op.state.is_live() {
        return Ok(());
    }
    if !op.kind.is_cancellable() {
        return Err(Refusal::new(
            Reason::OperationNotCancellable,
            "a purge can't be cancelled: its tree is out of reach from the moment it begins",
        )
        .with_metadata("operation", op.name()));
    }
    request(ctx, &op).await
}

/// Ends the operation if no worker has ever had it; else notes the wish.
pub async fn request(ctx: &Context, op: &Operation) -> Result<(), Refusal> {
    if op.attempt == 0 && end_unstarted(ctx, op, &cancelled(op)).await? {
        return Ok(());
    }
    let id = op.id;
    let mut tx = ctx.store.begin("operation.cancel").await?;
    let done = async {
        let now = tx.now().await?;
        operations::request_cancel(&mut tx, id, now).await?;
        Ok(())
    }
    .await;
    tx.finish(done).await
}

/// The outcome of a cancelled operation.
#[must_use]
pub fn cancelled(op: &Operation) -> Ending {
    let text = match op.kind.is_in_place() {
        true => "cancelled on request; what it had done by then stays",
        false => "cancelled on request; nothing of it is left",
    };
    Ending {
        state: State::Cancelled,
        reason: Reason::Cancelled.as_str().into(),
        text: text.into(),
        lost: false,
        exceeded: None,
        receipt: None,
    }
}

/// Removes the record of an operation that has ended.
pub async fn forget(ctx: &Context, caller: &Caller, id: Id) -> Result<(), Refusal> {
    let op = read::get_visible(ctx, caller, id).await?;
    may_change(ctx, caller, &op).await?;
    let mut tx = ctx.store.begin("operation.forget").await?;
    let done = async {
        if operations::remove_ended(&mut tx, id).await? {
            requests::forget(&mut tx, id).await?;
            return Ok(());
        }
        match operations::get(&mut tx, id).await? {
            Some(op) => Err(Refusal::new(
                Reason::OperationLive,
                "the operation has not ended: cancel it or wait for it first",
            )
            .with_metadata("operation", op.name())),
            None => Err(not_found(id)),
        }
    }
    .await;
    tx.finish(done).await
}

/// Its requester, administrators, and who owns the vfolder that it makes or destroys.
async fn may_change(ctx: &Context, caller: &Caller, op: &Operation) -> Result<(), Refusal> {
    if caller.admin || op.requester == caller.user {
        return Ok(());
    }
    let mut tx = ctx.store.read("operation.may_change").await?;
    let vfolder = vfolders::get(&mut tx, op.vfolder_id).await?;
    match vfolder.and_then(|v| v.permission(caller)) {
        Some(Permission::Own) => Ok(()),
        _ => Err(Refusal::new(
            Reason::PermissionTooSmall,
            "only who asked for the operation, who owns its vfolder and administrators may do this",
        )
        .with_metadata("operation", op.name())),
    }
}
