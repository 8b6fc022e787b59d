//! Requests that may be repeated.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Id, StoreError, Timestamp, Tx, engine::on, schema::requests};

/// A row of `requests`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = requests)]
#[allow(missing_docs, reason = "the columns are documented in the migrations")]
pub struct Request {
    pub requester: String,
    pub request_id: Id,
    pub fingerprint: String,
    pub operation_id: Id,
    pub create_time: Timestamp,
}

/// Reads a row.
pub async fn get(
    tx: &mut Tx,
    requester: &str,
    request_id: Id,
) -> Result<Option<Request>, StoreError> {
    on!(tx, c => requests::table
        .find((requester, request_id))
        .select(Request::as_select())
        .first(c)
        .await
        .optional())
    .map_err(StoreError::of("requests.get"))
}

/// Writes a row. [`StoreError::NotUnique`]: the same request is being carried out at the same time.
pub async fn insert(tx: &mut Tx, row: &Request) -> Result<(), StoreError> {
    on!(tx, c => diesel::insert_into(requests::table).values(row).execute(c).await)
        .map(|_| ())
        .map_err(StoreError::of("requests.insert"))
}

/// Forgets what began an operation, so that the same request begins another.
pub async fn forget(tx: &mut Tx, operation: Id) -> Result<(), StoreError> {
    on!(tx, c => diesel::delete(requests::table)
        .filter(requests::operation_id.eq(operation))
        .execute(c)
        .await)
    .map(|_| ())
    .map_err(StoreError::of("requests.forget"))
}

/// Forgets requests from before `before`.
pub async fn remove_aged(tx: &mut Tx, before: Timestamp) -> Result<usize, StoreError> {
    on!(tx, c => diesel::delete(requests::table)
        .filter(requests::create_time.lt(before))
        .execute(c)
        .await)
    .map_err(StoreError::of("requests.remove_aged"))
}
