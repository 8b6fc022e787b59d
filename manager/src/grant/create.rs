//! Making a grant.

use std::time::{Duration, SystemTime};

use vfolder_common::{
    error::Refusal,
    path::RelativePath,
    token::{Grant, GrantMode},
};

use crate::{
    context::Context,
    model::Warrant,
    store::{Id, Tx, Vfolder, vfolders},
    vfolder::{list, refuse},
};

/// What somebody wants.
#[derive(Clone, Debug)]
pub struct Asked {
    /// To read, or to write too.
    pub mode: GrantMode,
    /// What it is to be for, with what is below.
    pub path: RelativePath,
    /// How long it is to be good for.
    pub ttl: Duration,
}

/// What he gets.
#[derive(Clone)]
pub struct Created {
    /// A secret: not for logs.
    pub token: String,
    /// When it ends, in seconds since the Unix epoch.
    pub end: u64,
    /// Where it is good for; empty where the storage-proxy serves nobody but us.
    pub direct_url: String,
}

/// Makes a grant for a vfolder that the gate has admitted to.
///
/// The storage-proxy is asked first and the row is read last, so that the grant is of what the vfolder is now. No lock is
/// held: whoever changes its status afterwards raises the epoch that the grant names.
///
/// # Errors
/// What the gate refuses, decided again; VOLUME_UNAVAILABLE: nobody would take the grant.
pub async fn create(
    ctx: &Context,
    warrant: &Warrant,
    admitted: &Vfolder,
    asked: Asked,
) -> Result<Created, Refusal> {
    let volume = admitted.volume.as_str();
    let proxy = ctx.volumes.owner(volume)?;
    let direct_url = proxy
        .direct_url(volume)
        .await
        .map_err(|error| error.into_refusal(volume))?;
    let mut tx = ctx.store.snapshot("grant.create").await?;
    let row = admit(&mut tx, warrant, admitted.id).await;
    let row = tx.abandon(row).await?;
    let grant = Grant {
        vfolder: row.id.0,
        volume: row.volume,
        mode: asked.mode,
        epoch: row.epoch,
        subject: warrant.caller.user.clone(),
        path: asked.path.as_bytes().to_vec(),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // Whole seconds, and not less than was asked for.
    let end = (now.unwrap_or_default() + asked.ttl).as_secs() + 1;
    let token = proxy
        .secret()
        .sign_grant_until(&grant, end)
        .map_err(|error| Refusal::internal(&error))?;
    Ok(Created {
        token,
        end,
        direct_url,
    })
}

/// The row as it is now, if it still admits the warrant.
async fn admit(tx: &mut Tx, warrant: &Warrant, id: Id) -> Result<Vfolder, Refusal> {
    let row = vfolders::get(tx, id).await?;
    let row = row.ok_or_else(|| refuse::not_found(id))?;
    refuse::unless_permitted(&row, warrant)?;
    let (row, backing) = list::as_it_counts(tx, row).await?;
    if warrant.admitted_in(row.status, backing.write_mounts) {
        return Ok(row);
    }
    let now = tx.now().await?;
    Err(refuse::status(tx, &row, warrant, now).await?)
}
