//! What time alone makes due: expired mounts, the end of the trash's retention, records that age out.

use std::{
    collections::BTreeSet,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use tokio::time;
use tokio_util::sync::CancellationToken;
use vfolder_common::error::{Reason, Refusal};

use crate::{
    context::Context,
    model::{Access, Status, Warrant},
    storage::ProxyError,
    store::{Id, Tx, inspect, mounts, operations, requests, vfolders},
    vfolder::{Locked, purge},
};

/// The most rows that one sweep of a kind touches.
const BATCH: i64 = 200;
/// How long a request id is remembered.
const REQUEST_RETENTION: Duration = Duration::from_secs(86_400);
/// How long one volume may take to be cleared.
const VOLUME_PATIENCE: Duration = Duration::from_secs(60);
/// How often records and volumes are looked through for what nobody needs any more.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

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
    expired_mounts(ctx).await.unwrap_or_else(log("mounts"));
    due_purges(ctx).await.unwrap_or_else(log("trash"));
    if kept_house.is_none_or(|t| t.elapsed() >= HOUSEKEEPING) {
        *kept_house = Some(Instant::now());
        aged_records(ctx).await.unwrap_or_else(log("records"));
    }
}

/// Clears the volumes until told to stop. Apart from [`sweep`], because a volume that hangs must not keep the rest from
/// its turn.
pub async fn clear_volumes(ctx: Context, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = leftovers(&ctx) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(HOUSEKEEPING) => {}
        }
    }
}

/// Taking the lock sweeps a vfolder's expired mounts.
async fn expired_mounts(ctx: &Context) -> Result<(), Refusal> {
    let mut look = ctx.store.read("sweep.mounts").await?;
    let now = look.now().await?;
    let due = mounts::vfolders_with_expired(&mut look, now, BATCH).await?;
    drop(look);
    for id in due {
        let mut tx = ctx.store.begin("sweep.mount").await?;
        let done = Locked::take(&mut tx, id).await;
        if let Err(refusal) = tx.finish(done).await {
            tracing::warn!(vfolder = %id, error = %refusal, "mounts not swept; the next sweep tries again");
        }
    }
    Ok(())
}

async fn due_purges(ctx: &Context) -> Result<(), Refusal> {
    let mut look = ctx.store.read("sweep.trash").await?;
    let now = look.now().await?;
    let due = vfolders::due_for_purge(&mut look, now, BATCH).await?;
    drop(look);
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
    purge::begin(tx, warrant, id, "", "trash retention")
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
        let before = now.minus(settings.trash.tombstone_retention);
        for id in vfolders::aged_out(&mut tx, before, BATCH).await? {
            vfolders::remove(&mut tx, id).await?;
        }
        Ok(())
    }
    .await;
    tx.finish(done).await
}

/// What ended operations have left on the volumes, because the storage-proxy was away when they ended.
async fn leftovers(ctx: &Context) {
    for volume in ctx.volumes.names() {
        match time::timeout(VOLUME_PATIENCE, leftovers_on(ctx, volume)).await {
            Ok(Ok(())) => {}
            // A volume that is away has its turn another time.
            Ok(Err(refusal)) => tracing::debug!(volume, error = %refusal, "volume not cleared"),
            Err(_) => tracing::warn!(
                volume,
                "clearing the volume took too long; the next round goes on"
            ),
        }
    }
}

async fn leftovers_on(ctx: &Context, volume: &str) -> Result<(), Refusal> {
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
    for id in ids {
        if let Err(error) = proxy.forget_task(id, volume).await {
            tracing::debug!(operation = %id, %error, "left for the next round");
        }
    }
    Ok(())
}
