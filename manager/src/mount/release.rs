//! Releasing a mount.

use vfolder_common::error::{Reason, Refusal};

use super::not_found;
use crate::{
    context::Context,
    model::{Permission, Warrant},
    store::{Id, Tx, Vfolder, mounts, vfolders},
    vfolder::{Cause, Locked, quota},
};

/// Releases a mount. The storage-proxy hears of a session that may have written: what is in the tree is counted again before
/// it decides about the owner's other vfolders, too.
pub async fn release(
    ctx: &Context,
    warrant: &Warrant,
    vfolder: Id,
    id: Id,
    allow_missing: bool,
) -> Result<(), Refusal> {
    let mut tx = ctx.store.begin("mount.release").await?;
    let done = in_transaction(&mut tx, warrant, vfolder, id, allow_missing).await;
    if let Some(row) = tx.finish(done).await?
        && row.quota_untold
    {
        quota::tell(ctx, &row).await;
    }
    Ok(())
}

async fn in_transaction(
    tx: &mut Tx,
    warrant: &Warrant,
    vfolder: Id,
    id: Id,
    allow_missing: bool,
) -> Result<Option<Vfolder>, Refusal> {
    let mut locked = Locked::admit(tx, vfolder, warrant, "").await?;
    let found = mounts::get(tx, id).await?;
    let Some(mount) = found.filter(|m| m.vfolder_id == vfolder) else {
        return if allow_missing {
            Ok(None)
        } else {
            Err(not_found(id))
        };
    };
    let owns = locked.row.permission(&warrant.caller) == Some(Permission::Own);
    if mount.holder != warrant.caller.user && !owns {
        return Err(Refusal::new(
            Reason::PermissionTooSmall,
            format!(
                "the mount is {}'s; its holder or who owns the vfolder releases it",
                mount.holder
            ),
        ));
    }
    mounts::remove(tx, id).await?;
    locked.note_mount_gone(mount.mode);
    locked.backing = vfolders::backing(tx, vfolder, locked.now).await?;
    let cause = Cause {
        action: "Unmount",
        actor: warrant.caller.user.clone(),
        mount: Some(id),
        reason: format!("session \"{}\"", mount.session),
        ..Cause::default()
    };
    locked.end_mount(tx, cause).await?;
    Ok(Some(locked.row))
}
