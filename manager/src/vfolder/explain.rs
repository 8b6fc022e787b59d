//! Why a vfolder is in its status.

use vfolder_common::error::Refusal;

use super::{
    list::{Shown, show},
    refuse,
};
use crate::{
    context::Context,
    model::{
        Access, Caller, Status,
        admission::{self, Cell},
    },
    store::{Event, Id, Mount, Operation, events, mounts, operations, vfolders},
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
    /// What backs it, and whether the caller sees the vfolder that it makes.
    pub operations: Vec<(Operation, bool)>,
    /// What backs it.
    pub mounts: Vec<Mount>,
    /// What the status admits.
    pub allowed: Vec<(Access, Cell)>,
    /// What led to it.
    pub last_event: Option<Event>,
}

/// Explains.
pub async fn explain(ctx: &Context, caller: &Caller, id: Id) -> Result<Explanation, Refusal> {
    // One transaction, so that the parts belong together.
    let mut tx = ctx.store.begin("vfolder.explain").await?;
    let found = async {
        let row = vfolders::lock(&mut tx, id).await?;
        let row = row.ok_or_else(|| refuse::not_found(id))?;
        let now = tx.now().await?;
        let mut operations = Vec::new();
        for op in operations::live_on(&mut tx, id).await? {
            let target = vfolders::get(&mut tx, op.vfolder_id).await?;
            let sees = target.is_some_and(|t| t.permission(caller).is_some());
            operations.push((op, sees));
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
            text: text(&vfolder, &operations, &mounts),
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

fn text(shown: &Shown, operations: &[(Operation, bool)], mounts: &[Mount]) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let work = operations.first().map_or_else(String::new, |(op, _)| {
        let state = if op.last_problem.is_empty() {
            format!("{}, attempt {}", op.state, op.attempt)
        } else {
            format!(
                "{}, attempt {}; last problem: {}",
                op.state, op.attempt, op.last_problem
            )
        };
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
