//! The history.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Change, Id, StoreError, Timestamp, Tx, engine::on, schema::events};
use crate::model::Status;

/// A row of `events`: written in the transaction of the change it tells of.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = events)]
#[allow(missing_docs, reason = "the columns are documented in the migrations")]
pub struct Event {
    pub vfolder_id: Id,
    pub sequence: i64,
    pub time: Timestamp,
    pub from_status: Option<Status>,
    pub to_status: Status,
    pub action: String,
    pub actor: String,
    pub operation_id: Option<Id>,
    pub mount_id: Option<Id>,
    pub reason: String,
    pub position: Option<i64>,
}

/// Writes an event.
pub async fn insert(tx: &mut Tx, row: &Event) -> Result<(), StoreError> {
    tx.note(Change::Vfolder(row.vfolder_id));
    on!(tx, c => diesel::insert_into(events::table).values(row).execute(c).await)
        .map(|_| ())
        .map_err(StoreError::of("events.insert"))
}

/// A page after a sequence, oldest first.
pub async fn list(
    tx: &mut Tx,
    vfolder: Id,
    after: i64,
    limit: i64,
) -> Result<Vec<Event>, StoreError> {
    on!(tx, c => events::table
        .filter(events::vfolder_id.eq(vfolder))
        .filter(events::sequence.gt(after))
        .order(events::sequence)
        .select(Event::as_select())
        .limit(limit)
        .load(c)
        .await)
    .map_err(StoreError::of("events.list"))
}

/// Whether the vfolder has ever been READY: else its tree, if there is one, was never known to be whole.
pub async fn was_ready(tx: &mut Tx, vfolder: Id) -> Result<bool, StoreError> {
    let found: Vec<i64> = on!(tx, c => events::table
        .filter(events::vfolder_id.eq(vfolder))
        .filter(events::to_status.eq(Status::Ready))
        .select(events::sequence)
        .limit(1)
        .load(c)
        .await)
    .map_err(StoreError::of("events.was_ready"))?;
    Ok(!found.is_empty())
}

/// Whether a mount of the vfolder was taken or has ended since.
pub async fn mounted_since(tx: &mut Tx, vfolder: Id, since: Timestamp) -> Result<bool, StoreError> {
    let found: Vec<i64> = on!(tx, c => events::table
        .filter(events::vfolder_id.eq(vfolder))
        .filter(events::mount_id.is_not_null())
        .filter(events::time.ge(since))
        .select(events::sequence)
        .limit(1)
        .load(c)
        .await)
    .map_err(StoreError::of("events.mounted_since"))?;
    Ok(!found.is_empty())
}

/// The event that led to the present status: the last one that changed it.
pub async fn last_change(tx: &mut Tx, vfolder: Id) -> Result<Option<Event>, StoreError> {
    on!(tx, c => events::table
        .filter(events::vfolder_id.eq(vfolder))
        .filter(events::from_status.is_null().or(events::from_status.ne(events::to_status.nullable())))
        .order(events::sequence.desc())
        .select(Event::as_select())
        .first(c)
        .await
        .optional())
    .map_err(StoreError::of("events.last_change"))
}
