//! Saying what a vfolder's tree is.

use vfolder_common::error::Refusal;

use super::{Locked, fence, room};
use crate::{
    context::Context,
    model::{Kind, Warrant},
    store::{Id, Operation, Tx, operations},
};

/// Writes the operation that digests the tree. It changes no status and no record, and no status waits for it. Where no
/// digest is `expected`, it is compared with the one that the vfolder was made with, if it has one.
pub async fn verify(
    ctx: &Context,
    warrant: &Warrant,
    id: Id,
    volume: &str,
    expected: &str,
) -> Result<Operation, Refusal> {
    fence::can_tell(ctx, volume).await?;
    let mut tx = ctx.store.begin("vfolder.verify").await?;
    let done = in_transaction(ctx, &mut tx, warrant, id, expected).await;
    tx.finish(done).await
}

async fn in_transaction(
    ctx: &Context,
    tx: &mut Tx,
    warrant: &Warrant,
    id: Id,
    expected: &str,
) -> Result<Operation, Refusal> {
    let Locked { row, now, .. } = Locked::admit(tx, id, warrant, "").await?;
    let mut op = Operation::new(Kind::Verify, id, None, &row.volume, now);
    op.requester.clone_from(&warrant.caller.user);
    // That of a reader: only who takes the tree away from readers ends it.
    op.epoch = row.epoch;
    op.owner = row.owner().key();
    op.expected_digest = match expected {
        "" => row.digest,
        expected => expected.to_owned(),
    };
    room::in_queue(ctx, tx, &op).await?;
    operations::insert(tx, &op).await?;
    Ok(op)
}
