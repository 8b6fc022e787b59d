//! Reading vfolders.

use std::collections::HashMap;

use vfolder_common::error::Refusal;

use super::refuse;
use crate::{
    context::Context,
    model::{Backing, Caller, Status, Warrant, settle},
    store::{Event, Id, Tx, Vfolder, events, operations, vfolders},
};

/// A vfolder with the names of its live operations.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The row, with the status that counts.
    pub row: Vfolder,
    /// The live operations on it.
    pub operations: Vec<Id>,
}

/// Adds to each row what is live on it, and corrects a MOUNTED whose mounts have all expired.
pub async fn show(tx: &mut Tx, rows: Vec<Vfolder>) -> Result<Vec<Shown>, Refusal> {
    let ids: Vec<Id> = rows.iter().map(|r| r.id).collect();
    let mut live: HashMap<Id, Vec<Id>> = HashMap::new();
    for (vfolder, operation) in operations::live_names(tx, &ids).await? {
        live.entry(vfolder).or_default().push(operation);
    }
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows {
        let (row, _) = as_it_counts(tx, row).await?;
        let operations = live.remove(&row.id).unwrap_or_default();
        shown.push(Shown { row, operations });
    }
    Ok(shown)
}

/// A row with the status that counts, and what backs a MOUNTED one.
pub async fn as_it_counts(tx: &mut Tx, mut row: Vfolder) -> Result<(Vfolder, Backing), Refusal> {
    while row.status == Status::Mounted {
        let now = tx.now().await?;
        let backing = vfolders::backing(tx, row.id, now).await?;
        let status = settle::effective(row.status, &backing);
        if status == row.status {
            return Ok((row, backing));
        }
        // Has its mount expired, or was it released since the row was read? Then the row has changed, and its old
        // revision never had the new status.
        match vfolders::get(tx, row.id).await? {
            Some(newer) if newer.revision != row.revision => row = newer,
            _ => row.status = status,
        }
    }
    Ok((row, Backing::default()))
}

/// Shows one row.
pub async fn show_one(ctx: &Context, row: Vfolder) -> Result<Shown, Refusal> {
    let mut tx = ctx.store.snapshot("vfolder.show").await?;
    let id = row.id;
    let shown = show(&mut tx, vec![row]).await;
    let shown = tx.abandon(shown).await?.into_iter().next();
    shown.ok_or_else(|| refuse::not_found(id))
}

/// Reads a vfolder that the caller may see.
pub async fn get(ctx: &Context, caller: &Caller, id: Id) -> Result<Shown, Refusal> {
    let mut tx = ctx.store.snapshot("vfolder.get").await?;
    let found = async {
        let row = vfolders::get(&mut tx, id).await?;
        let visible = row.filter(|r| r.permission(caller).is_some());
        let row = visible.ok_or_else(|| refuse::not_found(id))?;
        let shown = show(&mut tx, vec![row]).await?.into_iter().next();
        shown.ok_or_else(|| refuse::not_found(id))
    }
    .await;
    tx.abandon(found).await
}

/// After a refusal of a request with `allow_missing`: the vfolder, if somebody else has meanwhile done what was asked for.
pub async fn settled_meanwhile(
    ctx: &Context,
    warrant: &Warrant,
    id: Id,
    refusal: Refusal,
) -> Result<Vfolder, Refusal> {
    if !warrant.asked.allow_missing {
        return Err(refusal);
    }
    let mut tx = ctx.store.read("vfolder.settled_meanwhile").await?;
    match vfolders::get(&mut tx, id).await? {
        Some(row) if warrant.settled.contains(&row.status) => Ok(row),
        _ => Err(refusal),
    }
}

/// Reads a page, and after which vfolder the next one begins, if there is one: that one may not be on this page.
pub async fn list(
    ctx: &Context,
    caller: &Caller,
    mut filter: vfolders::Filter,
    size: i64,
) -> Result<(Vec<Shown>, Option<Id>), Refusal> {
    filter.visible_to = visible_to(caller);
    let mut tx = ctx.store.snapshot("vfolder.list").await?;
    let found = async {
        let mut rows = vfolders::list(&mut tx, &filter, size + 1).await?;
        let more = i64::try_from(rows.len()).is_ok_and(|n| n > size);
        rows.truncate(usize::try_from(size).unwrap_or_default());
        let next = rows.last().filter(|_| more).map(|row| row.id);
        Ok::<_, Refusal>((show(&mut tx, rows).await?, next))
    }
    .await;
    let (mut shown, next) = tx.abandon(found).await?;
    // MOUNTED whose mounts have all expired is shown as READY, and is not what was asked for.
    shown.retain(|s| filter.statuses.is_empty() || filter.statuses.contains(&s.row.status));
    Ok((shown, next))
}

/// Whose vfolders a caller sees. None: everybody's.
#[must_use]
pub fn visible_to(caller: &Caller) -> Option<(String, Vec<String>)> {
    (!caller.admin).then(|| (caller.user.clone(), caller.projects.clone()))
}

/// Reads a page of history, and whether there is another.
pub async fn history(
    ctx: &Context,
    id: Id,
    after: i64,
    size: i64,
) -> Result<(Vec<Event>, bool), Refusal> {
    let mut tx = ctx.store.read("vfolder.history").await?;
    let mut rows = events::list(&mut tx, id, after, size + 1).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|n| n > size);
    rows.truncate(usize::try_from(size).unwrap_or_default());
    Ok((rows, more))
}
