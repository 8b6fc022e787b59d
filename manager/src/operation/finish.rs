//! The end of an operation: its outcome and the vfolders' statuses, in one transaction, under its lease.

use std::collections::BTreeMap;

use vfolder_common::error::Refusal;

use crate::{
    context::Context,
    model::{Kind, State, Status, Transition, settle},
    store::{
        Id, Operation, Progress, StoreError, Timestamp, Tx, Vfolder, events,
        lease::{self, Ending, Lease, Receipt},
        mounts, requests, vfolders,
    },
    vfolder::{Cause, Locked},
};

/// Writes the outcome. False: the lease was lost, and nothing was written.
pub async fn finish(
    ctx: &Context,
    op: &Operation,
    held: Lease,
    ending: &Ending,
    progress: Progress,
) -> Result<bool, Refusal> {
    let mut tx = ctx.store.begin("operation.finish").await?;
    let done = in_transaction(&mut tx, op, held, ending, progress).await;
    tx.finish(done).await
}

/// Ends an operation that no worker has ever had, so that no storage-proxy knows of it. False: one has it by now, and
/// nothing was written.
pub async fn end_unstarted(
    ctx: &Context,
    op: &Operation,
    ending: &Ending,
) -> Result<bool, Refusal> {
    let mut tx = ctx.store.begin("operation.end_unstarted").await?;
    let done = async {
        let locked = lock(&mut tx, op).await?;
        let now = tx.now().await?;
        if !lease::end_unstarted(&mut tx, op.id, now, ending).await? {
            return Ok(false);
        }
        settle(&mut tx, locked, op, ending).await?;
        Ok(true)
    }
    .await;
    tx.finish(done).await
}

async fn in_transaction(
    tx: &mut Tx,
    op: &Operation,
    held: Lease,
    ending: &Ending,
    progress: Progress,
) -> Result<bool, Refusal> {
    let mut locked = lock(tx, op).await?;
    let now = tx.now().await?;
    let mut ending = ending.clone();
    match (op.kind, locked.get_mut(&op.vfolder_id), &mut ending.receipt) {
        (Kind::Verify | Kind::Recount, Some(read), Some(receipt)) => {
            receipt.may_have_changed |= was_open_to_writers(tx, read, op).await?;
        }
        (Kind::Clone, Some(made), Some(receipt)) => note(&mut made.row, receipt, progress, now),
        _ => {}
    }
    if !lease::end(tx, held, now, &ending, progress).await? {
        return Ok(false);
    }
    settle(tx, locked, op, &ending).await?;
    Ok(true)
}

/// Whether a session could write past the storage-proxy while the operation was there: it holds a mount, or a mount was
/// taken or has ended meanwhile.
async fn was_open_to_writers(
    tx: &mut Tx,
    vfolder: &Locked,
    op: &Operation,
) -> Result<bool, StoreError> {
    Ok(vfolder.backing.write_mounts > 0
        || events::mounted_since(tx, op.vfolder_id, op.create_time).await?)
}

/// What its tree was when it was made stays on its row, written with the change of its status.
fn note(made: &mut Vfolder, receipt: &Receipt, progress: Progress, now: Timestamp) {
    made.digest.clone_from(&receipt.digest);
    made.digest_files = progress.files_done;
    made.digest_bytes = progress.bytes_done;
    made.digest_time = Some(now);
}

async fn lock(tx: &mut Tx, op: &Operation) -> Result<BTreeMap<Id, Locked>, Refusal> {
    let mut locked = BTreeMap::new();
    for id in op.vfolders() {
        if let Some(vfolder) = Locked::take(tx, id).await? {
            locked.insert(id, vfolder);
        }
    }
    Ok(locked)
}

/// The statuses of the vfolders of an operation that this transaction has ended.
async fn settle(
    tx: &mut Tx,
    mut locked: BTreeMap<Id, Locked>,
    op: &Operation,
    ending: &Ending,
) -> Result<(), Refusal> {
    if ending.state != State::Succeeded {
        // Repeated, as the client may have been told to, the request begins anew.
        requests::forget(tx, op.id).await?;
    }
    if let Some(made) = locked.get_mut(&op.vfolder_id) {
        settle_target(tx, made, op, ending).await?;
    }
    if let Some(source) = op.source_id.and_then(|id| locked.get_mut(&id)) {
        settle_source(tx, source, op, ending).await?;
    }
    Ok(())
}

/// The vfolder that the operation makes, destroys, works in or reads.
async fn settle_target(
    tx: &mut Tx,
    vfolder: &mut Locked,
    op: &Operation,
    ending: &Ending,
) -> Result<(), Refusal> {
    let (transition, to) = match (op.kind, ending.state) {
        (Kind::Create | Kind::Clone, State::Succeeded) => (Transition::Created, Status::Ready),
        (Kind::Create | Kind::Clone, _) if ending.lost => (Transition::CreationLost, Status::Error),
        (Kind::Create | Kind::Clone, _) => (Transition::CreationUndone, Status::Deleted),
        (Kind::Purge, State::Succeeded) => (Transition::PurgeEnd, Status::Deleted),
        (Kind::Purge, _) => (Transition::PurgeFail, Status::Error),
        // Nobody knows whether its storage-proxy still works in the tree.
        (Kind::Extract | Kind::Remove, _) if ending.lost => {
            let cause = Cause {
                actor: op.requester.clone(),
                operation: Some(op.id),
                reason: "the operation that worked in the tree was given up".into(),
                ..Cause::default()
            };
            end_mounts(tx, vfolder, cause).await?;
            (Transition::PerformFail, Status::Error)
        }
        // Also where it failed: every file that is there is whole, and the operation says what is missing.
        (Kind::Extract | Kind::Remove, _) => {
            vfolder.refresh(tx).await?;
            (Transition::PerformEnd, settle::settle(&vfolder.backing))
        }
        // It has only read.
        (Kind::Verify | Kind::Recount, _) => return Ok(()),
    };
    let now = vfolder.now;
    vfolder
        .change(tx, transition, to, cause(op, ending), |row| {
            if to == Status::Error {
                row.status_reason.clone_from(&ending.text);
            }
            if to == Status::Deleted {
                row.delete_time.get_or_insert(now);
            }
        })
        .await
}

/// The vfolder that the operation copies: the last clone to end settles it.
async fn settle_source(
    tx: &mut Tx,
    vfolder: &mut Locked,
    op: &Operation,
    ending: &Ending,
) -> Result<(), Refusal> {
    vfolder.refresh(tx).await?;
    let to = settle::settle(&vfolder.backing);
    let mut cause = cause(op, ending);
    if ending.state != State::Succeeded {
        // The text may be about the destination, which not everybody sees who sees the source.
        cause.reason = format!("{}: {}", ending.state, ending.reason);
    }
    vfolder
        .change(tx, Transition::CloneEnd, to, cause, |_| {})
        .await
}

/// Sessions that have mounted it read-only meanwhile: what they see may still change, and ERROR admits nobody.
pub async fn end_mounts(tx: &mut Tx, vfolder: &mut Locked, cause: Cause) -> Result<(), Refusal> {
    let live = mounts::live_on(tx, vfolder.row.id, vfolder.now, None, i64::MAX).await?;
    for mount in live {
        mounts::remove(tx, mount.id).await?;
        vfolder.note_mount_gone(mount.mode);
        let cause = Cause {
            mount: Some(mount.id),
            ..cause.clone()
        };
        vfolder.end_mount(tx, cause).await?;
    }
    Ok(())
}

fn cause(op: &Operation, ending: &Ending) -> Cause {
    Cause {
        actor: op.requester.clone(),
        operation: Some(op.id),
        reason: match ending.state {
            State::Succeeded => String::new(),
            state => format!("{state}: {}", ending.text),
        },
        ..Cause::default()
    }
}

impl Locked {
    /// Counts again what backs the status, after this transaction ended an operation.
    async fn refresh(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        let id: Id = self.row.id;
        self.backing = vfolders::backing(tx, id, self.now).await?;
        Ok(())
    }
}
