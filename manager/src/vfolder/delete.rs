//! To the trash.

use std::time::Duration;

use vfolder_common::error::{Reason, Refusal};

use super::{Cause, Locked};
use crate::{
    context::Context,
    model::{Status, Transition, Warrant},
    store::{Tx, Vfolder},
};

/// Moves a vfolder to the trash. Its name comes free.
pub async fn delete(
    ctx: &Context,
    warrant: &Warrant,
    seen: &Vfolder,
    etag: &str,
    retention: Option<Duration>,
    dry: bool,
) -> Result<Vfolder, Refusal> {
    // What is in the trash can be restored, so it has a tree. What is in ERROR may have none: look.
    if seen.status == Status::Error {
        with_tree(ctx, seen).await?;
    }
    let retention = retention.unwrap_or(ctx.settings.trash.retention);
    let mut tx = ctx.store.begin("vfolder.delete").await?;
    let done = in_transaction(&mut tx, warrant, seen, etag, retention).await;
    tx.finish_or_abandon(dry, done).await
}

async fn with_tree(ctx: &Context, seen: &Vfolder) -> Result<(), Refusal> {
    let volume = seen.volume.as_str();
    let has_tree = ctx.volumes.owner(volume)?.has_tree(volume, seen.id).await;
    if has_tree.map_err(|e| e.into_refusal(volume))? {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::SourceMissing,
        format!("volume \"{volume}\" has no tree of this vfolder any more, so there is nothing to keep in the trash: purge it"),
    )
    .with_resource("vfolder.v1.VFolder", seen.id.to_string(), "no tree"))
}

async fn in_transaction(
    tx: &mut Tx,
    warrant: &Warrant,
    seen: &Vfolder,
    etag: &str,
    retention: Duration,
) -> Result<Vfolder, Refusal> {
    let mut locked = Locked::admit(tx, seen.id, warrant, etag).await?;
    if locked.row.status == Status::Error && locked.row.revision != seen.revision {
        return Err(Refusal::new(
            Reason::EtagMismatch,
            "the vfolder changed while its volume was looked at; look at it again",
        ));
    }
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
