//! Making a vfolder.

use vfolder_common::error::{Reason, Refusal};

use super::{
    Cause, NewVfolder, change,
    replay::{self, RequestKey},
    room,
};
use crate::{
    context::Context,
    model::{Caller, Kind, Owner},
    store::{Id, Operation, Tx, Vfolder, operations, vfolders},
};

/// What became of the request.
pub enum Created {
    /// Only checked: the row as it would be.
    Checked(Box<Vfolder>),
    /// Begun, now or when the request came first.
    Begun(Box<Operation>),
}

/// Writes the row and the operation that makes the tree.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    new: NewVfolder,
    key: Option<RequestKey>,
    dry: bool,
) -> Result<Created, Refusal> {
    if let Some(id) = replay::seen(ctx, key.as_ref()).await? {
        return replay::begun(ctx, id)
            .await
            .map(|o| Created::Begun(Box::new(o)));
    }
    ctx.volumes.writable(&new.volume).await?;
    let mut tx = ctx.store.begin("vfolder.create").await?;
    let done = in_transaction(ctx, &mut tx, caller, new, key.as_ref()).await;
    let begun = tx.finish_or_abandon(dry, done).await?;
    Ok(match begun {
        Begun::Now(row, _) if dry => Created::Checked(row),
        Begun::Now(_, op) => Created::Begun(op),
        Begun::Before(id) => Created::Begun(Box::new(replay::begun(ctx, id).await?)),
    })
}

/// Whether it is this request that begins the work.
pub enum Begun {
    /// It is.
    Now(Box<Vfolder>, Box<Operation>),
    /// The same request came before and began this operation.
    Before(Id),
}

async fn in_transaction(
    ctx: &Context,
    tx: &mut Tx,
    caller: &Caller,
    new: NewVfolder,
    key: Option<&RequestKey>,
) -> Result<Begun, Refusal> {
    vfolders::take_owner_turn(tx, &new.owner).await?;
    // The same request may have been at work when this one looked before the transaction.
    if let Some(key) = key
        && let Some(id) = key.seen(tx).await?
    {
        return Ok(Begun::Before(id));
    }
    let now = tx.now().await?;
    let row = new.into_row(&caller.user, now);
    let mut op = Operation::new(Kind::Create, row.id, None, &row.volume, now);
    op.requester.clone_from(&caller.user);
    op.epoch = row.epoch;
    op.owner = row.owner().key();
    begin(ctx, tx, &row, &op, "CreateVFolder", key).await?;
    Ok(Begun::Now(Box::new(row), Box::new(op)))
}

/// Writes a CREATING row with the operation that backs it and the request that asked for it.
pub async fn begin(
    ctx: &Context,
    tx: &mut Tx,
    row: &Vfolder,
    op: &Operation,
    action: &'static str,
    key: Option<&RequestKey>,
) -> Result<(), Refusal> {
    make_room(ctx, tx, &row.owner()).await?;
    room::in_queue(ctx, tx, op).await?;
    let cause = Cause {
        action,
        actor: op.requester.clone(),
        operation: Some(op.id),
        ..Cause::default()
    };
    change::insert(tx, row, cause).await?;
    operations::insert(tx, op).await?;
    if let Some(key) = key {
        key.remember(tx, op.id, row.create_time).await?;
    }
    Ok(())
}

/// Whether the owner may have one more; nobody else adds one until the transaction ends.
pub async fn make_room(ctx: &Context, tx: &mut Tx, owner: &Owner) -> Result<(), Refusal> {
    let limit = ctx.settings.limits.vfolders_per_owner;
    vfolders::take_owner_turn(tx, owner).await?;
    let count = vfolders::count_of(tx, owner).await?;
    if count >= limit {
        return Err(Refusal::new(
            Reason::CountExceeded,
            format!(
                "{} \"{}\" has {count} vfolders and may have {limit}; purge some first",
                owner.kind(),
                owner.id()
            ),
        )
        .with_quota(
            format!("{}:{}", owner.kind(), owner.id()),
            format!("limit {limit} vfolders, used {count}, asked 1"),
        ));
    }
    Ok(())
}
