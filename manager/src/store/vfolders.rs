//! The table of vfolders.

use diesel::{
    ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, SelectableHelper as _,
    dsl::count_star,
    prelude::*,
    sql_types::{Integer, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    Id, Mode, StoreError, Timestamp, Tx,
    engine::{Connection, on},
    schema::{mounts, operations, vfolders},
};
use crate::model::{Backing, Caller, Kind, Owner, Permission, State, Status};

/// A row of `vfolders`.
#[derive(
    Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset, Identifiable,
)]
#[diesel(table_name = vfolders, treat_none_as_null = true)]
#[allow(missing_docs, reason = "the columns are documented in the migrations")]
pub struct Vfolder {
    pub id: Id,
    pub name: String,
    pub owner_kind: String,
    pub owner_id: String,
    pub volume: String,
    pub status: Status,
    pub status_reason: String,
    pub description: String,
    pub labels: String,
    pub member_permission: Permission,
    pub creator: String,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
    pub delete_time: Option<Timestamp>,
    pub purge_time: Option<Timestamp>,
    pub revision: i64,
    pub epoch: i64,
    pub fenced_epoch: i64,
    pub digest: String,
    pub digest_files: i64,
    pub digest_bytes: i64,
    pub digest_time: Option<Timestamp>,
    pub max_bytes: i64,
    pub max_files: i64,
    pub mounted_revision: i64,
    pub quota_untold: bool,
}

impl Vfolder {
    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self.owner_kind.as_str() {
            "user" => Owner::User(self.owner_id.clone()),
            _ => Owner::Project(self.owner_id.clone()),
        }
    }

    /// Changes whose it is.
    pub fn set_owner(&mut self, owner: &Owner) {
        self.owner_kind = owner.kind().into();
        self.owner_id = owner.id().into();
    }

    /// The etag of its revision.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(self.revision)
    }

    /// What a caller may do with it. None: it is not visible.
    #[must_use]
    pub fn permission(&self, caller: &Caller) -> Option<Permission> {
        caller.permission(&self.owner(), &self.creator, self.member_permission)
    }
}

/// The etag of a revision, quoted as an HTTP entity tag is.
#[must_use]
pub fn etag(revision: i64) -> String {
    format!("\"{revision}\"")
}

/// Which vfolders to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only what these may see: users and projects. None: everything.
    pub visible_to: Option<(String, Vec<String>)>,
    /// Only these statuses. Empty: any.
    pub statuses: Vec<Status>,
    /// Only of this owner.
    pub owner: Option<Owner>,
    /// Only on this volume.
    pub volume: Option<String>,
    /// Only names that begin so.
    pub name_prefix: Option<String>,
    /// Only after this id.
    pub after: Option<Id>,
}

/// Reads a row.
pub async fn get(tx: &mut Tx, id: Id) -> Result<Option<Vfolder>, StoreError> {
    on!(tx, c => vfolders::table
        .find(id)
        .select(Vfolder::as_select())
        .first(c)
        .await
        .optional())
    .map_err(StoreError::of("vfolders.get"))
}

/// Reads a row and keeps everybody else from changing it until the transaction ends.
pub async fn lock(tx: &mut Tx, id: Id) -> Result<Option<Vfolder>, StoreError> {
    match &mut tx.connection {
        Connection::Postgres(c) => {
            let row = vfolders::table.find(id).select(Vfolder::as_select());
            row.for_update().first(&mut ***c).await
        }
        // BEGIN IMMEDIATE has locked the database already.
        Connection::Sqlite(t) => {
            let row = vfolders::table.find(id).select(Vfolder::as_select());
            row.first(&mut **t.connection).await
        }
    }
    .optional()
    .map_err(StoreError::of("vfolders.lock"))
}

/// Writes a new row. [`StoreError::NotUnique`]: the name is taken.
pub async fn insert(tx: &mut Tx, row: &Vfolder) -> Result<(), StoreError> {
    on!(tx, c => diesel::insert_into(vfolders::table).values(row).execute(c).await)
        .map(|_| ())
        .map_err(StoreError::of("vfolders.insert"))
}

/// Writes a row that is locked. [`StoreError::NotUnique`]: the name is taken.
pub async fn update(tx: &mut Tx, row: &Vfolder) -> Result<(), StoreError> {
    on!(tx, c => diesel::update(vfolders::table.find(row.id)).set(row).execute(c).await)
        .map(|_| ())
        .map_err(StoreError::of("vfolders.update"))
}

/// Notes that the storage-proxy keeps out whoever comes with an epoch below this one. No change that anybody sees.
pub async fn mark_fenced(tx: &mut Tx, id: Id, epoch: i64) -> Result<(), StoreError> {
    on!(tx, c => diesel::update(vfolders::table.find(id))
        .filter(vfolders::fenced_epoch.lt(epoch))
        .set(vfolders::fenced_epoch.eq(epoch))
        .execute(c)
        .await)
    .map(|_| ())
    .map_err(StoreError::of("vfolders.mark_fenced"))
}

/// What is in the trash of a volume without its storage-proxy having been told: id, epoch.
pub async fn unfenced(tx: &mut Tx, volume: &str, limit: i64) -> Result<Vec<(Id, i64)>, StoreError> {
    on!(tx, c => vfolders::table
        .filter(vfolders::status.eq(Status::Trashed))
        .filter(vfolders::fenced_epoch.lt(vfolders::epoch))
        .filter(vfolders::volume.eq(volume))
        .order(vfolders::id)
        .select((vfolders::id, vfolders::epoch))
        .limit(limit)
        .load(c)
        .await)
    .map_err(StoreError::of("vfolders.unfenced"))
}

/// Removes a tombstone and everything about it.
pub async fn remove(tx: &mut Tx, id: Id) -> Result<(), StoreError> {
    on!(tx, c => diesel::delete(vfolders::table.find(id)).execute(c).await)
        .map(|_| ())
        .map_err(StoreError::of("vfolders.remove"))
}

/// Counts what is live on a vfolder at `now`.
pub async fn backing(tx: &mut Tx, id: Id, now: Timestamp) -> Result<Backing, StoreError> {
    const WHAT: &str = "vfolders.backing";
    let live = [State::Pending, State::Running];
    let made: Vec<(Kind, i64)> = on!(tx, c => operations::table
        .filter(operations::vfolder_id.eq(id))
        .filter(operations::state.eq_any(live))
        .group_by(operations::kind)
        .select((operations::kind, count_star()))
        .load(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    let clones: i64 = on!(tx, c => operations::table
        .filter(operations::source_id.eq(id))
        .filter(operations::state.eq_any(live))
        .select(count_star())
        .first(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    let modes: Vec<(Mode, i64)> = on!(tx, c => mounts::table
        .filter(mounts::vfolder_id.eq(id))
        .filter(mounts::expire_time.gt(now))
        .group_by(mounts::mode)
        .select((mounts::mode, count_star()))
        .load(c)
        .await)
    .map_err(StoreError::of(WHAT))?;
    let of = |kind: Kind| {
        made.iter()
            .filter(|(k, _)| *k == kind)
            .map(|(_, n)| n)
            .sum::<i64>()
    };
    Ok(Backing {
        purges: of(Kind::Purge),
        creations: of(Kind::Create) + of(Kind::Clone),
        in_place: Kind::ALL
            .iter()
            .filter(|kind| kind.is_in_place())
            .map(|kind| of(*kind))
            .sum(),
        clones,
        mounts: modes.iter().map(|(_, n)| n).sum(),
        write_mounts: modes
            .iter()
            .filter(|(mode, _)| *mode == Mode::ReadWrite)
            .map(|(_, n)| n)
            .sum(),
    })
}

/// Reads a page by id.
pub async fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Vfolder>, StoreError> {
    on!(tx, c => {
        let mut query = vfolders::table
            .select(Vfolder::as_select())
            .order(vfolders::id)
            .limit(limit)
            .into_boxed();
        if let Some((user, projects)) = &filter.visible_to {
            query = query.filter(
                vfolders::owner_kind.eq("user").and(vfolders::owner_id.eq(user))
                    .or(vfolders::owner_kind.eq("project").and(vfolders::owner_id.eq_any(projects))),
            );
        }
        if !filter.statuses.is_empty() {
            query = query.filter(vfolders::status.eq_any(&filter.statuses));
        }
        if let Some(owner) = &filter.owner {
            query = query
                .filter(vfolders::owner_kind.eq(owner.kind()))
                .filter(vfolders::owner_id.eq(owner.id()));
        }
        if let Some(volume) = &filter.volume {
            query = query.filter(vfolders::volume.eq(volume));
        }
        if let Some(prefix) = &filter.name_prefix {
            // Not LIKE: SQLite's ignores case.
            let length = i32::try_from(prefix.chars().count()).unwrap_or(i32::MAX);
            query = query.filter(substr(vfolders::name, 1, length).eq(prefix));
        }
        if let Some(after) = filter.after {
            query = query.filter(vfolders::id.gt(after));
        }
        query.load(c).await
    })
    .map_err(StoreError::of("vfolders.list"))
}

/// Serializes the making of vfolders of one owner until the transaction ends, so that a count decides.
pub async fn take_owner_turn(tx: &mut Tx, owner: &Owner) -> Result<(), StoreError> {
    match &mut tx.connection {
        Connection::Postgres(c) => {
            diesel::sql_query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
                .bind::<Text, _>(format!("vfolder owner {} {}", owner.kind(), owner.id()))
                .execute(&mut ***c)
                .await
                .map(|_| ())
                .map_err(StoreError::of("vfolders.take_owner_turn"))
        }
        // BEGIN IMMEDIATE lets one write at a time.
        Connection::Sqlite(_) => Ok(()),
    }
}

/// How many vfolders an owner has, trashed ones included.
pub async fn count_of(tx: &mut Tx, owner: &Owner) -> Result<i64, StoreError> {
    on!(tx, c => vfolders::table
        .filter(vfolders::owner_kind.eq(owner.kind()))
        .filter(vfolders::owner_id.eq(owner.id()))
        .filter(vfolders::status.ne(Status::Deleted))
        .select(count_star())
        .first(c)
        .await)
    .map_err(StoreError::of("vfolders.count_of"))
}

/// The ids of trashed vfolders of a volume whose time has come, to be looked at again under their lock.
pub async fn due_for_purge(
    tx: &mut Tx,
    volume: &str,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Id>, StoreError> {
    on!(tx, c => vfolders::table
        .filter(vfolders::status.eq(Status::Trashed))
        .filter(vfolders::purge_time.le(now))
        .filter(vfolders::volume.eq(volume))
        .order(vfolders::purge_time)
        .select(vfolders::id)
        .limit(limit)
        .load(c)
        .await)
    .map_err(StoreError::of("vfolders.due_for_purge"))
}

/// The ids of tombstones that are older than `before`.
pub async fn aged_out(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<Vec<Id>, StoreError> {
    on!(tx, c => vfolders::table
        .filter(vfolders::status.eq(Status::Deleted))
        .filter(vfolders::update_time.lt(before))
        .select(vfolders::id)
        .limit(limit)
        .load(c)
        .await)
    .map_err(StoreError::of("vfolders.aged_out"))
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// The part of a text from a character on (the first is 1), so many characters long. The same on both engines.
    fn substr(text: Text, from: Integer, length: Integer) -> Text;
}
