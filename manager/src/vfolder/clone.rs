//! Copying a vfolder.

use vfolder_common::error::Refusal;
use vfolder_proto::storage::{CloneEstimate, GetTreeUsageResponse, StorageVolume};

use super::{
    Cause, Locked, NewVfolder,
    create::{self, Begun},
    fence, quota,
    replay::{self, RequestKey},
};
use crate::{
    context::Context,
    model::{Kind, Status, Transition, Warrant},
    store::{Id, Operation, Tx, vfolders},
};

/// What a clone would take.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// The source's entries and bytes.
    pub usage: GetTreeUsageResponse,
    /// Bytes free on the volume.
    pub available: u64,
    /// Inodes free on the volume; none where there is no such limit.
    pub available_files: Option<u64>,
    /// The limits that it would count for admit it.
    pub within_quota: bool,
}

impl Estimate {
    /// What is free on a volume in this state, for so much.
    #[must_use]
    pub fn new(usage: GetTreeUsageResponse, state: &StorageVolume) -> Self {
        Self {
            usage,
            available: state.available_bytes,
            available_files: (state.total_inodes > 0).then_some(state.available_inodes),
            within_quota: true,
        }
    }

    /// Whether there is room for a clone of it.
    #[must_use]
    pub fn fits(&self) -> bool {
        let needed = self.usage.clone.unwrap_or(CloneEstimate {
            disk_bytes: self.usage.disk_bytes,
            inodes: self.usage.entries,
            ..CloneEstimate::default()
        });
        self.within_quota
            && needed.disk_bytes <= self.available
            && self
                .available_files
                .is_none_or(|files| needed.inodes <= files)
    }
}

/// What became of the request.
pub enum Cloned {
    /// Only checked: the operation as it would be, and what it would take.
    Checked(Box<Operation>, Estimate),
    /// Begun, now or when the request came first.
    Begun(Box<Operation>),
}

/// Writes the destination's row and the operation that copies the tree, and makes the source CLONING. With a `receipt`,
/// the copy is digested before it is published.
pub async fn clone(
    ctx: &Context,
    warrant: &Warrant,
    source: Id,
    new: NewVfolder,
    receipt: bool,
    key: Option<RequestKey>,
    dry: bool,
) -> Result<Cloned, Refusal> {
    if let Some(id) = replay::seen(ctx, key.as_ref()).await? {
        return replay::begun(ctx, id)
            .await
            .map(|o| Cloned::Begun(Box::new(o)));
    }
    let volume = new.volume.clone();
    let state = ctx.volumes.writable(&volume).await?;
    let mut tx = ctx.store.begin("vfolder.clone").await?;
    let done = in_transaction(ctx, &mut tx, warrant, source, new, receipt, key.as_ref()).await;
    let (made, op) = match tx.finish_or_abandon(dry, done).await? {
        Begun::Now(row, op) if dry => (row, op),
        Begun::Now(_, op) => {
            fence::tell_ahead(ctx, source, &volume, op.source_epoch, Status::Cloning).await;
            return Ok(Cloned::Begun(op));
        }
        Begun::Before(id) => {
            return Ok(Cloned::Begun(Box::new(replay::begun(ctx, id).await?)));
        }
    };
    let mut estimate = estimate(ctx, &volume, source, &state).await?;
    // The root counts for the walk, and not for a limit.
    let (bytes, files) = (
        estimate.usage.bytes,
        estimate.usage.entries.saturating_sub(1),
    );
    estimate.within_quota = quota::admits(ctx, &made, bytes, files).await?;
    Ok(Cloned::Checked(op, estimate))
}

async fn in_transaction(
    ctx: &Context,
    tx: &mut Tx,
    warrant: &Warrant,
    source: Id,
    new: NewVfolder,
    receipt: bool,
    key: Option<&RequestKey>,
) -> Result<Begun, Refusal> {
    // Equal requests wait for each other here; the second finds what the first began, whatever the status is by then.
    vfolders::lock(tx, source).await?;
    if let Some(key) = key
        && let Some(id) = key.seen(tx).await?
    {
        return Ok(Begun::Before(id));
    }
    let mut locked = Locked::admit(tx, source, warrant, "").await?;
    let row = new.into_row(&warrant.caller.user, locked.now);
    let mut op = Operation::new(Kind::Clone, row.id, Some(source), &row.volume, locked.now);
    op.requester.clone_from(&warrant.caller.user);
    op.receipt = receipt;
    op.epoch = row.epoch;
    op.owner = row.owner().key();
    let cause = Cause {
        action: "CloneVFolder",
        actor: warrant.caller.user.clone(),
        // Not where to: who sees the source need not see the destination.
        operation: Some(op.id),
        ..Cause::default()
    };
    locked
        .change(tx, Transition::CloneStart, Status::Cloning, cause, |_| {})
        .await?;
    op.source_epoch = locked.row.epoch;
    create::begin(ctx, tx, &row, &op, "CloneVFolder", key).await?;
    Ok(Begun::Now(Box::new(row), Box::new(op)))
}

/// Counts the source.
pub async fn estimate(
    ctx: &Context,
    volume: &str,
    source: Id,
    state: &StorageVolume,
) -> Result<Estimate, Refusal> {
    let usage = ctx
        .volumes
        .owner(volume)?
        .usage(volume, source)
        .await
        .map_err(|e| e.into_refusal(volume))?;
    Ok(Estimate::new(usage, state))
}
