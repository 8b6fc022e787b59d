//! Whole tables, for `manager doctor`.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Event, Id, Mount, Operation, StoreError, Tx, Vfolder,
    engine::on,
    schema::{events, mounts, operations},
};
use crate::model::State;

/// A page of all vfolders, by id.
pub async fn vfolders(
    tx: &mut Tx,
    after: Option<Id>,
    limit: i64,
) -> Result<Vec<Vfolder>, StoreError> {
    let filter = super::vfolders::Filter {
        after,
        ..Default::default()
    };
    super::vfolders::list(tx, &filter, limit).await
}

/// Every live operation.
pub async fn live_operations(tx: &mut Tx) -> Result<Vec<Operation>, StoreError> {
    on!(tx, c => operations::table
        .filter(operations::state.eq_any([State::Pending, State::Running]))
        .order(operations::id)
        .select(Operation::as_select())
        .load(c)
        .await)
    .map_err(StoreError::of("inspect.live_operations"))
}

/// Every mount, live or expired.
pub async fn mounts(tx: &mut Tx) -> Result<Vec<Mount>, StoreError> {
    on!(tx, c => mounts::table
        .order(mounts::id)
        .select(Mount::as_select())
        .load(c)
        .await)
    .map_err(StoreError::of("inspect.mounts"))
}

/// The last event of a vfolder.
pub async fn last_event(tx: &mut Tx, vfolder: Id) -> Result<Option<Event>, StoreError> {
    on!(tx, c => events::table
        .filter(events::vfolder_id.eq(vfolder))
        .order(events::sequence.desc())
        .select(Event::as_select())
        .first(c)
        .await
        .optional())
    .map_err(StoreError::of("inspect.last_event"))
}

/// The states of these operations, as far as they have a record.
pub async fn states(tx: &mut Tx, ids: &[Id]) -> Result<Vec<(Id, State)>, StoreError> {
    on!(tx, c => operations::table
        .filter(operations::id.eq_any(ids))
        .select((operations::id, operations::state))
        .load(c)
        .await)
    .map_err(StoreError::of("inspect.states"))
}
