//! Taking a mount.

use std::time::Duration;

use vfolder_common::error::{Reason, Refusal};

use crate::{
    context::Context,
    model::{Status, Transition, Warrant},
    store::{Id, Mode, Mount, Tx, Vfolder, mounts},
    vfolder::{Cause, Locked},
};

/// Takes a mount, or renews the one that the session has.
pub async fn take(
    ctx: &Context,
    warrant: &Warrant,
    vfolder: Id,
    session: &str,
    mode: Mode,
    ttl: Duration,
) -> Result<(Mount, Vfolder), Refusal> {
    let mut tx = ctx.store.begin("mount.take").await?;
    let limit = ctx.settings.limits.mounts_per_vfolder;
    let done = in_transaction(&mut tx, warrant, vfolder, session, mode, ttl, limit).await;
    tx.finish(done).await
}

async fn in_transaction(
    tx: &mut Tx,
    warrant: &Warrant,
    vfolder: Id,
    session: &str,
    mode: Mode,
    ttl: Duration,
    limit: i64,
) -> Result<(Mount, Vfolder), Refusal> {
    let mut locked = Locked::admit(tx, vfolder, warrant, "").await?;
    let expire_time = locked.now.plus(ttl);
    if let Some(held) = mounts::of_session(tx, vfolder, session).await? {
        return again(tx, held, &warrant.caller.user, mode, expire_time)
            .await
            .map(|mount| (mount, locked.row));
    }
    if locked.backing.mounts >= limit {
        return Err(Refusal::new(
            Reason::CountExceeded,
            format!("the vfolder has {limit} mounts, as many as it may; release some first"),
        )
        .with_quota(
            vfolder.to_string(),
            format!(
                "limit {limit} mounts, used {}, asked 1",
                locked.backing.mounts
            ),
        ));
    }
    let mount = Mount {
        id: Id::new(),
        vfolder_id: vfolder,
        session: session.to_owned(),
        mode,
        holder: warrant.caller.user.clone(),
        create_time: locked.now,
        expire_time,
    };
    mounts::insert(tx, &mount).await?;
    let to = match locked.row.status {
        Status::Ready => Status::Mounted,
        other => other,
    };
    let cause = Cause {
        action: "Mount",
        actor: warrant.caller.user.clone(),
        mount: Some(mount.id),
        reason: format!("{mode} by session \"{session}\""),
        ..Cause::default()
    };
    locked
        .change(tx, Transition::Mount, to, cause, |_| {})
        .await?;
    Ok((mount, locked.row))
}

async fn again(
    tx: &mut Tx,
    mut held: Mount,
    user: &str,
    mode: Mode,
    expire_time: crate::store::Timestamp,
) -> Result<Mount, Refusal> {
    if held.mode != mode || held.holder != user {
        return Err(Refusal::new(
            Reason::MountExists,
            format!(
                "session \"{}\" has a {} mount of {} on this vfolder; release that one first, or use another session name",
                held.session, held.mode, held.holder
            ),
        )
        .with_metadata("mount_id", held.id.to_string())
        .with_resource("vfolder.v1.Mount", held.id.to_string(), "held already"));
    }
    // Asked twice, it must not end earlier than it was promised.
    held.expire_time = held.expire_time.max(expire_time);
    mounts::extend(tx, held.id, held.expire_time).await?;
    Ok(held)
}
