//! The queues: which operation is next on a volume.
//!
//! A volume has a queue for each lane. Owners take turns in it: an operation's turn is its place among its owner's own
//! that wait, plus how many of that owner's run. So the first of somebody who has none running comes before the second of
//! everybody else, however many those have queued.

use std::time::Duration;

use diesel::{
    dsl::{count_star, sql},
    prelude::*,
    sql_types::{BigInt, Bool, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    Id, Operation, StoreError, Timestamp, Tx,
    engine::{Connection, on},
    lease::Lease,
    schema::operations,
    sql_types::{TimestampColumn, UuidColumn},
    volumes,
};
use crate::model::{Lane, State};

/// How many may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// On the volume, of this lane, whichever manager has them.
    pub on_volume: i64,
    /// That this worker can take now.
    pub in_worker: i64,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = UuidColumn)]
    id: Id,
}

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = BigInt)]
    place: i64,
}

/// The volumes on which something of the lane may be free to claim: a cheap look that decides nothing.
pub async fn volumes_with_work(
    tx: &mut Tx,
    lane: Lane,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    on!(tx, c => operations::table
        // Written out: SQLite uses a partial index only for what it can read in the statement.
        .filter(sql::<Bool>("state IN ('PENDING', 'RUNNING')"))
        .filter(operations::kind.eq_any(lane.kinds()))
        .filter(operations::retry_time.le(now))
        .filter(operations::lease_expire_time.is_null().or(operations::lease_expire_time.lt(now)))
        .select(operations::volume)
        .distinct()
        .load(c)
        .await)
    .map_err(StoreError::of("queue.volumes_with_work"))
}

/// Takes operations of a lane on a volume: first those whose worker's lease has run out, which have their room already;
/// then those that somebody wishes to cancel, which have as much room again; then, unless the volume is paused, those
/// whose turn it is. What is quick is not paused: somebody waits for it, and it is over in a moment.
///
/// Holds the volume's row until the transaction ends.
pub async fn claim(
    tx: &mut Tx,
    volume: &str,
    lane: Lane,
    worker: Id,
    now: Timestamp,
    lease: Duration,
    room: Room,
) -> Result<Vec<Operation>, StoreError> {
    let queue = volumes::lock(tx, volume).await?;
    let mut ids = lapsed(tx, volume, lane, now, room.in_worker).await?;
    let running = count(tx, volume, lane, State::Running).await?;
    let left = |ids: &[Id]| room.in_worker - i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let free = (2 * room.on_volume - running).min(left(&ids));
    ids.extend(unwanted(tx, volume, lane, now, free.max(0)).await?);
    let free = (room.on_volume - running).min(left(&ids));
    if free > 0 && (!queue.paused || lane == Lane::Quick) {
        let next = next(tx, volume, lane, now, free).await?;
        let new: Vec<Id> = next.into_iter().filter(|id| !ids.contains(id)).collect();
        ids.extend(new);
    }
    let ids = lock(tx, &ids, now).await?;
    take(tx, &ids, worker, now, lease).await
}

/// Those whose worker's lease has run out.
async fn lapsed(
    tx: &mut Tx,
    volume: &str,
    lane: Lane,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Id>, StoreError> {
    on!(tx, c => operations::table
        .filter(operations::state.eq(State::Running))
        .filter(operations::volume.eq(volume))
        .filter(operations::kind.eq_any(lane.kinds()))
        .filter(operations::lease_expire_time.lt(now))
        .order((operations::create_time, operations::id))
        .select(operations::id)
        .limit(limit)
        .load(c)
        .await)
    .map_err(StoreError::of("queue.lapsed"))
}

/// Those that wait, and that somebody wishes to cancel.
async fn unwanted(
    tx: &mut Tx,
    volume: &str,
    lane: Lane,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Id>, StoreError> {
    on!(tx, c => operations::table
        .filter(operations::state.eq(State::Pending))
        .filter(operations::volume.eq(volume))
        .filter(operations::kind.eq_any(lane.kinds()))
        .filter(operations::cancel_requested.eq(true))
        .filter(operations::retry_time.le(now))
        .order((operations::create_time, operations::id))
        .select(operations::id)
        .limit(limit)
        .load(c)
        .await)
    .map_err(StoreError::of("queue.unwanted"))
}

/// Those whose turn it is.
async fn next(
    tx: &mut Tx,
    volume: &str,
    lane: Lane,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Id>, StoreError> {
    let text = format!(
        "{} SELECT id FROM queue ORDER BY place LIMIT $4",
        queue_of(lane)
    );
    let found: Vec<Found> = on!(tx, c => diesel::sql_query(&text)
        .bind::<Text, _>(volume)
        .bind::<TimestampColumn, _>(now)
        .bind::<Text, _>(volume)
        .bind::<BigInt, _>(limit)
        .load(c)
        .await)
    .map_err(StoreError::of("queue.next"))?;
    Ok(found.into_iter().map(|f| f.id).collect())
}

/// How many operations come before this one, itself included, if it waits in its queue now.
pub async fn place(tx: &mut Tx, op: &Operation, now: Timestamp) -> Result<Option<i64>, StoreError> {
    if op.state != State::Pending {
        return Ok(None);
    }
    let text = format!(
        "{} SELECT place FROM queue WHERE id = $4",
        queue_of(op.kind.lane())
    );
    let found: Option<Place> = on!(tx, c => diesel::sql_query(&text)
        .bind::<Text, _>(&op.volume)
        .bind::<TimestampColumn, _>(now)
        .bind::<Text, _>(&op.volume)
        .bind::<UuidColumn, _>(op.id)
        .get_result(c)
        .await
        .optional())
    .map_err(StoreError::of("queue.place"))?;
    Ok(found.map(|f| f.place))
}

/// `queue`: what waits, with its place. Parameters: the volume, now, the volume again (SQLite counts each mention).
fn queue_of(lane: Lane) -> String {
    let kinds: Vec<String> = lane.kinds().iter().map(|k| format!("'{k}'")).collect();
    let kinds = kinds.join(", ");
    format!(
        "WITH waiting AS (
             SELECT id, owner, create_time,
                    row_number() OVER (PARTITION BY owner ORDER BY create_time, id) AS nth
             FROM operations
             WHERE volume = $1 AND kind IN ({kinds}) AND state = 'PENDING' AND retry_time <= $2
         ), busy AS (
             SELECT owner, count(*) AS n
             FROM operations
             WHERE volume = $3 AND kind IN ({kinds}) AND state = 'RUNNING'
             GROUP BY owner
         ), queue AS (
             SELECT w.id, row_number() OVER (ORDER BY w.nth + coalesce(b.n, 0), w.create_time, w.id) AS place
             FROM waiting w LEFT JOIN busy b ON b.owner = w.owner
         )"
    )
}

/// How many of a lane on a volume are in a state.
pub async fn count(tx: &mut Tx, volume: &str, lane: Lane, state: State) -> Result<i64, StoreError> {
    on!(tx, c => operations::table
        .filter(operations::volume.eq(volume))
        .filter(operations::kind.eq_any(lane.kinds()))
        .filter(operations::state.eq(state))
        .select(count_star())
        .first(c)
        .await)
    .map_err(StoreError::of("queue.count"))
}

/// How many of a lane on a volume wait, of this owner.
pub async fn count_of_owner(
    tx: &mut Tx,
    volume: &str,
    lane: Lane,
    owner: &str,
) -> Result<i64, StoreError> {
    on!(tx, c => operations::table
        .filter(operations::volume.eq(volume))
        .filter(operations::kind.eq_any(lane.kinds()))
        .filter(operations::state.eq(State::Pending))
        .filter(operations::owner.eq(owner))
        .select(count_star())
        .first(c)
        .await)
    .map_err(StoreError::of("queue.count_of_owner"))
}

/// Locks those that are still free. One whose end is being written at this moment is left alone.
async fn lock(tx: &mut Tx, ids: &[Id], now: Timestamp) -> Result<Vec<Id>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let free = operations::table
        .filter(operations::id.eq_any(ids))
        .filter(operations::state.eq_any([State::Pending, State::Running]))
        .filter(operations::retry_time.le(now))
        .filter(
            operations::lease_expire_time
                .is_null()
                .or(operations::lease_expire_time.lt(now)),
        )
        .select(operations::id);
    match &mut tx.connection {
        Connection::Postgres(c) => free.for_update().skip_locked().load(&mut ***c).await,
        Connection::Sqlite(t) => free.load(&mut **t.connection).await,
    }
    .map_err(StoreError::of("queue.lock"))
}

async fn take(
    tx: &mut Tx,
    ids: &[Id],
    worker: Id,
    now: Timestamp,
    lease: Duration,
) -> Result<Vec<Operation>, StoreError> {
    const WHAT: &str = "queue.take";
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // Each row once: a second update in one transaction makes PostgreSQL check the row's foreign key again, which waits for
    // whoever holds the vfolder; and who cancels holds that, and waits for this row.
    let taken = || {
        (
            operations::state.eq(State::Running),
            operations::attempt.eq(operations::attempt + 1),
            operations::lease_owner.eq(worker),
            operations::lease_time.eq(now),
            operations::lease_expire_time.eq(now.plus(lease)),
            operations::update_time.eq(now),
        )
    };
    on!(tx, c => diesel::update(operations::table.filter(operations::id.eq_any(ids)))
        .filter(operations::start_time.is_not_null())
        .set(taken())
        .execute(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    on!(tx, c => diesel::update(operations::table.filter(operations::id.eq_any(ids)))
        .filter(operations::start_time.is_null())
        .set((taken(), operations::start_time.eq(now)))
        .execute(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    let taken: Vec<Operation> = on!(tx, c => operations::table
        .filter(operations::id.eq_any(ids))
        .order((operations::create_time, operations::id))
        .select(Operation::as_select())
        .load(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    for op in &taken {
        tx.note(super::Change::Operation(op.id));
    }
    Ok(taken)
}

impl Operation {
    /// What its worker holds, right after the claim.
    #[must_use]
    pub fn lease_of(&self, worker: Id) -> Lease {
        Lease {
            operation: self.id,
            owner: worker,
            attempt: self.attempt,
        }
    }
}
