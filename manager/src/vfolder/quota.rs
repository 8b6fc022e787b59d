//! Limits: what the storage-proxy is told, and the limits of owners.
//!
//! The manager keeps limits, the storage-proxy counts. Whatever lets somebody write brings the limits along (grants,
//! tasks), so that a lost message costs nothing but time; a change is also told at once, for those who hold grants
//! already, and for filesystems that keep limits themselves.

use vfolder_common::{
    error::Refusal,
    token::{Limits, Quota},
};
use vfolder_proto::storage::GetOwnerUsageResponse;

use crate::{
    context::Context,
    model::Owner,
    storage::QuotaOf,
    store::{OwnerQuota, StoreError, Tx, Vfolder, quotas, vfolders},
};

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

/// Tells the storage-proxy of a vfolder's limits that have changed. What fails is made good by the next grant or task.
pub async fn tell(ctx: &Context, row: &Vfolder) {
    let told = async {
        let mut tx = ctx.store.read("quota.tell").await?;
        let quota = told(&mut tx, row).await?;
        drop(tx);
        send(
            ctx,
            &row.volume,
            vec![QuotaOf {
                vfolder: row.id,
                quota,
            }],
        )
        .await
    };
    if let Err(error) = told.await {
        tracing::info!(vfolder = %row.id, %error, "storage-proxy not told of new limits; the next grant will");
    }
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
            ..none(volume, owner)
        };
        quotas::set(&mut tx, &row).await?;
        let theirs = quotas::vfolders_of(&mut tx, volume, owner).await?;
        Ok::<_, Refusal>((row, theirs))
    }
    .await;
    let (row, theirs) = tx.finish(done).await?;
    let told = theirs.iter().map(|vfolder| QuotaOf {
        vfolder: vfolder.id,
        quota: of(vfolder, Some(&row)),
    });
    if let Err(error) = send(ctx, volume, told.collect()).await {
        tracing::info!(owner = owner.key(), volume, %error, "storage-proxy not told of new limits; the next grants will");
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
    Ok(fits(quota.all.bytes, used.bytes.saturating_add(bytes))
        && fits(quota.all.files, used.files.saturating_add(files)))
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

async fn send(ctx: &Context, volume: &str, told: Vec<QuotaOf>) -> Result<(), Refusal> {
    if told.is_empty() {
        return Ok(());
    }
    let proxy = ctx.volumes.owner(volume)?;
    let sent = proxy.set_quotas(volume, &told).await;
    sent.map_err(|e| e.into_refusal(volume))
}
