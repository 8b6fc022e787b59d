//! Changing a row: status, revision, epoch and event in one place.

use vfolder_common::error::{Reason, Refusal};

use super::Locked;
use crate::{
    model::{Owner, Status, Transition, transition},
    store::{Event, Id, StoreError, Tx, Vfolder, events, vfolders},
};

/// Why a row changes, for its event.
#[derive(Clone, Debug, Default)]
pub struct Cause {
    /// The RPC's name, or what runs by itself. Empty: the transition's own name.
    pub action: &'static str,
    /// The user, or "system".
    pub actor: String,
    /// The operation that causes or backs it.
    pub operation: Option<Id>,
    /// The mount that causes it.
    pub mount: Option<Id>,
    /// For people.
    pub reason: String,
}

/// A change that the table of transitions doesn't have: a fault of ours, stopped before it reaches the database.
#[derive(Debug, thiserror::Error)]
#[error("vfolder {id}: {transition} can't lead from {from:?} to {to}")]
pub struct Impossible {
    id: Id,
    transition: Transition,
    from: Option<Status>,
    to: Status,
}

impl Locked {
    /// Moves the vfolder to `to`, with whatever `edit` does to the row, and writes the event.
    pub async fn change(
        &mut self,
        tx: &mut Tx,
        transition: Transition,
        to: Status,
        cause: Cause,
        edit: impl FnOnce(&mut Vfolder) + Send,
    ) -> Result<(), Refusal> {
        let from = self.row.status;
        check(self.row.id, transition, Some(from), to)?;
        edit(&mut self.row);
        self.row.status = to;
        self.row.revision += 1;
        self.row.update_time = self.now;
        if to != Status::Error {
            self.row.status_reason.clear();
        }
        if to != Status::Trashed {
            self.row.purge_time = None;
        }
        if transition::raises_epoch(from, to) {
            self.row.epoch += 1;
        }
        vfolders::update(tx, &self.row)
            .await
            .map_err(|e| name_taken(e, &self.row))?;
        write_event(tx, &self.row, transition, Some(from), cause).await
    }
}

/// Writes a new row and its first event.
pub async fn insert(tx: &mut Tx, row: &Vfolder, cause: Cause) -> Result<(), Refusal> {
    check(row.id, Transition::Create, None, row.status)?;
    vfolders::insert(tx, row)
        .await
        .map_err(|e| name_taken(e, row))?;
    write_event(tx, row, Transition::Create, None, cause).await
}

fn check(id: Id, transition: Transition, from: Option<Status>, to: Status) -> Result<(), Refusal> {
    if transition.allows(from, to) {
        Ok(())
    } else {
        Err(Refusal::internal(&Impossible {
            id,
            transition,
            from,
            to,
        }))
    }
}

async fn write_event(
    tx: &mut Tx,
    row: &Vfolder,
    transition: Transition,
    from: Option<Status>,
    cause: Cause,
) -> Result<(), Refusal> {
    let action = if cause.action.is_empty() {
        transition.as_str()
    } else {
        cause.action
    };
    let event = Event {
        vfolder_id: row.id,
        sequence: row.revision,
        time: row.update_time,
        from_status: from,
        to_status: row.status,
        action: action.to_owned(),
        actor: cause.actor,
        operation_id: cause.operation,
        mount_id: cause.mount,
        reason: cause.reason,
        position: None,
    };
    Ok(events::insert(tx, &event).await?)
}

/// The index on names is the only unique one that a valid row can meet.
fn name_taken(error: StoreError, row: &Vfolder) -> Refusal {
    match error {
        StoreError::NotUnique { .. } => {
            let owner = row.owner();
            let whose = match &owner {
                Owner::User(id) => format!("user \"{id}\""),
                Owner::Project(id) => format!("project \"{id}\""),
            };
            Refusal::new(
                Reason::NameTaken,
                format!(
                    "{whose} has another vfolder named \"{}\"; choose another name, or trash that one",
                    row.name
                ),
            )
            .with_metadata("name", row.name.clone())
            .with_resource("vfolder.v1.VFolder", row.name.clone(), "the name is taken")
        }
        other => other.into(),
    }
}
