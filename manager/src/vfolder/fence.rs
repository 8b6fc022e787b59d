//! Telling a storage-proxy that a tree has changed hands.
//!
//! What a storage-proxy remembers is never higher than the row's epoch: the row changes first, the storage-proxy is told
//! second, and what relies on it comes third. Operations bring their epochs along, and tell them ahead here, as far as that
//! is quick; what has no operation, the move to the trash and ResetStatus, tells it here.

use std::time::Duration;

use tokio::time;
use vfolder_common::error::Refusal;
use vfolder_proto::storage::StorageVolumeState;

use crate::{
    context::Context,
    model::{
        Access, Status,
        admission::{self, Conditions},
    },
    storage::{Fence, ProxyError, unavailable},
    store::{Id, Vfolder, vfolders},
};

/// How often it is tried at once, before it is left to the sweeper.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// The longest that a caller waits for what an operation does anyway.
const AHEAD: Duration = Duration::from_secs(1);

/// Whether the volume's storage-proxy can be told now. Asked before a change that it has to be told of, so that a change
/// is refused rather than half done.
pub async fn can_tell(ctx: &Context, volume: &str) -> Result<(), Refusal> {
    let found = ctx.volumes.owner(volume)?.volume(volume).await;
    let found = found.map_err(|e| e.into_refusal(volume))?;
    match found.state() {
        // What can't be written needs no fence against writers; readers are kept out once it can.
        StorageVolumeState::Serving | StorageVolumeState::ReadOnly => Ok(()),
        StorageVolumeState::Unavailable | StorageVolumeState::Unspecified => {
            Err(unavailable(volume, &found.message))
        }
    }
}

/// Keeps every writer with an older epoch, and every reader where none is admitted, out of the tree of a vfolder whose row
/// has been committed. What fails is left to the sweeper: the row says that it is still to be told.
pub async fn tell(ctx: &Context, row: &Vfolder) {
    for attempt in 1..=ATTEMPTS {
        match tell_once(ctx, row.id, &row.volume, row.epoch, row.status).await {
            Ok(()) => return,
            Err(refusal) => {
                tracing::warn!(vfolder = %row.id, attempt, error = %refusal, "storage-proxy not told of a change of hands");
            }
        }
        time::sleep(PAUSE).await;
    }
}

/// The same of what an operation will tell it once more, and may have to wait for its turn with for long: whom the status
/// keeps out at the gate, that keeps out of the storage-proxy too, as soon as the caller has his answer. What fails or takes
/// long is left to the operation.
pub async fn tell_ahead(ctx: &Context, id: Id, volume: &str, epoch: i64, status: Status) {
    let told = time::timeout(AHEAD, raise(ctx, id, volume, epoch, status));
    let problem = match told.await {
        Ok(Ok(())) => return,
        Ok(Err(refusal)) => refusal.to_string(),
        Err(_) => "it takes long".to_owned(),
    };
    tracing::debug!(vfolder = %id, problem, "storage-proxy not told of a change of hands; the operation tells it");
}

/// Tells it, and notes that it has been told.
pub async fn tell_once(
    ctx: &Context,
    id: Id,
    volume: &str,
    epoch: i64,
    status: Status,
) -> Result<(), Refusal> {
    raise(ctx, id, volume, epoch, status).await?;
    let mut tx = ctx.store.begin("vfolder.fenced").await?;
    let done = vfolders::mark_fenced(&mut tx, id, epoch).await;
    Ok(tx.finish(done).await?)
}

/// Readers stay where the status admits reading.
async fn raise(
    ctx: &Context,
    id: Id,
    volume: &str,
    epoch: i64,
    status: Status,
) -> Result<(), Refusal> {
    let fence = Fence {
        volume,
        vfolder: id,
        epoch,
        readers: !admission::admits(Access::Readable, status, Conditions::default()),
    };
    let refused = |e: ProxyError| e.into_refusal(volume);
    ctx.volumes
        .owner(volume)?
        .fence(&fence)
        .await
        .map_err(refused)
}
