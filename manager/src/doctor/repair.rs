//! Mending what can be mended without a doubt.
//!
//! A repair never destroys a tree and never calls one whole that may not be: what is left after it needs a person. It
//! clears away what ended operations have left, sweeps what has expired, tells storage-proxies what they have not been
//! told, and takes a status that nothing backs to the one that claims least.

use std::fmt;

use serde::Serialize;
use vfolder_common::error::Refusal;

use crate::{
    context::Context,
    model::{Caller, Status, Transition, settle},
    operation::{finish, leftovers, sweep},
    store::{Id, Tx, inspect},
    vfolder::{Cause, Locked},
};

const PAGE: i64 = 500;

/// Something that was mended.
#[derive(Clone, Debug, Serialize)]
pub struct Repair {
    /// A vfolder's id, a volume.
    pub subject: String,
    /// What was done.
    pub text: String,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "repaired: {}: {}", self.subject, self.text)
    }
}

/// Mends what it can and says what it did.
pub async fn repair(ctx: &Context) -> Result<Vec<Repair>, Refusal> {
    let mut done = Vec::new();
    let mut say = |subject: String, text: String| done.push(Repair { subject, text });
    let mut swept = 0;
    while let more @ 1.. = sweep::expired_mounts(ctx).await? {
        swept += more;
    }
    if swept > 0 {
        say(
            "mounts".into(),
            format!("expired ones of {swept} vfolders were removed"),
        );
    }
    let mut told = 0;
    while let more @ 1.. = sweep::untold_fences(ctx).await? {
        told += more;
    }
    if told > 0 {
        say(
            "trash".into(),
            format!("writers are now kept out of {told} vfolders in it"),
        );
    }
    let mut after = None;
    loop {
        let mut look = ctx.store.read("doctor.page").await?;
        let page = inspect::vfolders(&mut look, after, PAGE).await?;
        drop(look);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for row in page.iter().filter(|row| row.status.is_transient()) {
            let mut tx = ctx.store.begin("doctor.repair").await?;
            let mended = unbacked(&mut tx, row.id).await;
            if let Some((from, to)) = tx.finish(mended).await? {
                say(
                    row.id.to_string(),
                    format!("nothing backed {from}; it is {to} now"),
                );
            }
        }
    }
    for volume in ctx.volumes.names() {
        match leftovers::clear(ctx, volume).await {
            Ok(0) => {}
            Ok(cleared) => say(
                format!("volume {volume}"),
                format!("what {cleared} ended operations had left was cleared away"),
            ),
            // The examination reports it too.
            Err(refusal) => tracing::warn!(volume, error = %refusal, "not cleared"),
        }
    }
    Ok(done)
}

/// Takes a status that ends by itself, but has nothing to end it, to one that a person can act on: ERROR, which claims
/// nothing about the tree; or, for the source of clones, to what else backs it, since nobody was writing its tree.
async fn unbacked(tx: &mut Tx, id: Id) -> Result<Option<(Status, Status)>, Refusal> {
    let Some(mut locked) = Locked::take(tx, id).await? else {
        return Ok(None);
    };
    let from = locked.row.status;
    if settle::is_backed(from, &locked.backing) {
        return Ok(None);
    }
    let (transition, to) = match from {
        Status::Creating => (Transition::CreationLost, Status::Error),
        Status::Deleting => (Transition::PurgeFail, Status::Error),
        Status::Performing => (Transition::PerformFail, Status::Error),
        Status::Cloning => (Transition::CloneEnd, settle::settle(&locked.backing)),
        _ => return Ok(None),
    };
    let reason = format!("it was {from} and no operation backed that");
    let cause = Cause {
        action: "doctor --repair",
        actor: Caller::system().user,
        reason: reason.clone(),
        ..Cause::default()
    };
    if to == Status::Error {
        // ERROR admits no mounts, and none of them could end there.
        finish::end_mounts(tx, &mut locked, cause.clone()).await?;
    }
    locked
        .change(tx, transition, to, cause, |row| {
            if to == Status::Error {
                row.status_reason = reason;
            }
        })
        .await?;
    Ok(Some((from, to)))
}
