//! Reading operations.

use vfolder_common::error::{Reason, Refusal};

use crate::{
    context::Context,
    model::{Caller, State},
    store::{Id, Operation, operations, queue, vfolders},
    vfolder::list::visible_to,
};

/// Absent, or not visible to the caller: the two look the same.
#[must_use]
pub fn not_found(id: Id) -> Refusal {
    let name = operations::name(id);
    Refusal::new(
        Reason::OperationNotFound,
        format!("there is no {name}, or you may not see it; ListOperations shows those you may"),
    )
    .with_resource("google.longrunning.Operation", name, "not found")
}

/// Reads an operation, whoever may see it.
pub async fn get(ctx: &Context, id: Id) -> Result<Operation, Refusal> {
    let mut tx = ctx.store.read("operation.get").await?;
    operations::get(&mut tx, id)
        .await?
        .ok_or_else(|| not_found(id))
}

/// Reads an operation that the caller may see: the caller asked for it, or may see the vfolder it makes or copies.
pub async fn get_visible(ctx: &Context, caller: &Caller, id: Id) -> Result<Operation, Refusal> {
    let mut tx = ctx.store.read("operation.get_visible").await?;
    let found = operations::get(&mut tx, id).await?;
    let op = found.ok_or_else(|| not_found(id))?;
    if caller.admin || op.requester == caller.user {
        return Ok(op);
    }
    for vfolder in op.vfolders() {
        let row = vfolders::get(&mut tx, vfolder).await?;
        if row.is_some_and(|r| r.permission(caller).is_some()) {
            return Ok(op);
        }
    }
    Err(not_found(id))
}

/// Its place in its volume's queue, 1 for the next; none if it does not wait for its turn.
pub async fn queue_place(ctx: &Context, op: &Operation) -> Result<Option<i64>, Refusal> {
    if op.state != State::Pending {
        return Ok(None);
    }
    let mut tx = ctx.store.read("operation.queue_place").await?;
    let now = tx.now().await?;
    Ok(queue::place(&mut tx, op, now).await?)
}

/// Reads a page, newest first, and whether there is another.
pub async fn list(
    ctx: &Context,
    caller: &Caller,
    mut filter: operations::Filter,
    size: i64,
) -> Result<(Vec<Operation>, bool), Refusal> {
    filter.visible_to = visible_to(caller);
    let mut tx = ctx.store.read("operation.list").await?;
    let mut rows = operations::list(&mut tx, &filter, size + 1).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|n| n > size);
    rows.truncate(usize::try_from(size).unwrap_or_default());
    Ok((rows, more))
}
