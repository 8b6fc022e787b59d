//! Out of the trash.

use vfolder_common::error::Refusal;

use super::{Cause, Locked};
use crate::{
    context::Context,
    model::{Status, Transition, Warrant},
    store::{Id, Tx, Vfolder},
};

/// Takes a vfolder out of the trash, under a new name where one is given.
pub async fn restore(
    ctx: &Context,
    warrant: &Warrant,
    id: Id,
    etag: &str,
    name: Option<String>,
    dry: bool,
) -> Result<Vfolder, Refusal> {
    let mut tx = ctx.store.begin("vfolder.restore").await?;
    let done = in_transaction(&mut tx, warrant, id, etag, name).await;
    tx.finish_or_abandon(dry, done).await
}

async fn in_transaction(
    tx: &mut Tx,
    warrant: &Warrant,
    id: Id,
    etag: &str,
    name: Option<String>,
) -> Result<Vfolder, Refusal> {
    let mut locked = Locked::admit(tx, id, warrant, etag).await?;
    let reason = match &name {
        Some(new) if *new != locked.row.name => format!("as \"{new}\""),
        _ => String::new(),
    };
    let cause = Cause {
        action: "RestoreVFolder",
        actor: warrant.caller.user.clone(),
        reason,
        ..Cause::default()
    };
    locked
        .change(tx, Transition::Restore, Status::Ready, cause, |row| {
            row.delete_time = None;
            if let Some(name) = name {
                row.name = name;
            }
        })
        .await?;
    Ok(locked.row)
}
