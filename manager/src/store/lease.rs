//! Writing with the lease in the WHERE clause.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use vfolder_common::error::Exceeded;

use super::{
    Change, Id, Progress, StoreError, Timestamp, Tx,
    engine::{Connection, on},
    schema::operations,
};
use crate::model::State;

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
    /// Its storage-proxy was not heard to the end: what is on the volume is not known.
    pub lost: bool,
    /// Which limit it would have exceeded, if it failed for one.
    pub exceeded: Option<Exceeded>,
    /// What its tree is, if it succeeded and that was asked for.
    pub receipt: Option<Receipt>,
}

/// What a storage-proxy found a tree to be.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The text of its digest.
    pub digest: String,
    /// Somebody could write meanwhile.
    pub may_have_changed: bool,
}

/// Renews the lease and notes progress. None: the lease is lost. Else whether somebody wishes to cancel.
pub async fn renew(
    tx: &mut Tx,
    held: Lease,
    now: Timestamp,
    lease: Duration,
    progress: Progress,
    failing_since: Option<Timestamp>,
) -> Result<Option<bool>, StoreError> {
    tx.note(Change::Progress(held.operation));
    on!(tx, c => diesel::update(operations::table.find(held.operation))
        .filter(operations::lease_owner.eq(held.owner))
        .filter(operations::attempt.eq(held.attempt))
        .filter(operations::state.eq(State::Running))
        .set((
            progress,
            operations::lease_expire_time.eq(now.plus(lease)),
            operations::failing_since.eq(failing_since),
            operations::update_time.eq(now),
        ))
        .returning(operations::cancel_requested)
        .get_result(c)
        .await
        .optional())
    .map_err(StoreError::of("lease.renew"))
}

/// Why an operation is given back, and when it may be taken again.
#[derive(Clone, Copy, Debug)]
pub struct Retry<'a> {
    /// When.
    pub time: Timestamp,
    /// Since when no attempt has got as far as working on the tree.
    pub failing_since: Timestamp,
    /// For people.
    pub problem: &'a str,
    /// Attempts so far that have failed at work.
    pub failures: i32,
}

/// Gives the operation back, to be taken again by whoever is free. False: the lease is lost.
pub async fn release(
    tx: &mut Tx,
    held: Lease,
    now: Timestamp,
    retry: Retry<'_>,
) -> Result<bool, StoreError> {
    tx.note(Change::Operation(held.operation));
    // Its turn is free, for whichever worker.
    tx.note(Change::Work);
    on!(tx, c => diesel::update(operations::table.find(held.operation))
        .filter(operations::lease_owner.eq(held.owner))
        .filter(operations::attempt.eq(held.attempt))
        .filter(operations::state.eq(State::Running))
        .set((
            operations::state.eq(State::Pending),
            operations::lease_owner.eq(None::<Id>),
            operations::lease_expire_time.eq(None::<Timestamp>),
            operations::retry_time.eq(retry.time),
            operations::failing_since.eq(retry.failing_since),
            operations::last_problem.eq(retry.problem),
            operations::failures.eq(retry.failures),
            operations::update_time.eq(now),
        ))
        .execute(c)
        .await)
    .map(|n| n == 1)
    .map_err(StoreError::of("lease.release"))
}

/// Whether somebody wishes to cancel, for a worker that is about to give the operation back. Nobody comes to wish it until
/// the transaction ends.
pub async fn is_cancel_requested(tx: &mut Tx, operation: Id) -> Result<bool, StoreError> {
    let wish = operations::table
        .find(operation)
        .select(operations::cancel_requested);
    match &mut tx.connection {
        Connection::Postgres(c) => wish.for_update().first(&mut ***c).await,
        Connection::Sqlite(t) => wish.first(&mut **t.connection).await,
    }
    .map_err(StoreError::of("lease.is_cancel_requested"))
}

/// Lets the leases of a worker that stops run out now: whoever is there or comes next takes its operations at once, and
/// as what they are, running, so that none loses its turn.
pub async fn give_back(tx: &mut Tx, owner: Id, now: Timestamp) -> Result<usize, StoreError> {
    tx.note(Change::Work);
    on!(tx, c => diesel::update(operations::table)
        .filter(operations::lease_owner.eq(owner))
        .filter(operations::state.eq(State::Running))
        .set((
            operations::lease_expire_time.eq(now),
            operations::retry_time.eq(now),
            operations::update_time.eq(now),
        ))
        .execute(c)
        .await)
    .map_err(StoreError::of("lease.give_back"))
}

/// Writes the outcome of an operation that no worker has had. False: one has had it.
pub async fn end_unstarted(
    tx: &mut Tx,
    operation: Id,
    now: Timestamp,
    ending: &Ending,
) -> Result<bool, StoreError> {
    tx.note(Change::Operation(operation));
    tx.note(Change::Work);
    on!(tx, c => diesel::update(operations::table.find(operation))
        .filter(operations::state.eq(State::Pending))
        .filter(operations::attempt.eq(0))
        .set((
            operations::state.eq(ending.state),
            operations::error_reason.eq(&ending.reason),
            operations::error_text.eq(&ending.text),
            operations::cancel_requested.eq(true),
            operations::end_time.eq(now),
            operations::update_time.eq(now),
        ))
        .execute(c)
        .await)
    .map(|n| n == 1)
    .map_err(StoreError::of("lease.end_unstarted"))
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
    // Its turn is free, for whichever worker.
    tx.note(Change::Work);
    let receipt = ending.receipt.as_ref();
    let exceeded = ending.exceeded.as_ref();
    let exceeded = exceeded.and_then(|exceeded| serde_json::to_string(exceeded).ok());
    on!(tx, c => diesel::update(operations::table.find(held.operation))
        .filter(operations::lease_owner.eq(held.owner))
        .filter(operations::attempt.eq(held.attempt))
        .filter(operations::state.eq(State::Running))
        .set((
            progress,
            operations::state.eq(ending.state),
            operations::error_reason.eq(&ending.reason),
            operations::error_text.eq(&ending.text),
            operations::exceeded.eq(exceeded.unwrap_or_default()),
            operations::digest.eq(receipt.map_or("", |receipt| &receipt.digest)),
            operations::may_have_changed.eq(receipt.is_some_and(|receipt| receipt.may_have_changed)),
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
