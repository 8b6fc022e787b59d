//! Why a vfolder is in its status.

use vfolder_common::error::Refusal;

use super::{
    list::{Shown, show},
    refuse,
};
use crate::{
    context::Context,
    model::{
        Access, Caller, State, Status,
        admission::{self, Cell},
    },
    store::{
        Event, Id, Mount, Operation, VolumeRow, events, mounts, operations, queue, vfolders,
        volumes,
    },
};

/// The most mounts that are named.
const MAX_MOUNTS: i64 = 1_000;

/// All that explains a status.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The vfolder.
    pub vfolder: Shown,
    /// For a person.
    pub text: String,
    /// What backs it.
    pub operations: Vec<Backing>,
    /// What backs it.
    pub mounts: Vec<Mount>,
    /// What the status admits.
    pub allowed: Vec<(Access, Cell)>,
    /// What led to it.
    pub last_event: Option<Event>,
}

/// A live operation.
#[derive(Clone, Debug)]
pub struct Backing {
    /// The operation.
    pub operation: Operation,
    /// The caller sees the vfolder that it makes.
    pub sees_target: bool,
    /// Its place in its volume's queue, if it waits for its turn.
    pub queue_place: Option<i64>,
}

/// Explains.
pub async fn explain(ctx: &Context, caller: &Caller, id: Id) -> Result<Explanation, Refusal> {
    let mut tx = ctx.store.snapshot("vfolder.explain").await?;
    let found = async {
        let row = vfolders::get(&mut tx, id).await?;
        let row = row.ok_or_else(|| refuse::not_found(id))?;
        let now = tx.now().await?;
        let mut operations = Vec::new();
        let mut placed = false;
        for op in operations::live_on(&mut tx, id).await? {
            let target = vfolders::get(&mut tx, op.vfolder_id).await?;
            operations.push(Backing {
                sees_target: target.is_some_and(|t| t.permission(caller).is_some()),
                // Of the first alone: that is what is waited for, and each costs a look at the whole queue.
                queue_place: if !placed && op.kind.backs().is_some() {
                    placed = true;
                    queue::place(&mut tx, &op, now).await?
                } else {
                    None
                },
                operation: op,
            });
        }
        let mounts = mounts::live_on(&mut tx, id, now, None, MAX_MOUNTS).await?;
        let last_event = events::last_change(&mut tx, id).await?;
        let shown = show(&mut tx, vec![row]).await?;
        let vfolder = shown
            .into_iter()
            .next()
            .ok_or_else(|| refuse::not_found(id))?;
        let status = vfolder.row.status;
        Ok(Explanation {
            text: text(
                &vfolder,
                &operations,
                &mounts,
                &volumes::get(&mut tx, &vfolder.row.volume).await?,
            ),
            vfolder,
            operations,
            mounts,
            allowed: Access::ALL
                .iter()
                .map(|a| (*a, admission::cell(*a, status)))
                .filter(|(_, cell)| *cell != Cell::No)
                .collect(),
            last_event,
        })
    }
    .await;
    tx.abandon(found).await
}

fn text(shown: &Shown, live: &[Backing], mounts: &[Mount], volume: &VolumeRow) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    // What only reads explains nothing.
    let operations: Vec<_> = live
        .iter()
        .filter(|backing| backing.operation.kind.backs().is_some())
        .collect();
    let work = operations.first().map_or_else(String::new, |backing| {
        let op = &backing.operation;
        let mut state = match backing.queue_place {
            Some(place) => format!("waits for its turn, place {place} in the queue"),
            None => format!("{}, attempt {}", op.state, op.attempt),
        };
        if volume.paused && op.state == State::Pending {
            state += &format!("; volume \"{}\" is paused", volume.name);
            if !volume.pause_reason.is_empty() {
                state += &format!(" ({})", volume.pause_reason);
            }
        }
        if !op.last_problem.is_empty() {
            state += &format!("; last problem: {}", op.last_problem);
        }
        format!(" ({}: {state})", op.name())
    });
    match shown.row.status {
        Status::Creating => {
            format!("Its tree is being made{work}. It will be READY, or gone if that fails.")
        }
        Status::Ready => "It is at rest: every operation may start.".into(),
        Status::Performing => format!("An operation works inside its tree{work}."),
        Status::Cloning => format!(
            "It is the source of {}{work}. It can be read and cloned; it can be changed when the last has ended.",
            count(operations.len(), "running clone")
        ),
        Status::Mounted => format!(
            "{} in use; when the last is released or expires, it is READY.",
            if mounts.len() == 1 {
                "1 mount is".to_owned()
            } else {
                format!("{} mounts are", mounts.len())
            }
        ),
        Status::Trashed => {
            "It is in the trash; restore it before its purge_time, or it is destroyed.".into()
        }
        Status::Deleting => format!("Its tree is being destroyed{work}."),
        Status::Deleted => "Its tree is gone; only the record is left.".into(),
        Status::Error => format!(
            "It needs a decision: {}. Trash it, purge it, or ask an administrator for ResetStatus.",
            shown.row.status_reason
        ),
    }
}
