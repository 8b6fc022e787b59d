//! How a connection of either engine is set up.

use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::{
    AsyncConnection, AsyncPgConnection, SimpleAsyncConnection as _,
    pooled_connection::{ManagerConfig, RecyclingMethod},
};
use futures_util::FutureExt as _;

use super::engine::AsyncSqlite;

/// How long a statement on SQLite waits for another process's lock. Within this process nobody waits for it: see
/// [`Store::begin`].
const SQLITE_BUSY: Duration = Duration::from_secs(10);

/// How long a transaction may lie idle: all of ours are one statement after the other, so one that lies is of a manager
/// that was stopped or cut off, and keeps its rows from the others.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(4);
/// How long a statement waits for a row.
const LOCK_WAIT: Duration = Duration::from_secs(8);
/// How long a statement takes at most.
const STATEMENT: Duration = Duration::from_secs(30);

pub(super) fn postgres() -> ManagerConfig<AsyncPgConnection> {
    let mut setup = ManagerConfig::<AsyncPgConnection>::default();
    setup.recycling_method = RecyclingMethod::Fast;
    setup.custom_setup = Box::new(|url| {
        let url = url.to_owned();
        async move {
            let mut connection = AsyncPgConnection::establish(&url).await?;
            // A commit that was acknowledged survives a crash of the server, whatever its default; a stricter one stays.
            connection
                .batch_execute(&format!(
                    "SELECT set_config('synchronous_commit', 'on', false)
                     WHERE current_setting('synchronous_commit') IN ('off', 'local');
                     SET idle_in_transaction_session_timeout = {};
                     SET lock_timeout = {};
                     SET statement_timeout = {};",
                    IDLE_IN_TRANSACTION.as_millis(),
                    LOCK_WAIT.as_millis(),
                    STATEMENT.as_millis(),
                ))
                .await
                .map_err(ConnectionError::CouldntSetupConfiguration)?;
            Ok(connection)
        }
        .boxed()
    });
    setup
}

pub(super) fn sqlite() -> ManagerConfig<AsyncSqlite> {
    let mut setup = ManagerConfig::<AsyncSqlite>::default();
    setup.recycling_method = RecyclingMethod::Fast;
    setup.custom_setup = Box::new(|path| {
        let path = path.to_owned();
        async move {
            let mut connection = AsyncSqlite::establish(&path).await?;
            // FULL: a commit that was acknowledged survives a power cut.
            connection
                .batch_execute(&format!(
                    "PRAGMA busy_timeout = {};
                     PRAGMA journal_mode = WAL;
                     PRAGMA synchronous = FULL;
                     PRAGMA foreign_keys = ON;",
                    SQLITE_BUSY.as_millis()
                ))
                .await
                .map_err(ConnectionError::CouldntSetupConfiguration)?;
            Ok(connection)
        }
        .boxed()
    });
    setup
}
