//! What is kept of a volume: whether its queue is paused.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Change, StoreError, Timestamp, Tx,
    engine::{Connection, on},
    schema::volumes,
};

/// A row of `volumes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = volumes, treat_none_as_null = true)]
#[allow(missing_docs, reason = "the columns are documented in the migrations")]
pub struct VolumeRow {
    pub name: String,
    pub paused: bool,
    pub pause_reason: String,
    pub pause_actor: String,
    pub pause_time: Option<Timestamp>,
}

/// Reads a row, or what counts for a volume without one.
pub async fn get(tx: &mut Tx, name: &str) -> Result<VolumeRow, StoreError> {
    let found: Option<VolumeRow> = on!(tx, c => volumes::table
        .find(name)
        .select(VolumeRow::as_select())
        .first(c)
        .await
        .optional())
    .map_err(StoreError::of("volumes.get"))?;
    Ok(found.unwrap_or_else(|| VolumeRow {
        name: name.to_owned(),
        ..VolumeRow::default()
    }))
}

/// Reads a row, made if there is none, and keeps everybody else from claiming on the volume or changing the row until
/// the transaction ends.
pub async fn lock(tx: &mut Tx, name: &str) -> Result<VolumeRow, StoreError> {
    const WHAT: &str = "volumes.lock";
    for _ in 0..2 {
        let found: Option<VolumeRow> = match &mut tx.connection {
            Connection::Postgres(c) => {
                let row = volumes::table.find(name).select(VolumeRow::as_select());
                row.for_update().first(&mut ***c).await
            }
            Connection::Sqlite(t) => {
                let row = volumes::table.find(name).select(VolumeRow::as_select());
                row.first(&mut **t.connection).await
            }
        }
        .optional()
        .map_err(StoreError::of(WHAT))?;
        if let Some(row) = found {
            return Ok(row);
        }
        let row = VolumeRow {
            name: name.to_owned(),
            ..VolumeRow::default()
        };
        on!(tx, c => diesel::insert_into(volumes::table)
            .values(&row)
            .on_conflict_do_nothing()
            .execute(c)
            .await)
        .map_err(StoreError::of(WHAT))?;
    }
    get(tx, name).await
}

/// Writes a row that is locked.
pub async fn update(tx: &mut Tx, row: &VolumeRow) -> Result<(), StoreError> {
    tx.note(Change::Work);
    on!(tx, c => diesel::update(volumes::table.find(&row.name)).set(row).execute(c).await)
        .map(|_| ())
        .map_err(StoreError::of("volumes.update"))
}
