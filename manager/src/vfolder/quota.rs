//! Limits: what the storage-proxy is told, and the limits of owners.
//!
//! The manager keeps limits, the storage-proxy counts. Whatever lets somebody write brings the limits along (grants,
//! tasks). A change is also told at once, and so is the end of a session that may have written: for those who hold grants
//! already, for the owner's other vfolders, and for filesystems that keep limits themselves. What was not heard is noted in
//! the row that has changed, in the same transaction, and told again until it is (`untold`): a lost message costs time only.

use vfolder_common::{
    error::{Reason, Refusal},
    token::{Limits, Quota},
};
use vfolder_proto::storage::GetOwnerUsageResponse;

use crate::{
    context::Context,
    model::Owner,
    storage::QuotaOf,
    store::{OwnerQuota, StoreError, Tx, Vfolder, quotas, vfolders},
};

/// So many vfolders are told of in one call: a write to disk for each has to fit into the call's time.
const AT_ONCE: u8 = 64;
/// So many calls in one sweep of a volume.
const ROUNDS: usize = 64;

/// What the storage-proxy of a vfolder needs to know.
pub async fn told(tx: &mut Tx, row: &Vfolder) -> Result<Quota, StoreError> {
    let all = quotas::get(tx, &row.volume, &row.owner()).await?;
    Ok(of(row, all.as_ref()))
}

fn of(row: &Vfolder, all: Option<&OwnerQuota>) -> Quota {
    Quota {
        owner: row.owner().key(),
        revision: row.revision,
        vfolder: limits(row.max_bytes, row.max_files),
        mounted: row.mounted_revision,
        owner_revision: all.map_or(0, |all| all.revision),
        all: all.map_or_else(Limits::default, |all| limits(all.max_bytes, all.max_files)),
    }
}

fn limits(bytes: i64, files: i64) -> Limits {
    Limits {
        bytes: u64::try_from(bytes).unwrap_or_default(),
        files: u64::try_from(files).unwrap_or_default(),
    }
}

/// An owner's limits on a volume, and what is used of them.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The limits. With revision 0: there have never been any.
    pub row: OwnerQuota,
    /// What the storage-proxy has counted; nothing if it doesn't answer.
    pub usage: Option<GetOwnerUsageResponse>,
}

/// Tells the storage-proxy of a vfolder's limits that have changed, or of a session that has ended. What fails is told again
/// later, and by the next grant or task.
pub async fn tell(ctx: &Context, row: &Vfolder) {
    if let Err(error) = tell_of(ctx, &row.volume, std::slice::from_ref(row)).await {
        tracing::info!(vfolder = %row.id, %error, "storage-proxy not told of limits; it will be");
    }
}

/// Tells it of some, and notes that it has heard.
async fn tell_of(ctx: &Context, volume: &str, rows: &[Vfolder]) -> Result<(), Refusal> {
    let mut tx = ctx.store.read("quota.tell").await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let (vfolder, quota) = (row.id, told(&mut tx, row).await?);
        all.push(QuotaOf { vfolder, quota });
    }
    drop(tx);
    send(ctx, volume, &all).await?;
    let untold: Vec<_> = rows.iter().filter(|row| row.quota_untold).collect();
    if untold.is_empty() {
        return Ok(());
    }
    let mut tx = ctx.store.begin("quota.told").await?;
    let done = async {
        // By id, as all who lock several.
        for row in untold {
            quotas::mark_told(&mut tx, row.id, row.revision).await?;
        }
        Ok::<_, StoreError>(())
    }
    .await;
    Ok(tx.finish(done).await?)
}

/// Tells it of an owner's limits and which vfolders they are about, and notes that it has heard.
async fn tell_of_owner(ctx: &Context, row: &OwnerQuota) -> Result<(), Refusal> {
    let mut tx = ctx.store.read("quota.tell").await?;
    let theirs = quotas::vfolders_of(&mut tx, &row.volume, &row.owner()).await?;
    drop(tx);
    let all: Vec<_> = theirs
        .iter()
        .map(|vfolder| QuotaOf {
            vfolder: vfolder.id,
            quota: of(vfolder, Some(row)),
        })
        .collect();
    send(ctx, &row.volume, &all).await?;
    let mut tx = ctx.store.begin("quota.told").await?;
    let done = quotas::mark_owner_told(&mut tx, row).await;
    Ok(tx.finish(done).await?)
}

/// Tells the storage-proxies what they have not heard yet, as far as they answer.
///
/// # Errors
/// Those of the store.
pub async fn tell_rest(ctx: &Context) -> Result<(), Refusal> {
    for volume in ctx.volumes.names() {
        if let Err(error) = tell_rest_of(ctx, volume).await {
            if error.reason() == Reason::StoreUnavailable {
                return Err(error);
            }
            tracing::debug!(volume, %error, "the rest about quotas is left for the next sweep");
        }
    }
    Ok(())
}

async fn tell_rest_of(ctx: &Context, volume: &str) -> Result<(), Refusal> {
    // More is left for the next sweep.
    for _ in 0..ROUNDS {
        let mut tx = ctx.store.read("quota.untold").await?;
        let rows = quotas::untold(&mut tx, volume, i64::from(AT_ONCE)).await?;
        drop(tx);
        let all = match tell_of(ctx, volume, &rows).await {
            Ok(()) => true,
            Err(error) if is_about_all(&error) => return Err(error),
            // It is about one of them, and takes none of the others' limits away.
            Err(_) => tell_one_by_one(ctx, volume, &rows).await?,
        };
        if !all || rows.len() < usize::from(AT_ONCE) {
            break;
        }
    }
    let mut tx = ctx.store.read("quota.untold").await?;
    let owners = quotas::untold_owners(&mut tx, volume, i64::from(AT_ONCE)).await?;
    drop(tx);
    for row in owners {
        match tell_of_owner(ctx, &row).await {
            Err(error) if is_about_all(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(volume, owner = %row.owner().key(), %error, "storage-proxy not told of limits");
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// False: it could not be told of all of them.
async fn tell_one_by_one(ctx: &Context, volume: &str, rows: &[Vfolder]) -> Result<bool, Refusal> {
    let mut all = true;
    for row in rows {
        match tell_of(ctx, volume, std::slice::from_ref(row)).await {
            Err(error) if is_about_all(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(vfolder = %row.id, %error, "storage-proxy not told of limits");
                all = false;
            }
            Ok(()) => {}
        }
    }
    Ok(all)
}

/// Nobody can be told at this moment.
fn is_about_all(error: &Refusal) -> bool {
    matches!(
        error.reason(),
        Reason::StoreUnavailable | Reason::VolumeUnavailable
    )
}

/// Writes an owner's limits on a volume, and tells the storage-proxy which vfolders they are about.
pub async fn set(
    ctx: &Context,
    volume: &str,
    owner: &Owner,
    max_bytes: i64,
    max_files: i64,
) -> Result<Shown, Refusal> {
    let mut tx = ctx.store.begin("quota.set").await?;
    let done = async {
        vfolders::take_owner_turn(&mut tx, owner).await?;
        let before = quotas::get(&mut tx, volume, owner).await?;
        let row = OwnerQuota {
            max_bytes,
            max_files,
            revision: before.map_or(1, |before| before.revision + 1),
            update_time: tx.now().await?,
            untold: true,
            ..none(volume, owner)
        };
        quotas::set(&mut tx, &row).await?;
        Ok::<_, Refusal>(row)
    }
    .await;
    let row = tx.finish(done).await?;
    if let Err(error) = tell_of_owner(ctx, &row).await {
        tracing::info!(owner = owner.key(), volume, %error, "storage-proxy not told of new limits; it will be");
    }
    Ok(with_usage(ctx, row).await)
}

/// Reads an owner's limits on a volume.
pub async fn get(ctx: &Context, volume: &str, owner: &Owner) -> Result<Shown, Refusal> {
    let mut tx = ctx.store.read("quota.get").await?;
    let row = quotas::get(&mut tx, volume, owner).await?;
    drop(tx);
    Ok(with_usage(ctx, row.unwrap_or_else(|| none(volume, owner))).await)
}

/// Reads a page of a volume's limits.
pub async fn list(
    ctx: &Context,
    volume: &str,
    after: Option<&Owner>,
    size: i64,
) -> Result<(Vec<OwnerQuota>, bool), Refusal> {
    let mut tx = ctx.store.read("quota.list").await?;
    let mut rows = quotas::list(&mut tx, volume, after, size + 1).await?;
    let size = usize::try_from(size).unwrap_or_default();
    let more = rows.len() > size;
    rows.truncate(size);
    Ok((rows, more))
}

/// Whether a vfolder of so many bytes and entries, to be made, is within its own limits and its owner's.
pub async fn admits(ctx: &Context, row: &Vfolder, bytes: u64, files: u64) -> Result<bool, Refusal> {
    let fits = |limit: u64, wanted: u64| limit == 0 || wanted <= limit;
    let mut tx = ctx.store.read("quota.admits").await?;
    let quota = told(&mut tx, row).await?;
    drop(tx);
    if !fits(quota.vfolder.bytes, bytes) || !fits(quota.vfolder.files, files) {
        return Ok(false);
    }
    if !quota.all.any() {
        return Ok(true);
    }
    let used = ctx.volumes.owner(&row.volume)?;
    let used = used.owner_usage(&row.volume, &quota.owner).await;
    let used = used.map_err(|e| e.into_refusal(&row.volume))?;
    // What is under way is there soon.
    let bytes = bytes.saturating_add(used.bytes.saturating_add(used.reserved_bytes));
    let files = files.saturating_add(used.files.saturating_add(used.reserved_files));
    Ok(fits(quota.all.bytes, bytes) && fits(quota.all.files, files))
}

fn none(volume: &str, owner: &Owner) -> OwnerQuota {
    OwnerQuota {
        volume: volume.to_owned(),
        owner_kind: owner.kind().into(),
        owner_id: owner.id().into(),
        max_bytes: 0,
        max_files: 0,
        revision: 0,
        update_time: crate::store::Timestamp(0),
        untold: false,
    }
}

async fn with_usage(ctx: &Context, row: OwnerQuota) -> Shown {
    let usage = async {
        let proxy = ctx.volumes.owner(&row.volume)?;
        let used = proxy.owner_usage(&row.volume, &row.owner().key()).await;
        used.map_err(|e| e.into_refusal(&row.volume))
    };
    let usage = usage.await;
    if let Err(error) = &usage {
        tracing::debug!(volume = row.volume, %error, "limits are shown without what is used");
    }
    Shown {
        usage: usage.ok(),
        row,
    }
}

async fn send(ctx: &Context, volume: &str, told: &[QuotaOf]) -> Result<(), Refusal> {
    let proxy = ctx.volumes.owner(volume)?;
    for some in told.chunks(usize::from(AT_ONCE)) {
        let sent = proxy.set_quotas(volume, some).await;
        sent.map_err(|e| e.into_refusal(volume))?;
    }
    Ok(())
}
