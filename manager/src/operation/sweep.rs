//! What time alone makes due: expired mounts, the end of the trash's retention, records that age out.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::time;
use tokio_util::sync::CancellationToken;
use vfolder_common::error::{Reason, Refusal};

use crate::{
    context::Context,
    model::{Access, Warrant},
    store::{Id, Tx, inspect, mounts, operations, requests, vfolders},
    vfolder::{Locked, purge},
};

/// The most rows that one sweep of a kind touches.
const BATCH: i64 = 200;
/// How long a request id is remembered.
const REQUEST_RETENTION: Duration = Duration::from_secs(86_400);
/// How often records and volumes are looked through for what nobody needs any more.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// Sweeps until told to stop.
pub async fn sweep(ctx: Context, stop: CancellationToken) {
    let mut kept_house: Option<Instant> = None;
    loop {
        let swept = async {
            expired_mounts(&ctx).await?;
            due_purges(&ctx).await?;
            if kept_house.is_none_or(|t| t.elapsed() >= HOUSEKEEPING) {
                kept_house = Some(Instant::now());
                aged_records(&ctx).await?;
                leftovers(&ctx).await?;
            }
            Ok::<_, Refusal>(())
        }
        .await;
        if let Err(refusal) = swept {
            tracing::warn!(error = %refusal, "sweep not finished; the next one goes on");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(ctx.settings.operations.tick) => {}
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
        tx.finish(done).await?;
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
            other => other?,
        }
    }
    Ok(())
}

async fn purge_if_due(tx: &mut Tx, warrant: &Warrant, id: Id) -> Result<(), Refusal> {
    let row = vfolders::lock(tx, id).await?;
    let now = tx.now().await?;
    // Restored and trashed again meanwhile, its time is another.
    if row.and_then(|r| r.purge_time).is_some_and(|t| t > now) {
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
        operations::remove_aged(&mut tx, now.minus(settings.operations.retention)).await?;
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
async fn leftovers(ctx: &Context) -> Result<(), Refusal> {
    for volume in ctx.volumes.names() {
        let Ok(proxy) = ctx.volumes.owner(volume) else {
            continue;
        };
        // A volume that is away has its turn another time.
        let Ok(contents) = proxy.contents(volume).await else {
            continue;
        };
        let mut contents = std::pin::pin!(contents);
        let mut ids: Vec<Id> = Vec::new();
        while let Some(Ok(found)) = contents.next().await {
            use vfolder_proto::storage::VolumeArea::{Journal, Staging};
            if matches!(found.area(), Journal | Staging)
                && let Ok(id) = found.id.parse()
            {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        for chunk in ids.chunks(500) {
            let mut tx = ctx.store.read("sweep.leftovers").await?;
            for (id, state) in inspect::states(&mut tx, chunk).await? {
                if !state.is_live()
                    && let Err(error) = proxy.forget_task(id, volume).await
                {
                    tracing::debug!(operation = %id, %error, "left for the next sweep");
                }
            }
        }
    }
    Ok(())
}
