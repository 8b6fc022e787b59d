//! One order of all events.
//!
//! An event has its place given after its commit, in a transaction of its own that holds the feed's row: so places are
//! given one after the other, each to something that is committed, and whoever has read up to a place has missed nothing
//! before it. (A number drawn by the writing transaction would not do: those that drew lower ones may commit later.)

use std::collections::{HashMap, VecDeque};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Change, Event, Id, StoreError, Timestamp, Tx, Vfolder,
    engine::{Connection, on},
    schema::{events, feed, vfolders},
};

/// The row of `feed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = feed)]
pub struct Feed {
    /// Of this feed.
    pub id: Id,
    /// The last place given.
    pub last: i64,
    /// The last place of an event that was removed.
    pub horizon: i64,
}

/// Reads the row.
pub async fn get(tx: &mut Tx) -> Result<Feed, StoreError> {
    on!(tx, c => feed::table.select(Feed::as_select()).first(c).await)
        .map_err(StoreError::of("feed.get"))
}

/// Whether there are events without a place: a cheap look.
pub async fn has_unplaced(tx: &mut Tx) -> Result<bool, StoreError> {
    let found: Vec<i64> = on!(tx, c => events::table
        .filter(events::position.is_null())
        .select(events::sequence)
        .limit(1)
        .load(c)
        .await)
    .map_err(StoreError::of("feed.has_unplaced"))?;
    Ok(!found.is_empty())
}

/// Gives places to at most `limit` events that are committed and have none, and says how many got one. By time, except that
/// of one vfolder's none is overtaken: they are committed in the order of their sequence, and taken in it.
pub async fn place(tx: &mut Tx, limit: i64) -> Result<usize, StoreError> {
    const WHAT: &str = "feed.place";
    let row = lock(tx).await?;
    let found: Vec<(Timestamp, Id, i64)> = on!(tx, c => events::table
        .filter(events::position.is_null())
        .order((events::vfolder_id, events::sequence))
        .select((events::time, events::vfolder_id, events::sequence))
        .limit(limit)
        .load(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    if found.is_empty() {
        return Ok(0);
    }
    let found = by_time(found);
    let mut position = row.last;
    for (vfolder, sequence) in &found {
        position += 1;
        on!(tx, c => diesel::update(events::table.find((*vfolder, *sequence)))
            .set(events::position.eq(position))
            .execute(c)
            .await)
        .map_err(StoreError::of(WHAT))?;
    }
    on!(tx, c => diesel::update(feed::table).set(feed::last.eq(position)).execute(c).await)
        .map_err(StoreError::of(WHAT))?;
    tx.note(Change::Placed);
    Ok(found.len())
}

/// Sorted by time, but of each vfolder by sequence: a clock that was set back must not turn a history round.
fn by_time(mut found: Vec<(Timestamp, Id, i64)>) -> Vec<(Id, i64)> {
    let mut sequences: HashMap<Id, VecDeque<i64>> = HashMap::new();
    for (_, vfolder, sequence) in &found {
        sequences.entry(*vfolder).or_default().push_back(*sequence);
    }
    found.sort_unstable();
    found
        .into_iter()
        .filter_map(|(_, vfolder, _)| {
            let next = sequences.get_mut(&vfolder)?.pop_front()?;
            Some((vfolder, next))
        })
        .collect()
}

/// Those after a place, with their vfolders as they are now, that these may see (None: everybody), and the last place
/// looked at.
pub async fn after(
    tx: &mut Tx,
    position: i64,
    visible_to: Option<&(String, Vec<String>)>,
    limit: i64,
) -> Result<(Vec<(Event, Vfolder)>, i64), StoreError> {
    const WHAT: &str = "feed.after";
    let places: Vec<Option<i64>> = on!(tx, c => events::table
        .filter(events::position.gt(position))
        .order(events::position)
        .select(events::position)
        .limit(limit)
        .load(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    let Some(last) = places.last().copied().flatten() else {
        return Ok((Vec::new(), position));
    };
    let found = on!(tx, c => {
        let mut query = events::table
            .inner_join(vfolders::table)
            .filter(events::position.gt(position))
            .filter(events::position.le(last))
            .order(events::position)
            .select((Event::as_select(), Vfolder::as_select()))
            .into_boxed();
        if let Some((user, projects)) = visible_to {
            query = query.filter(
                vfolders::owner_kind.eq("user").and(vfolders::owner_id.eq(user))
                    .or(vfolders::owner_kind.eq("project").and(vfolders::owner_id.eq_any(projects))),
            );
        }
        query.load(c).await
    })
    .map_err(StoreError::of(WHAT))?;
    Ok((found, last))
}

/// Before the events of a vfolder are removed with its record: whoever has not read up to them is told that there is a
/// gap. False: one of them has no place yet, so they have to stay.
pub async fn raise_horizon(tx: &mut Tx, vfolder: Id) -> Result<bool, StoreError> {
    const WHAT: &str = "feed.raise_horizon";
    let row = lock(tx).await?;
    let unplaced: Vec<i64> = on!(tx, c => events::table
        .filter(events::vfolder_id.eq(vfolder))
        .filter(events::position.is_null())
        .select(events::sequence)
        .limit(1)
        .load(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    if !unplaced.is_empty() {
        return Ok(false);
    }
    let last: Option<i64> = on!(tx, c => events::table
        .filter(events::vfolder_id.eq(vfolder))
        .select(diesel::dsl::max(events::position))
        .first(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    let Some(last) = last.filter(|last| *last > row.horizon) else {
        return Ok(true);
    };
    on!(tx, c => diesel::update(feed::table).set(feed::horizon.eq(last)).execute(c).await)
        .map(|_| true)
        .map_err(StoreError::of(WHAT))
}

async fn lock(tx: &mut Tx) -> Result<Feed, StoreError> {
    match &mut tx.connection {
        Connection::Postgres(c) => {
            let row = feed::table.select(Feed::as_select());
            row.for_update().first(&mut ***c).await
        }
        Connection::Sqlite(t) => {
            feed::table
                .select(Feed::as_select())
                .first(&mut **t.connection)
                .await
        }
    }
    .map_err(StoreError::of("feed.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_does_not_turn_a_history_round() {
        let (a, b) = (Id::new(), Id::new());
        let at = |time, vfolder, sequence| (Timestamp(time), vfolder, sequence);
        let found = by_time(vec![at(5, a, 1), at(3, a, 2), at(9, a, 3), at(4, b, 1)]);
        assert_eq!(found, [(a, 1), (b, 1), (a, 2), (a, 3)]);
    }
}
