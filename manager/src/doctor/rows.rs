//! Rows against rows, and rows against trees: invariants 1 to 4.

use std::collections::HashSet;

use vfolder_common::error::Refusal;

use super::{Report, trees::Contents};
use crate::{
    context::Context,
    model::{State, Status, settle},
    store::{Id, Operation, Tx, Vfolder, inspect, vfolders},
};

const PAGE: i64 = 500;

/// Checks every vfolder, live operation and mount.
pub(super) async fn check(
    ctx: &Context,
    volumes: &[Contents],
    report: &mut Report,
) -> Result<(), Refusal> {
    let mut after = None;
    let mut known = HashSet::new();
    loop {
        let mut look = ctx.store.read("doctor.page").await?;
        let page = inspect::vfolders(&mut look, after, PAGE).await?;
        drop(look);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for row in page {
            known.insert(row.id);
            report.checked.vfolders += 1;
            one(ctx, row.id, volumes, report).await?;
        }
    }
    let mut look = ctx.store.read("doctor.operations").await?;
    for op in inspect::live_operations(&mut look).await? {
        report.checked.live_operations += 1;
        operation(&op, &known, report);
    }
    report.checked.mounts = inspect::mounts(&mut look).await?.len();
    Ok(())
}

/// One vfolder, under its lock, so that row, event and backing belong together.
async fn one(
    ctx: &Context,
    id: Id,
    volumes: &[Contents],
    report: &mut Report,
) -> Result<(), Refusal> {
    let mut tx = ctx.store.begin("doctor.vfolder").await?;
    let done = rows(&mut tx, id, volumes, report).await;
    tx.abandon(done).await
}

async fn rows(
    tx: &mut Tx,
    id: Id,
    volumes: &[Contents],
    report: &mut Report,
) -> Result<(), Refusal> {
    let Some(row) = vfolders::lock(tx, id).await? else {
        return Ok(());
    };
    match inspect::last_event(tx, id).await? {
        None => report.violation(1, id.to_string(), "it has no history"),
        Some(event) if event.sequence != row.revision || event.to_status != row.status => report
            .violation(
                1,
                id.to_string(),
                format!(
                    "it is {} at revision {}, but its last event says {} at {}",
                    row.status, row.revision, event.to_status, event.sequence
                ),
            ),
        Some(_) => {}
    }
    let now = tx.now().await?;
    let backing = vfolders::backing(tx, id, now).await?;
    if !settle::is_backed(row.status, &backing) {
        let invariant = if row.status.is_transient() || row.status == Status::Mounted {
            2
        } else {
            3
        };
        report.violation(
            invariant,
            id.to_string(),
            format!("it is {} and what backs it is {backing:?}", row.status),
        );
    }
    tree(&row, volumes, report);
    Ok(())
}

/// A vfolder that can be read or restored has a whole tree, a tombstone has none.
fn tree(row: &Vfolder, volumes: &[Contents], report: &mut Report) {
    let Some(volume) = volumes.iter().find(|v| v.volume == row.volume) else {
        if row.status != Status::Deleted {
            report.unchecked(
                row.id.to_string(),
                format!(
                    "its volume \"{}\" is not configured or does not answer",
                    row.volume
                ),
            );
        }
        return;
    };
    let has = volume.trees.contains(&row.id);
    match row.status {
        Status::Ready
        | Status::Mounted
        | Status::Cloning
        | Status::Performing
        | Status::Trashed
            if !has =>
        {
            report.violation(
                4,
                row.id.to_string(),
                format!(
                    "it is {} but volume \"{}\" has no tree of it",
                    row.status, row.volume
                ),
            );
        }
        Status::Deleted if has => {
            report.violation(
                4,
                row.id.to_string(),
                format!(
                    "it is DELETED but volume \"{}\" has a tree of it",
                    row.volume
                ),
            );
        }
        _ => {}
    }
}

fn operation(op: &Operation, known: &HashSet<Id>, report: &mut Report) {
    if let Some(source) = op.source_id
        && !known.contains(&source)
    {
        report.violation(
            2,
            op.name(),
            format!("it copies {source}, which has no record"),
        );
    }
    let leased = op.lease_owner.is_some() && op.lease_expire_time.is_some();
    if (op.state == State::Running) != leased {
        report.violation(
            2,
            op.name(),
            format!("it is {} and its lease is {:?}", op.state, op.lease_owner),
        );
    }
}
