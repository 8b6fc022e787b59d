//! What ended operations have left on the volumes.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use futures_util::StreamExt as _;
use tokio::time;
use tokio_util::sync::CancellationToken;
use vfolder_common::error::Refusal;

use crate::{
    context::Context,
    storage::ProxyError,
    store::{Id, inspect},
};

/// How long one volume may take to be cleared.
const VOLUME_PATIENCE: Duration = Duration::from_secs(60);

/// Clears the volumes until told to stop. Apart from the sweeper, because a volume that hangs must not keep the rest from
/// its turn.
pub async fn clear_volumes(ctx: Context, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = all(&ctx) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(ctx.settings.operations.housekeeping) => {}
        }
    }
}

/// What ended operations have left on the volumes, because the storage-proxy was away when they ended.
async fn all(ctx: &Context) {
    for volume in ctx.volumes.names() {
        match time::timeout(VOLUME_PATIENCE, clear(ctx, volume)).await {
            Ok(Ok(_)) => {}
            // A volume that is away has its turn another time.
            Ok(Err(refusal)) => tracing::debug!(volume, error = %refusal, "volume not cleared"),
            Err(_) => tracing::warn!(
                volume,
                "clearing the volume took too long; the next round goes on"
            ),
        }
    }
}

/// Clears one volume, and says how many operations' leftovers went.
pub async fn clear(ctx: &Context, volume: &str) -> Result<usize, Refusal> {
    use vfolder_proto::storage::VolumeArea::{Journal, Staging};

    let refused = |e: ProxyError| e.into_refusal(volume);
    let proxy = ctx.volumes.owner(volume)?;
    let mut contents = pin!(proxy.contents(volume).await.map_err(refused)?);
    let mut ids: BTreeSet<Id> = BTreeSet::new();
    while let Some(found) = contents.next().await {
        let found = found.map_err(refused)?;
        if matches!(found.area(), Journal | Staging)
            && let Ok(id) = found.id.parse()
        {
            ids.insert(id);
        }
    }
    // The volume was read first: an operation has its record before anything of it comes onto a volume, so one without
    // a record has ended and was forgotten.
    let all: Vec<Id> = ids.iter().copied().collect();
    for chunk in all.chunks(500) {
        let mut look = ctx.store.read("sweep.leftovers").await?;
        for (id, state) in inspect::states(&mut look, chunk).await? {
            if state.is_live() {
                ids.remove(&id);
            }
        }
    }
    let mut cleared = 0;
    for id in ids {
        match proxy.forget_task(id, volume).await {
            Ok(()) => cleared += 1,
            Err(error) => tracing::debug!(operation = %id, %error, "left for the next round"),
        }
    }
    Ok(cleared)
}
