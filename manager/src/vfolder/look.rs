//! Reading all of a vfolder's tree as an operation: to say what it is, or how much.

use vfolder_common::error::Refusal;

use super::{Locked, fence, room};
use crate::{
    context::Context,
    model::{Kind, Owner, Warrant},
    store::{Id, Operation, Tx, operations},
};

/// What is to be found out.
#[derive(Clone, Copy, Debug)]
pub enum Look<'a> {
    /// Its digest. Where none is `expected`, it is compared with the one that the vfolder was made with, if it has one.
    Verify {
        /// The text of a digest, or nothing.
        expected: &'a str,
    },
    /// How much is in it, for its limits.
    Recount,
}

impl Look<'_> {
    const fn kind(self) -> Kind {
        match self {
            Self::Verify { .. } => Kind::Verify,
            Self::Recount => Kind::Recount,
        }
    }
}

/// Writes the operation that reads the tree. It changes no status, and no status waits for it.
pub async fn look(
    ctx: &Context,
    warrant: &Warrant,
    id: Id,
    volume: &str,
    look: Look<'_>,
) -> Result<Operation, Refusal> {
    fence::can_tell(ctx, volume).await?;
    let mut tx = ctx.store.begin("vfolder.look").await?;
    let done = in_transaction(ctx, &mut tx, warrant, id, look).await;
    tx.finish(done).await
}

async fn in_transaction(
    ctx: &Context,
    tx: &mut Tx,
    warrant: &Warrant,
    id: Id,
    look: Look<'_>,
) -> Result<Operation, Refusal> {
    let Locked { row, now, .. } = Locked::admit(tx, id, warrant, "").await?;
    let mut op = Operation::new(look.kind(), id, None, &row.volume, now);
    op.requester.clone_from(&warrant.caller.user);
    // That of a reader: only who takes the tree away from readers ends it.
    op.epoch = row.epoch;
    // Who may only read must not take the turns of the vfolder's owner.
    op.owner = Owner::User(warrant.caller.user.clone()).key();
    op.expected_digest = match look {
        Look::Verify { expected: "" } => row.digest,
        Look::Verify { expected } => expected.to_owned(),
        Look::Recount => String::new(),
    };
    room::in_queue(ctx, tx, &op).await?;
    operations::insert(tx, &op).await?;
    Ok(op)
}
