//! The table of operations: durable work, its lease and its progress.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Change, Id, StoreError, Timestamp, Tx,
    engine::on,
    schema::{operations, vfolders},
};
use crate::model::{Kind, State};

/// A row of `operations`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = operations)]
#[allow(missing_docs, reason = "the columns are documented in the migrations")]
pub struct Operation {
    pub id: Id,
    pub kind: Kind,
    pub vfolder_id: Id,
    pub source_id: Option<Id>,
    pub volume: String,
    pub requester: String,
    pub state: State,
    pub attempt: i32,
    pub lease_owner: Option<Id>,
    pub lease_expire_time: Option<Timestamp>,
    pub retry_time: Timestamp,
    pub cancel_requested: bool,
    pub epoch: i64,
    pub files_done: i64,
    pub files_total: i64,
    pub bytes_done: i64,
    pub bytes_total: i64,
    pub files_per_second: i64,
    pub bytes_per_second: i64,
    pub error_reason: String,
    pub error_text: String,
    pub last_problem: String,
    pub create_time: Timestamp,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
    pub update_time: Timestamp,
    pub owner: String,
    pub source_epoch: i64,
    pub lease_time: Option<Timestamp>,
    pub failing_since: Option<Timestamp>,
    pub receipt: bool,
    pub digest: String,
    pub expected_digest: String,
    pub may_have_changed: bool,
    pub arguments: String,
    pub exceeded: String,
    pub failures: i32,
}

/// How far the work on a tree is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = operations)]
#[allow(missing_docs, reason = "the columns are documented in the migrations")]
pub struct Progress {
    pub files_done: i64,
    pub files_total: i64,
    pub bytes_done: i64,
    pub bytes_total: i64,
    pub files_per_second: i64,
    pub bytes_per_second: i64,
}

impl Operation {
    /// A new one, which the next free worker takes.
    #[must_use]
    pub fn new(kind: Kind, vfolder: Id, source: Option<Id>, volume: &str, now: Timestamp) -> Self {
        Self {
            id: Id::new(),
            kind,
            vfolder_id: vfolder,
            source_id: source,
            volume: volume.to_owned(),
            requester: String::new(),
            state: State::Pending,
            attempt: 0,
            lease_owner: None,
            lease_expire_time: None,
            retry_time: now,
            cancel_requested: false,
            epoch: 0,
            files_done: 0,
            files_total: 0,
            bytes_done: 0,
            bytes_total: 0,
            files_per_second: 0,
            bytes_per_second: 0,
            error_reason: String::new(),
            error_text: String::new(),
            last_problem: String::new(),
            create_time: now,
            start_time: None,
            end_time: None,
            update_time: now,
            owner: String::new(),
            source_epoch: 0,
            lease_time: None,
            failing_since: None,
            receipt: false,
            digest: String::new(),
            expected_digest: String::new(),
            may_have_changed: false,
            arguments: String::new(),
            exceeded: String::new(),
            failures: 0,
        }
    }

    /// `operations/<id>`.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.id)
    }

    /// The vfolders that it backs a status of, by ascending id: the order in which to lock them.
    #[must_use]
    pub fn vfolders(&self) -> Vec<Id> {
        let mut ids: Vec<Id> = self
            .source_id
            .into_iter()
            .chain([self.vfolder_id])
            .collect();
        ids.sort_unstable();
        ids
    }
}

/// `operations/<id>`.
#[must_use]
pub fn name(id: Id) -> String {
    format!("operations/{id}")
}

const LIVE: [State; 2] = [State::Pending, State::Running];

/// Writes a new row.
pub async fn insert(tx: &mut Tx, row: &Operation) -> Result<(), StoreError> {
    tx.note(Change::Work);
    on!(tx, c => diesel::insert_into(operations::table).values(row).execute(c).await)
        .map(|_| ())
        .map_err(StoreError::of("operations.insert"))
}

/// Reads a row.
pub async fn get(tx: &mut Tx, id: Id) -> Result<Option<Operation>, StoreError> {
    on!(tx, c => operations::table
        .find(id)
        .select(Operation::as_select())
        .first(c)
        .await
        .optional())
    .map_err(StoreError::of("operations.get"))
}

/// The live operations on a vfolder, as source or destination, oldest first.
pub async fn live_on(tx: &mut Tx, vfolder: Id) -> Result<Vec<Operation>, StoreError> {
    on!(tx, c => operations::table
        .filter(operations::state.eq_any(LIVE))
        .filter(operations::vfolder_id.eq(vfolder).or(operations::source_id.eq(vfolder)))
        .order(operations::id)
        .select(Operation::as_select())
        .load(c)
        .await)
    .map_err(StoreError::of("operations.live_on"))
}

/// (vfolder, operation) for each live operation on one of these vfolders, as source or destination.
pub async fn live_names(tx: &mut Tx, of: &[Id]) -> Result<Vec<(Id, Id)>, StoreError> {
    const WHAT: &str = "operations.live_names";
    let rows: Vec<(Id, Id, Option<Id>)> = on!(tx, c => operations::table
        .filter(operations::state.eq_any(LIVE))
        .filter(operations::vfolder_id.eq_any(of).or(operations::source_id.eq_any(of.iter().copied().map(Some))))
        .order(operations::id)
        .select((operations::id, operations::vfolder_id, operations::source_id))
        .load(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    Ok(rows
        .into_iter()
        .flat_map(|(op, vfolder, source)| {
            [Some(vfolder), source]
                .into_iter()
                .flatten()
                .map(move |v| (v, op))
        })
        .filter(|(v, _)| of.contains(v))
        .collect())
}

/// Which operations to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only asked for by this user, or on a vfolder of this user or these projects, as source or destination. None:
    /// everything.
    pub visible_to: Option<(String, Vec<String>)>,
    /// Only ended ones, or only live ones.
    pub done: Option<bool>,
    /// Only on this vfolder, as source or destination.
    pub vfolder: Option<Id>,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only before this id.
    pub before: Option<Id>,
}

/// Reads a page, newest first.
pub async fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Operation>, StoreError> {
    let sources = diesel::alias!(vfolders as sources);
    on!(tx, c => {
        let mut query = operations::table
            .inner_join(vfolders::table)
            .select(Operation::as_select())
            .order(operations::id.desc())
            .limit(limit)
            .into_boxed();
        if let Some((user, projects)) = &filter.visible_to {
            query = query.filter(
                operations::requester.eq(user)
                    .or(operations::source_id.eq_any(
                        sources
                            .filter(
                                sources.field(vfolders::owner_kind).eq("user")
                                    .and(sources.field(vfolders::owner_id).eq(user))
                                    .or(sources.field(vfolders::owner_kind).eq("project")
                                        .and(sources.field(vfolders::owner_id).eq_any(projects))),
                            )
                            .select(sources.field(vfolders::id).nullable()),
                    ))
                    .or(vfolders::owner_kind.eq("user").and(vfolders::owner_id.eq(user)))
                    .or(vfolders::owner_kind.eq("project").and(vfolders::owner_id.eq_any(projects))),
            );
        }
        match filter.done {
            Some(true) => query = query.filter(operations::state.ne_all(LIVE)),
            Some(false) => query = query.filter(operations::state.eq_any(LIVE)),
            None => {}
        }
        if let Some(vfolder) = filter.vfolder {
            query = query.filter(
                operations::vfolder_id.eq(vfolder).or(operations::source_id.eq(vfolder)),
            );
        }
        if let Some(kind) = filter.kind {
            query = query.filter(operations::kind.eq(kind));
        }
        if let Some(before) = filter.before {
            query = query.filter(operations::id.lt(before));
        }
        query.load(c).await
    })
    .map_err(StoreError::of("operations.list"))
}

/// Notes the wish to cancel. False: it has ended, or there is none.
pub async fn request_cancel(tx: &mut Tx, id: Id, now: Timestamp) -> Result<bool, StoreError> {
    tx.note(Change::Operation(id));
    tx.note(Change::Work);
    on!(tx, c => diesel::update(operations::table.find(id))
        .filter(operations::state.eq_any(LIVE))
        .set((operations::cancel_requested.eq(true), operations::retry_time.eq(now)))
        .execute(c)
        .await)
    .map(|n| n == 1)
    .map_err(StoreError::of("operations.request_cancel"))
}

/// Lets those on a volume that pause after a failed attempt be taken at once, and says how many.
pub async fn retry_now(tx: &mut Tx, volume: &str, now: Timestamp) -> Result<usize, StoreError> {
    tx.note(Change::Work);
    on!(tx, c => diesel::update(operations::table)
        .filter(operations::volume.eq(volume))
        .filter(operations::state.eq(State::Pending))
        .filter(operations::retry_time.gt(now))
        .set((operations::retry_time.eq(now), operations::update_time.eq(now)))
        .execute(c)
        .await)
    .map_err(StoreError::of("operations.retry_now"))
}

/// Removes the record of one that has ended. False: it is live, or there is none.
pub async fn remove_ended(tx: &mut Tx, id: Id) -> Result<bool, StoreError> {
    on!(tx, c => diesel::delete(operations::table.find(id))
        .filter(operations::state.ne_all(LIVE))
        .execute(c)
        .await)
    .map(|n| n == 1)
    .map_err(StoreError::of("operations.remove_ended"))
}

/// Removes the records of those that ended before `before`.
pub async fn remove_aged(tx: &mut Tx, before: Timestamp) -> Result<usize, StoreError> {
    on!(tx, c => diesel::delete(operations::table)
        .filter(operations::end_time.lt(before))
        .execute(c)
        .await)
    .map_err(StoreError::of("operations.remove_aged"))
}
