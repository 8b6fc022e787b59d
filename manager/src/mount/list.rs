//! Reading mounts.

use vfolder_common::error::Refusal;

use crate::{
    context::Context,
    store::{Id, Mount, mounts},
};

/// Reads a page of the live mounts of a vfolder, and whether there is another.
pub async fn list(
    ctx: &Context,
    vfolder: Id,
    after: Option<Id>,
    size: i64,
) -> Result<(Vec<Mount>, bool), Refusal> {
    let mut tx = ctx.store.read("mount.list").await?;
    let now = tx.now().await?;
    let mut rows = mounts::live_on(&mut tx, vfolder, now, after, size + 1).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|n| n > size);
    rows.truncate(usize::try_from(size).unwrap_or_default());
    Ok((rows, more))
}
