//! What time alone makes due: expired mounts, the end of the trash's retention, records that age out.

use std::{
    future::ready,
    time::{Duration, Instant},
};

use futures_util::{
    future::try_join_all,
    stream::{self, StreamExt as _},
};
use tokio::time;
use tokio_util::sync::CancellationToken;
use vfolder_common::error::{Reason, Refusal};

use crate::{
    context::Context,
    model::{Access, Lane, State, Status, Warrant},
    store::{Id, Tx, feed, mounts, operations, queue, requests, vfolders},
    vfolder::{Locked, fence, purge, quota},
};

/// The most rows that one sweep of a kind touches.
const BATCH: i64 = 200;
/// The most fences of a volume that one sweep tells: each is a call.
const FENCES: i64 = 200;
/// Of those, at once.
const FENCES_AT_ONCE: usize = 8;
/// The retention adds no more to a volume's queue of purges than so many; what is due stays due.
const QUEUED_PURGES: i64 = 500;
/// How long a request id is remembered.
const REQUEST_RETENTION: Duration = Duration::from_secs(86_400);

/// Sweeps until told to stop.
pub async fn sweep(ctx: Context, stop: CancellationToken) {
    let mut kept_house: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = once(&ctx, &mut kept_house) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(ctx.settings.operations.tick) => {}
        }
    }
}

/// What fails is logged, and neither keeps the rest from its turn nor is forgotten: the next sweep finds it again.
async fn once(ctx: &Context, kept_house: &mut Option<Instant>) {
    let log = |what: &'static str| move |refusal: Refusal| tracing::warn!(what, error = %refusal, "sweep not finished; the next one goes on");
    expired_mounts(ctx)
        .await
        .map(drop)
        .unwrap_or_else(log("mounts"));
    due_purges(ctx).await.unwrap_or_else(log("trash"));
    if kept_house.is_none_or(|t| t.elapsed() >= ctx.settings.operations.housekeeping) {
        *kept_house = Some(Instant::now());
        aged_records(ctx).await.unwrap_or_else(log("records"));
    }
}

/// Tells the storage-proxies what they could not be told when it happened, until told to stop. Apart from the rest, because
/// a storage-proxy that is away takes long to be found so.
pub async fn tell_fences(ctx: Context, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            told = untold_fences(&ctx) => {
                if let Err(refusal) = told {
                    tracing::warn!(error = %refusal, "fences not told; the next sweep goes on");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(ctx.settings.operations.tick) => {}
        }
    }
}

/// Tells the storage-proxies about quotas what they have not heard when it happened, until told to stop. Apart from the rest,
/// for the same reason.
pub async fn tell_quotas(ctx: Context, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            told = quota::tell_rest(&ctx) => {
                if let Err(refusal) = told {
                    tracing::warn!(error = %refusal, "quotas not told; the next sweep goes on");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(ctx.settings.operations.tick) => {}
        }
    }
}

/// Tells what is untold, as far as the storage-proxies answer, and says how many. Side by side, of volumes and vfolders: one
/// that a writer does not leave, on a disk that hangs, takes seconds each time.
pub async fn untold_fences(ctx: &Context) -> Result<usize, Refusal> {
    let volumes = ctx.volumes.names();
    let told = try_join_all(volumes.map(|volume| untold_fences_on(ctx, volume))).await?;
    Ok(told.into_iter().sum())
}

async fn untold_fences_on(ctx: &Context, volume: &str) -> Result<usize, Refusal> {
    let mut look = ctx.store.read("sweep.fences").await?;
    let untold = vfolders::unfenced(&mut look, volume, FENCES).await?;
    drop(look);
    if untold.is_empty() || fence::can_tell(ctx, volume).await.is_err() {
        return Ok(0);
    }
    let telling = stream::iter(untold).map(async |(id, epoch)| {
        let told = fence::tell_once(ctx, id, volume, epoch, Status::Trashed).await;
        told.inspect_err(|error| {
            tracing::debug!(volume, vfolder = %id, %error, "left for the next sweep");
        })
        .is_ok()
    });
    let told = telling.buffer_unordered(FENCES_AT_ONCE);
    Ok(told.filter(|told| ready(*told)).count().await)
}

/// Taking the lock sweeps a vfolder's expired mounts. Says how many vfolders had some.
pub async fn expired_mounts(ctx: &Context) -> Result<usize, Refusal> {
    let mut look = ctx.store.read("sweep.mounts").await?;
    let now = look.now().await?;
    let due = mounts::vfolders_with_expired(&mut look, now, BATCH).await?;
    drop(look);
    let mut swept = 0;
    for id in due {
        let mut tx = ctx.store.begin("sweep.mount").await?;
        let done = Locked::take(&mut tx, id).await;
        match tx.finish(done).await {
            Ok(_) => swept += 1,
            Err(refusal) => {
                tracing::warn!(vfolder = %id, error = %refusal, "mounts not swept; the next sweep tries again");
            }
        }
    }
    Ok(swept)
}

async fn due_purges(ctx: &Context) -> Result<(), Refusal> {
    for volume in ctx.volumes.names() {
        due_purges_on(ctx, volume).await?;
    }
    Ok(())
}

async fn due_purges_on(ctx: &Context, volume: &str) -> Result<(), Refusal> {
    let mut look = ctx.store.read("sweep.trash").await?;
    let queued = queue::count(&mut look, volume, Lane::Destroy, State::Pending).await?;
    let room = BATCH.min(QUEUED_PURGES - queued);
    if room <= 0 {
        return Ok(());
    }
    let now = look.now().await?;
    let due = vfolders::due_for_purge(&mut look, volume, now, room).await?;
    drop(look);
    if due.is_empty() {
        return Ok(());
    }
    // What can't be removed now stays in the trash, from where it can be restored; a purge that fails ends in ERROR.
    if let Err(refusal) = ctx.volumes.writable(volume).await {
        tracing::debug!(volume, error = %refusal, "what is due for purge waits until its volume can be written");
        return Ok(());
    }
    let warrant = Warrant::system(Access::Purgable);
    for id in due {
        let mut tx = ctx.store.begin("sweep.purge").await?;
        let done = purge_if_due(&mut tx, &warrant, id).await;
        match tx.finish(done).await {
            // Restored or purged by somebody meanwhile.
            Err(r)
                if matches!(
                    r.reason(),
                    Reason::VFolderStatus | Reason::VFolderBusy | Reason::VFolderNotFound
                ) => {}
            Err(refusal) => {
                tracing::warn!(vfolder = %id, error = %refusal, "not purged; the next sweep tries again")
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

async fn purge_if_due(tx: &mut Tx, warrant: &Warrant, id: Id) -> Result<(), Refusal> {
    let row = vfolders::lock(tx, id).await?;
    let now = tx.now().await?;
    // Restored meanwhile, or trashed again with another time.
    if row.is_none_or(|r| r.status != Status::Trashed || r.purge_time.is_none_or(|t| t > now)) {
        return Ok(());
    }
    purge::begin(tx, warrant, id, "", "trash retention", None)
        .await
        .map(|_| ())
}

async fn aged_records(ctx: &Context) -> Result<(), Refusal> {
    let mut tx = ctx.store.begin("sweep.records").await?;
    let done = async {
        let now = tx.now().await?;
        let settings = &ctx.settings;
        requests::remove_aged(&mut tx, now.minus(REQUEST_RETENTION)).await?;
        // A request that is remembered needs its operation.
        let retention = settings.operations.retention.max(REQUEST_RETENTION);
        operations::remove_aged(&mut tx, now.minus(retention)).await?;
        // For the same reason: with a vfolder go its operations.
        let tombstones = settings.trash.tombstone_retention.max(REQUEST_RETENTION);
        let before = now.minus(tombstones);
        for id in vfolders::aged_out(&mut tx, before, BATCH).await? {
            if feed::raise_horizon(&mut tx, id).await? {
                vfolders::remove(&mut tx, id).await?;
            }
        }
        Ok(())
    }
    .await;
    tx.finish(done).await
}
