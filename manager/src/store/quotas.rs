//! The owners' limits, by volume.

use diesel::{ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, prelude::*};
use diesel_async::RunQueryDsl;

use super::{
    Id, StoreError, Timestamp, Tx, Vfolder,
    engine::on,
    schema::{owner_quotas, vfolders},
};
use crate::model::{Owner, Status};

/// A row of `owner_quotas`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = owner_quotas)]
#[allow(missing_docs, reason = "the columns are documented in the migrations")]
pub struct OwnerQuota {
    pub volume: String,
    pub owner_kind: String,
    pub owner_id: String,
    pub max_bytes: i64,
    pub max_files: i64,
    pub revision: i64,
    pub update_time: Timestamp,
    pub untold: bool,
}

impl OwnerQuota {
    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self.owner_kind.as_str() {
            "user" => Owner::User(self.owner_id.clone()),
            _ => Owner::Project(self.owner_id.clone()),
        }
    }
}

/// Reads an owner's limits on a volume; nothing if there have never been any.
pub async fn get(
    tx: &mut Tx,
    volume: &str,
    owner: &Owner,
) -> Result<Option<OwnerQuota>, StoreError> {
    on!(tx, c => owner_quotas::table
        .find((volume, owner.kind(), owner.id()))
        .select(OwnerQuota::as_select())
        .first(c)
        .await
        .optional())
    .map_err(StoreError::of("quotas.get"))
}

/// Writes an owner's limits, over what was there. The owner's turn is taken: nobody else writes them meanwhile.
pub async fn set(tx: &mut Tx, row: &OwnerQuota) -> Result<(), StoreError> {
    on!(tx, c => diesel::insert_into(owner_quotas::table)
        .values(row)
        .on_conflict((owner_quotas::volume, owner_quotas::owner_kind, owner_quotas::owner_id))
        .do_update()
        .set(row)
        .execute(c)
        .await)
    .map(|_| ())
    .map_err(StoreError::of("quotas.set"))
}

/// Reads a page of a volume's limits, by owner: kind, then id; after that one.
pub async fn list(
    tx: &mut Tx,
    volume: &str,
    after: Option<&Owner>,
    limit: i64,
) -> Result<Vec<OwnerQuota>, StoreError> {
    on!(tx, c => {
        let mut query = owner_quotas::table
            .filter(owner_quotas::volume.eq(volume))
            .filter(owner_quotas::max_bytes.gt(0).or(owner_quotas::max_files.gt(0)))
            .select(OwnerQuota::as_select())
            .order((owner_quotas::owner_kind, owner_quotas::owner_id))
            .limit(limit)
            .into_boxed();
        if let Some(after) = after {
            query = query.filter(
                owner_quotas::owner_kind.gt(after.kind()).or(owner_quotas::owner_kind
                    .eq(after.kind())
                    .and(owner_quotas::owner_id.gt(after.id()))),
            );
        }
        query.load(c).await
    })
    .map_err(StoreError::of("quotas.list"))
}

/// The owner's vfolders on a volume that have a tree, or will: to tell the storage-proxy which count together.
pub async fn vfolders_of(
    tx: &mut Tx,
    volume: &str,
    owner: &Owner,
) -> Result<Vec<Vfolder>, StoreError> {
    on!(tx, c => vfolders::table
        .filter(vfolders::owner_kind.eq(owner.kind()))
        .filter(vfolders::owner_id.eq(owner.id()))
        .filter(vfolders::volume.eq(volume))
        .filter(vfolders::status.ne(Status::Deleted))
        .select(Vfolder::as_select())
        .load(c)
        .await)
    .map_err(StoreError::of("quotas.vfolders_of"))
}

/// The vfolders of a volume about which its storage-proxy has not heard the last.
pub async fn untold(tx: &mut Tx, volume: &str, limit: i64) -> Result<Vec<Vfolder>, StoreError> {
    on!(tx, c => vfolders::table
        .filter(vfolders::quota_untold.eq(true))
        .filter(vfolders::volume.eq(volume))
        .order(vfolders::id)
        .select(Vfolder::as_select())
        .limit(limit)
        .load(c)
        .await)
    .map_err(StoreError::of("quotas.untold"))
}

/// The owners about whose limits on a volume its storage-proxy has not heard the last.
pub async fn untold_owners(
    tx: &mut Tx,
    volume: &str,
    limit: i64,
) -> Result<Vec<OwnerQuota>, StoreError> {
    on!(tx, c => owner_quotas::table
        .filter(owner_quotas::untold.eq(true))
        .filter(owner_quotas::volume.eq(volume))
        .order((owner_quotas::owner_kind, owner_quotas::owner_id))
        .select(OwnerQuota::as_select())
        .limit(limit)
        .load(c)
        .await)
    .map_err(StoreError::of("quotas.untold_owners"))
}

/// Notes that the storage-proxy has heard of a vfolder as of that revision. No change that anybody sees.
pub async fn mark_told(tx: &mut Tx, id: Id, revision: i64) -> Result<(), StoreError> {
    on!(tx, c => diesel::update(vfolders::table.find(id))
        .filter(vfolders::revision.eq(revision))
        .set(vfolders::quota_untold.eq(false))
        .execute(c)
        .await)
    .map(|_| ())
    .map_err(StoreError::of("quotas.mark_told"))
}

/// Notes that the storage-proxy has heard of an owner's limits, all the owner's vfolders included.
pub async fn mark_owner_told(tx: &mut Tx, row: &OwnerQuota) -> Result<(), StoreError> {
    let key = (&row.volume, &row.owner_kind, &row.owner_id);
    on!(tx, c => diesel::update(owner_quotas::table.find(key))
        .filter(owner_quotas::revision.eq(row.revision))
        .set(owner_quotas::untold.eq(false))
        .execute(c)
        .await)
    .map(|_| ())
    .map_err(StoreError::of("quotas.mark_owner_told"))
}
