//! The table of mounts.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Id, StoreError, Timestamp, Tx, engine::on, schema::mounts};
use crate::model::text::text_enum;

text_enum! {
    /// How a session uses a tree.
    Mode {
        /// It only reads.
        ReadOnly = "ro",
        /// It writes.
        ReadWrite = "rw",
    }
}

/// A row of `mounts`. It counts until its expiry, swept or not.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = mounts)]
#[allow(missing_docs, reason = "the columns are documented in the migrations")]
pub struct Mount {
    pub id: Id,
    pub vfolder_id: Id,
    pub session: String,
    pub mode: Mode,
    pub holder: String,
    pub create_time: Timestamp,
    pub expire_time: Timestamp,
}

/// Writes a new row. The session must hold none on that vfolder: see [`of_session`].
pub async fn insert(tx: &mut Tx, row: &Mount) -> Result<(), StoreError> {
    on!(tx, c => diesel::insert_into(mounts::table).values(row).execute(c).await)
        .map(|_| ())
        .map_err(StoreError::of("mounts.insert"))
}

/// Moves the expiry.
pub async fn extend(tx: &mut Tx, id: Id, expire_time: Timestamp) -> Result<(), StoreError> {
    on!(tx, c => diesel::update(mounts::table.find(id))
        .set(mounts::expire_time.eq(expire_time))
        .execute(c)
        .await)
    .map(|_| ())
    .map_err(StoreError::of("mounts.extend"))
}

/// Removes a row.
pub async fn remove(tx: &mut Tx, id: Id) -> Result<(), StoreError> {
    on!(tx, c => diesel::delete(mounts::table.find(id)).execute(c).await)
        .map(|_| ())
        .map_err(StoreError::of("mounts.remove"))
}

/// Reads a row, live or expired.
pub async fn get(tx: &mut Tx, id: Id) -> Result<Option<Mount>, StoreError> {
    on!(tx, c => mounts::table
        .find(id)
        .select(Mount::as_select())
        .first(c)
        .await
        .optional())
    .map_err(StoreError::of("mounts.get"))
}

/// The mount that a session holds on a vfolder, live or expired.
pub async fn of_session(
    tx: &mut Tx,
    vfolder: Id,
    session: &str,
) -> Result<Option<Mount>, StoreError> {
    on!(tx, c => mounts::table
        .filter(mounts::vfolder_id.eq(vfolder))
        .filter(mounts::session.eq(session))
        .select(Mount::as_select())
        .first(c)
        .await
        .optional())
    .map_err(StoreError::of("mounts.of_session"))
}

/// A page of the live mounts of a vfolder, oldest first.
pub async fn live_on(
    tx: &mut Tx,
    vfolder: Id,
    now: Timestamp,
    after: Option<Id>,
    limit: i64,
) -> Result<Vec<Mount>, StoreError> {
    on!(tx, c => {
        let mut query = mounts::table
            .filter(mounts::vfolder_id.eq(vfolder))
            .filter(mounts::expire_time.gt(now))
            .order(mounts::id)
            .select(Mount::as_select())
            .limit(limit)
            .into_boxed();
        if let Some(after) = after {
            query = query.filter(mounts::id.gt(after));
        }
        query.load(c).await
    })
    .map_err(StoreError::of("mounts.live_on"))
}

/// The expired mounts of one vfolder.
pub async fn expired_on(
    tx: &mut Tx,
    vfolder: Id,
    now: Timestamp,
) -> Result<Vec<Mount>, StoreError> {
    on!(tx, c => mounts::table
        .filter(mounts::vfolder_id.eq(vfolder))
        .filter(mounts::expire_time.le(now))
        .order(mounts::id)
        .select(Mount::as_select())
        .load(c)
        .await)
    .map_err(StoreError::of("mounts.expired_on"))
}

/// Vfolders that have expired mounts.
pub async fn vfolders_with_expired(
    tx: &mut Tx,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Id>, StoreError> {
    on!(tx, c => mounts::table
        .filter(mounts::expire_time.le(now))
        .select(mounts::vfolder_id)
        .distinct()
        .limit(limit)
        .load(c)
        .await)
    .map_err(StoreError::of("mounts.vfolders_with_expired"))
}

/// Whether a vfolder has mounts for writing, live or expired and not swept yet.
pub async fn any_for_writing(tx: &mut Tx, vfolder: Id) -> Result<bool, StoreError> {
    let found: i64 = on!(tx, c => mounts::table
        .filter(mounts::vfolder_id.eq(vfolder))
        .filter(mounts::mode.eq(Mode::ReadWrite))
        .count()
        .get_result(c)
        .await)
    .map_err(StoreError::of("mounts.any_for_writing"))?;
    Ok(found > 0)
}
