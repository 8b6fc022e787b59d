//! To the trash.

use std::time::Duration;

use vfolder_common::error::Refusal;

use super::{Cause, Locked};
use crate::{
    context::Context,
    model::{Status, Transition, Warrant},
    store::{Id, Tx, Vfolder},
};

/// Moves a vfolder to the trash. Its name comes free.
pub async fn delete(
    ctx: &Context,
    warrant: &Warrant,
    id: Id,
    etag: &str,
    retention: Option<Duration>,
    dry: bool,
) -> Result<Vfolder, Refusal> {
    let retention = retention.unwrap_or(ctx.settings.trash.retention);
    let mut tx = ctx.store.begin("vfolder.delete").await?;
    let done = in_transaction(&mut tx, warrant, id, etag, retention).await;
    tx.finish_or_abandon(dry, done).await
}

async fn in_transaction(
    tx: &mut Tx,
    warrant: &Warrant,
    id: Id,
    etag: &str,
    retention: Duration,
) -> Result<Vfolder, Refusal> {
    let mut locked = Locked::admit(tx, id, warrant, etag).await?;
    let cause = Cause {
        action: "DeleteVFolder",
        actor: warrant.caller.user.clone(),
        ..Cause::default()
    };
    let now = locked.now;
    locked
        .change(tx, Transition::Trash, Status::Trashed, cause, |row| {
            row.delete_time = Some(now);
            row.purge_time = Some(now.plus(retention));
        })
        .await?;
    Ok(locked.row)
}
