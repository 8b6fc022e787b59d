//! Times, by the database's clock: the only one that several managers share.

use std::time::Duration;

use diesel::{dsl::sql, select};
use diesel_async::RunQueryDsl as _;

use super::{
    StoreError, Tx,
    engine::{Connection, on},
    sql_types::TimestampColumn,
};

/// Microseconds since the Unix epoch.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    diesel::expression::AsExpression,
    diesel::deserialize::FromSqlRow,
)]
#[diesel(sql_type = TimestampColumn)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Later by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// Earlier by `by`.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// How long after `earlier`; zero if before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Tx {
    /// What the database's clock says at this moment; not when the transaction began, since a wait for a lock may lie
    /// between.
    pub async fn now(&mut self) -> Result<Timestamp, StoreError> {
        const WHAT: &str = "clock.now";
        match &mut self.connection {
            Connection::Postgres(c) => select(sql::<TimestampColumn>("clock_timestamp()"))
                .get_result(&mut ***c)
                .await
                .map_err(StoreError::of(WHAT)),
            Connection::Sqlite(t) => select(sql::<TimestampColumn>(
                "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            ))
            .get_result(&mut **t.connection)
            .await
            .map_err(StoreError::of(WHAT)),
        }
    }

    /// Whether the connection works.
    pub async fn ping(&mut self) -> Result<(), StoreError> {
        on!(self, c => diesel::sql_query("SELECT 1").execute(c).await)
            .map(|_| ())
            .map_err(StoreError::of("ping"))
    }
}
