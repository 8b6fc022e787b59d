//! Long work inside a vfolder's tree.

use vfolder_common::error::Refusal;

use super::{
    Cause, Locked, fence,
    replay::{self, RequestKey},
    room,
};
use crate::{
    context::Context,
    model::{Kind, Status, Transition, TreeWork, Warrant},
    store::{Id, Operation, Tx, operations, vfolders},
};

/// Writes the operation that does the work, and makes the vfolder PERFORMING. The epoch rises with that, so that whoever
/// was let in to write before is cut off at once, when the work begins at the latest, and again when it ends.
pub async fn perform(
    ctx: &Context,
    warrant: &Warrant,
    id: Id,
    volume: &str,
    work: &TreeWork,
    key: Option<RequestKey>,
) -> Result<Operation, Refusal> {
    if let Some(id) = replay::seen(ctx, key.as_ref()).await? {
        return replay::begun(ctx, id).await;
    }
    ctx.volumes.writable(volume).await?;
    let mut tx = ctx.store.begin("vfolder.perform").await?;
    let done = in_transaction(ctx, &mut tx, warrant, id, work, key.as_ref()).await;
    match tx.finish(done).await? {
        Begun::Now(op) => {
            fence::tell_ahead(ctx, id, volume, op.epoch, Status::Performing).await;
            Ok(*op)
        }
        Begun::Before(id) => replay::begun(ctx, id).await,
    }
}

/// Whether it is this request that begins the work.
enum Begun {
    Now(Box<Operation>),
    /// The same request came before and began this operation.
    Before(Id),
}

async fn in_transaction(
    ctx: &Context,
    tx: &mut Tx,
    warrant: &Warrant,
    id: Id,
    work: &TreeWork,
    key: Option<&RequestKey>,
) -> Result<Begun, Refusal> {
    // Equal requests wait for each other here; the second finds what the first began, whatever the status is by then.
    vfolders::lock(tx, id).await?;
    if let Some(key) = key
        && let Some(id) = key.seen(tx).await?
    {
        return Ok(Begun::Before(id));
    }
    let mut locked = Locked::admit(tx, id, warrant, "").await?;
    let (kind, action) = match work {
        TreeWork::Extract(_) => (Kind::Extract, "ExtractArchive"),
        TreeWork::Remove(_) => (Kind::Remove, "RemoveTree"),
    };
    let mut op = Operation::new(kind, id, None, &locked.row.volume, locked.now);
    op.requester.clone_from(&warrant.caller.user);
    op.owner = locked.row.owner().key();
    op.arguments = work.to_text();
    room::in_queue(ctx, tx, &op).await?;
    let cause = Cause {
        action,
        actor: warrant.caller.user.clone(),
        operation: Some(op.id),
        ..Cause::default()
    };
    let start = Transition::PerformStart;
    locked
        .change(tx, start, Status::Performing, cause, |_| {})
        .await?;
    op.epoch = locked.row.epoch;
    operations::insert(tx, &op).await?;
    if let Some(key) = key {
        key.remember(tx, op.id, locked.now).await?;
    }
    Ok(Begun::Now(Box::new(op)))
}
