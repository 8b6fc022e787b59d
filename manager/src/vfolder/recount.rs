//! Counting a vfolder's tree for its limits.

use vfolder_common::error::Refusal;

use super::{Locked, fence, room};
use crate::{
    context::Context,
    model::{Kind, Warrant},
    store::{Id, Operation, Tx, operations},
};

/// Writes the operation that counts the tree. It changes no status and no record, and no status waits for it.
pub async fn recount(
    ctx: &Context,
    warrant: &Warrant,
    id: Id,
    volume: &str,
) -> Result<Operation, Refusal> {
    fence::can_tell(ctx, volume).await?;
    let mut tx = ctx.store.begin("vfolder.recount").await?;
    let done = in_transaction(ctx, &mut tx, warrant, id).await;
    tx.finish(done).await
}

async fn in_transaction(
    ctx: &Context,
    tx: &mut Tx,
    warrant: &Warrant,
    id: Id,
) -> Result<Operation, Refusal> {
    let Locked { row, now, .. } = Locked::admit(tx, id, warrant, "").await?;
    let mut op = Operation::new(Kind::Recount, id, None, &row.volume, now);
    op.requester.clone_from(&warrant.caller.user);
    // That of a reader: only who takes the tree away from readers ends it.
    op.epoch = row.epoch;
    op.owner = row.owner().key();
    room::in_queue(ctx, tx, &op).await?;
    operations::insert(tx, &op).await?;
    Ok(op)
}
