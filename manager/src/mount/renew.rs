//! Renewing a mount.

use std::time::Duration;

use vfolder_common::error::{Reason, Refusal};

use super::not_found;
use crate::{
    context::Context,
    model::Warrant,
    store::{Id, Mount, Tx, Vfolder, mounts},
    vfolder::Locked,
};

/// Moves a mount's expiry to `ttl` from now.
pub async fn renew(
    ctx: &Context,
    warrant: &Warrant,
    vfolder: Id,
    id: Id,
    ttl: Duration,
) -> Result<(Mount, Vfolder), Refusal> {
    let mut tx = ctx.store.begin("mount.renew").await?;
    let done = in_transaction(&mut tx, warrant, vfolder, id, ttl).await;
    tx.finish(done).await
}

async fn in_transaction(
    tx: &mut Tx,
    warrant: &Warrant,
    vfolder: Id,
    id: Id,
    ttl: Duration,
) -> Result<(Mount, Vfolder), Refusal> {
    // Sweeps what has expired: a mount found afterwards is live.
    let locked = Locked::admit(tx, vfolder, warrant, "").await?;
    let found = mounts::get(tx, id).await?;
    let mut mount = found
        .filter(|m| m.vfolder_id == vfolder)
        .ok_or_else(|| not_found(id))?;
    if mount.holder != warrant.caller.user && !warrant.caller.admin {
        return Err(Refusal::new(
            Reason::PermissionTooSmall,
            format!("the mount is {}'s; only its holder renews it", mount.holder),
        ));
    }
    mount.expire_time = locked.now.plus(ttl);
    mounts::extend(tx, id, mount.expire_time).await?;
    Ok((mount, locked.row))
}
