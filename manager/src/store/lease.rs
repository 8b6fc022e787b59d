//! Claiming operations and writing with the lease in the WHERE clause.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Change, Id, Operation, Progress, StoreError, Timestamp, Tx,
    engine::{Connection, on},
    schema::operations,
};
use crate::model::{Kind, State};

/// What a worker holds while it works: every write goes through it and fails once another worker has taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The operation.
    pub operation: Id,
    /// The worker.
    pub owner: Id,
    /// Which attempt it is: a worker that lost its lease and got it back is not the same holder.
    pub attempt: i32,
}

/// How an operation ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// A state that is not live.
    pub state: State,
    /// Why, for programs; empty if it succeeded.
    pub reason: String,
    /// Why, for people; empty if it succeeded.
    pub text: String,
}

/// Whether there is anything to claim: a cheap look that decides nothing.
pub async fn is_any_free(tx: &mut Tx, kinds: &[Kind], now: Timestamp) -> Result<bool, StoreError> {
    let found: Vec<Id> = on!(tx, c => operations::table
        .filter(operations::state.eq_any([State::Pending, State::Running]))
        .filter(operations::kind.eq_any(kinds))
        .filter(operations::retry_time.le(now))
        .filter(operations::lease_expire_time.is_null().or(operations::lease_expire_time.lt(now)))
        .select(operations::id)
        .limit(1)
        .load(c)
        .await)
    .map_err(StoreError::of("lease.is_any_free"))?;
    Ok(!found.is_empty())
}

/// Takes up to `limit` operations of these kinds that wait, or whose worker's lease has run out, oldest first.
pub async fn claim(
    tx: &mut Tx,
    kinds: &[Kind],
    owner: Id,
    now: Timestamp,
    lease: Duration,
    limit: i64,
) -> Result<Vec<Operation>, StoreError> {
    const WHAT: &str = "lease.claim";
    let free = operations::table
        .filter(operations::state.eq_any([State::Pending, State::Running]))
        .filter(operations::kind.eq_any(kinds))
        .filter(operations::retry_time.le(now))
        .filter(
            operations::lease_expire_time
                .is_null()
                .or(operations::lease_expire_time.lt(now)),
        )
        .order((operations::create_time, operations::id))
        .select(operations::id)
        .limit(limit);
    let ids: Vec<Id> = match &mut tx.connection {
        Connection::Postgres(c) => free.for_update().skip_locked().load(&mut ***c).await,
        Connection::Sqlite(t) => free.load(&mut **t.connection).await,
    }
    .map_err(StoreError::of(WHAT))?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    on!(tx, c => diesel::update(operations::table.filter(operations::id.eq_any(&ids)))
        .set((
            operations::state.eq(State::Running),
            operations::attempt.eq(operations::attempt + 1),
            operations::lease_owner.eq(owner),
            operations::lease_expire_time.eq(now.plus(lease)),
            operations::update_time.eq(now),
        ))
        .execute(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    on!(tx, c => diesel::update(operations::table.filter(operations::id.eq_any(&ids)))
        .filter(operations::start_time.is_null())
        .set(operations::start_time.eq(now))
        .execute(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    on!(tx, c => operations::table
        .filter(operations::id.eq_any(&ids))
        .order((operations::create_time, operations::id))
        .select(Operation::as_select())
        .load(c)
        .await)
    .map_err(StoreError::of(WHAT))
}

/// Renews the lease and notes progress. None: the lease is lost. Else whether somebody wishes to cancel.
pub async fn renew(
    tx: &mut Tx,
    held: Lease,
    now: Timestamp,
    lease: Duration,
    progress: Progress,
) -> Result<Option<bool>, StoreError> {
    tx.note(Change::Operation(held.operation));
    on!(tx, c => diesel::update(operations::table.find(held.operation))
        .filter(operations::lease_owner.eq(held.owner))
        .filter(operations::attempt.eq(held.attempt))
        .filter(operations::state.eq(State::Running))
        .set((
            progress,
            operations::lease_expire_time.eq(now.plus(lease)),
            operations::update_time.eq(now),
        ))
        .returning(operations::cancel_requested)
        .get_result(c)
        .await
        .optional())
    .map_err(StoreError::of("lease.renew"))
}

/// Gives the operation back, to be taken again at `retry_time` by whoever is free. False: the lease is lost.
pub async fn release(
    tx: &mut Tx,
    held: Lease,
    now: Timestamp,
    retry_time: Timestamp,
    problem: &str,
) -> Result<bool, StoreError> {
    tx.note(Change::Operation(held.operation));
    on!(tx, c => diesel::update(operations::table.find(held.operation))
        .filter(operations::lease_owner.eq(held.owner))
        .filter(operations::attempt.eq(held.attempt))
        .filter(operations::state.eq(State::Running))
        .set((
            operations::state.eq(State::Pending),
            operations::lease_owner.eq(None::<Id>),
            operations::lease_expire_time.eq(None::<Timestamp>),
            operations::retry_time.eq(retry_time),
            operations::last_problem.eq(problem),
            operations::update_time.eq(now),
        ))
        .execute(c)
        .await)
    .map(|n| n == 1)
    .map_err(StoreError::of("lease.release"))
}

/// Whether somebody wishes to cancel, for a worker that is about to give the operation back.
pub async fn is_cancel_requested(tx: &mut Tx, operation: Id) -> Result<bool, StoreError> {
    on!(tx, c => operations::table
        .find(operation)
        .select(operations::cancel_requested)
        .first(c)
        .await)
    .map_err(StoreError::of("lease.is_cancel_requested"))
}

/// Gives back all that a worker which stops has, to be taken at once by whoever is there or comes next.
pub async fn give_back(tx: &mut Tx, owner: Id, now: Timestamp) -> Result<usize, StoreError> {
    on!(tx, c => diesel::update(operations::table)
        .filter(operations::lease_owner.eq(owner))
        .filter(operations::state.eq(State::Running))
        .set((
            operations::state.eq(State::Pending),
            operations::lease_owner.eq(None::<Id>),
            operations::lease_expire_time.eq(None::<Timestamp>),
            operations::retry_time.eq(now),
            operations::update_time.eq(now),
        ))
        .execute(c)
        .await)
    .map_err(StoreError::of("lease.give_back"))
}

/// Writes the outcome. False: the lease is lost, and whoever has it will write one.
pub async fn end(
    tx: &mut Tx,
    held: Lease,
    now: Timestamp,
    ending: &Ending,
    progress: Progress,
) -> Result<bool, StoreError> {
    tx.note(Change::Operation(held.operation));
    on!(tx, c => diesel::update(operations::table.find(held.operation))
        .filter(operations::lease_owner.eq(held.owner))
        .filter(operations::attempt.eq(held.attempt))
        .filter(operations::state.eq(State::Running))
        .set((
            progress,
            operations::state.eq(ending.state),
            operations::error_reason.eq(&ending.reason),
            operations::error_text.eq(&ending.text),
            operations::lease_owner.eq(None::<Id>),
            operations::lease_expire_time.eq(None::<Timestamp>),
            operations::end_time.eq(now),
            operations::update_time.eq(now),
        ))
        .execute(c)
        .await)
    .map(|n| n == 1)
    .map_err(StoreError::of("lease.end"))
}
