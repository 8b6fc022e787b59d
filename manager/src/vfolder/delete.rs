//! To the trash.

use std::time::Duration;

use vfolder_common::error::{Reason, Refusal};

use super::{Cause, Locked, fence};
use crate::{
    context::Context,
    model::{Status, Transition, Warrant},
    store::{Tx, Vfolder, events},
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
    // What is in the trash can be restored, so it has a tree. What is in ERROR may have none: look, once nobody at work
    // for an operation that was given up can take it away any more.
    let taken_over;
    let mut seen = seen;
    if seen.status == Status::Error {
        with_tree(ctx, seen).await?;
        if !dry {
            fence::can_tell(ctx, &seen.volume).await?;
            let mut tx = ctx.store.begin("vfolder.take_over").await?;
            let done = take_over(&mut tx, warrant, seen, etag).await;
            taken_over = tx.finish(done).await?;
            seen = &taken_over;
            fence::tell_once(ctx, seen.id, &seen.volume, seen.epoch, seen.status).await?;
            with_tree(ctx, seen).await?;
        }
    }
    // Nobody writes into what is in the trash: without a storage-proxy to see to that, nothing is trashed.
    fence::can_tell(ctx, &seen.volume).await?;
    let retention = retention.unwrap_or(ctx.settings.trash.retention);
    let mut tx = ctx.store.begin("vfolder.delete").await?;
    // The take-over has looked at the caller's etag, and changed it.
    let own_etag = seen.etag();
    let etag = if seen.status == Status::Error && !dry {
        &own_etag
    } else {
        etag
    };
    let done = in_transaction(&mut tx, warrant, seen, etag, retention).await;
    let row = tx.finish_or_abandon(dry, done).await?;
    if !dry {
        fence::tell(ctx, &row).await;
    }
    Ok(row)
}

async fn take_over(
    tx: &mut Tx,
    warrant: &Warrant,
    seen: &Vfolder,
    etag: &str,
) -> Result<Vfolder, Refusal> {
    let mut locked = Locked::admit(tx, seen.id, warrant, etag).await?;
    if locked.row.status != Status::Error {
        return Err(Refusal::new(
            Reason::EtagMismatch,
            "the vfolder is no longer in ERROR; look at it again",
        ));
    }
    locked
        .take_over(tx, &warrant.caller.user, "DeleteVFolder")
        .await?;
    Ok(locked.row)
}

async fn with_tree(ctx: &Context, seen: &Vfolder) -> Result<(), Refusal> {
    let volume = seen.volume.as_str();
    let has_tree = ctx.volumes.owner(volume)?.has_tree(volume, seen.id).await;
    if has_tree.map_err(|e| e.into_refusal(volume))? {
        let mut tx = ctx.store.read("vfolder.was_whole").await?;
        if events::was_ready(&mut tx, seen.id).await? {
            return Ok(());
        }
        return Err(Refusal::new(
            Reason::ResetUnsafe,
            "its creation was given up, and nobody knows whether its tree is whole: purge it",
        ));
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
