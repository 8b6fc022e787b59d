//! The two engines behind one face.

use std::{sync::Arc, time::Duration};

use diesel::{
    ConnectionError, SqliteConnection, connection::AnsiTransactionManager as BlockingTransactions,
};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncPgConnection, SimpleAsyncConnection as _,
    TransactionManager as _,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, PoolableConnection, RecyclingMethod,
        bb8::{Pool, PooledConnection},
    },
    sync_connection_wrapper::SyncConnectionWrapper,
};
use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Change, Hub, StoreError};

/// diesel-async over SQLite: every call runs on the blocking pool.
pub(super) type AsyncSqlite = SyncConnectionWrapper<SqliteConnection>;

/// How long a statement on SQLite waits for another process's lock. Within this process nobody waits for it: see
/// [`Store::begin`].
const SQLITE_BUSY: Duration = Duration::from_secs(10);

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// In this process, one manager.
    Sqlite,
    /// On a server, any number of managers.
    Postgres,
}

/// Where the tables are.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `sqlite:<path>` or `postgres://…`.
    pub url: String,
    /// The most connections.
    pub max_connections: u32,
    /// How long to wait for a free or new one.
    pub connect_timeout: Duration,
}

/// The tables.
#[derive(Clone)]
pub struct Store {
    pool: Pools,
    hub: Hub,
}

#[derive(Clone)]
enum Pools {
    Sqlite(Pool<AsyncSqlite>, Arc<Semaphore>),
    Postgres(Pool<AsyncPgConnection>),
}

/// A transaction, or a connection for single reads. Dropped without [`Tx::finish`], it is rolled back, and its
/// connection is thrown away by the pool.
pub struct Tx {
    pub(super) connection: Connection,
    hub: Hub,
    changes: Vec<Change>,
}

/// A connection of either engine.
pub(super) enum Connection {
    Sqlite(SqliteConnectionInTurn),
    Postgres(Box<PooledConnection<'static, AsyncPgConnection>>),
}

/// A connection to SQLite and, for a transaction that writes, the turn to write. The connection is dropped first, so
/// that the next writer finds no open transaction.
pub(super) struct SqliteConnectionInTurn {
    pub(super) connection: Box<PooledConnection<'static, AsyncSqlite>>,
    _turn: Option<OwnedSemaphorePermit>,
}

/// Compiles one query text for each engine.
macro_rules! on {
    ($tx:expr, $c:ident => $query:expr) => {
        match &mut $tx.connection {
            $crate::store::engine::Connection::Sqlite(tx) => {
                let $c = &mut **tx.connection;
                $query
            }
            $crate::store::engine::Connection::Postgres(tx) => {
                let $c = &mut ***tx;
                $query
            }
        }
    };
}
pub(super) use on;

impl Store {
    /// Makes the pool. Connects when first used.
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let pool = match config.url.strip_prefix("sqlite:") {
            Some(path) => {
                let manager = AsyncDieselConnectionManager::new_with_config(path, sqlite_setup());
                Pools::Sqlite(build(manager, config).await?, Arc::new(Semaphore::new(1)))
            }
            None => {
                let mut setup = ManagerConfig::default();
                setup.recycling_method = RecyclingMethod::Fast;
                let manager =
                    AsyncDieselConnectionManager::new_with_config(config.url.as_str(), setup);
                Pools::Postgres(build(manager, config).await?)
            }
        };
        Ok(Self {
            pool,
            hub: Hub::default(),
        })
    }

    /// Which engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.pool {
            Pools::Sqlite(..) => Engine::Sqlite,
            Pools::Postgres(_) => Engine::Postgres,
        }
    }

    /// Where commits are announced.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Begins a transaction that may write. Reads that decide a write belong in here.
    ///
    /// On SQLite it is BEGIN IMMEDIATE, and writers take turns before that, in order of arrival: SQLite's own busy
    /// handler polls and starves.
    pub async fn begin(&self, what: &'static str) -> Result<Tx, StoreError> {
        let connection = match &self.pool {
            Pools::Sqlite(pool, turns) => {
                let turn = Arc::clone(turns)
                    .acquire_owned()
                    .await
                    .map_err(|e| StoreError::unavailable(what, e))?;
                let mut connection = take(pool, what).await?;
                connection
                    .spawn_blocking(|c| {
                        BlockingTransactions::begin_transaction_sql(c, "BEGIN IMMEDIATE")
                    })
                    .await
                    .map_err(StoreError::of(what))?;
                Connection::Sqlite(SqliteConnectionInTurn {
                    connection: Box::new(connection),
                    _turn: Some(turn),
                })
            }
            Pools::Postgres(pool) => {
                let mut connection = take(pool, what).await?;
                AnsiTransactionManager::begin_transaction(&mut *connection)
                    .await
                    .map_err(StoreError::of(what))?;
                Connection::Postgres(Box::new(connection))
            }
        };
        Ok(self.tx(connection))
    }

    /// Takes a connection for reads that decide nothing, each its own transaction.
    pub async fn read(&self, what: &'static str) -> Result<Tx, StoreError> {
        let connection = match &self.pool {
            Pools::Sqlite(pool, _) => Connection::Sqlite(SqliteConnectionInTurn {
                connection: Box::new(take(pool, what).await?),
                _turn: None,
            }),
            Pools::Postgres(pool) => Connection::Postgres(Box::new(take(pool, what).await?)),
        };
        Ok(self.tx(connection))
    }

    fn tx(&self, connection: Connection) -> Tx {
        Tx {
            connection,
            hub: self.hub.clone(),
            changes: Vec::new(),
        }
    }
}

impl Tx {
    /// Commits if `result` is good, else rolls back; hands `result` on.
    pub async fn finish<T, E: From<StoreError>>(mut self, result: Result<T, E>) -> Result<T, E> {
        match result {
            Ok(value) => {
                on!(self, c => commit(c).await).map_err(StoreError::of("commit"))?;
                self.hub.announce(&self.changes);
                Ok(value)
            }
            Err(error) => {
                self.roll_back().await;
                Err(error)
            }
        }
    }

    /// Rolls back, whatever `result` is: for a dry run.
    pub async fn abandon<T, E>(mut self, result: Result<T, E>) -> Result<T, E> {
        self.roll_back().await;
        result
    }

    /// [`Tx::abandon`] if `dry`, else [`Tx::finish`].
    pub async fn finish_or_abandon<T, E: From<StoreError>>(
        self,
        dry: bool,
        result: Result<T, E>,
    ) -> Result<T, E> {
        if dry {
            self.abandon(result).await
        } else {
            self.finish(result).await
        }
    }

    /// Notes what to announce if this transaction commits.
    pub(super) fn note(&mut self, change: Change) {
        self.changes.push(change);
    }

    async fn roll_back(&mut self) {
        // The pool discards a connection that can't even do this.
        if let Err(error) = on!(self, c => roll_back(c).await) {
            tracing::debug!(%error, "rollback failed; the connection is discarded");
        }
    }
}

async fn commit<C>(connection: &mut C) -> diesel::QueryResult<()>
where
    C: AsyncConnection,
{
    C::TransactionManager::commit_transaction(connection).await
}

async fn roll_back<C>(connection: &mut C) -> diesel::QueryResult<()>
where
    C: AsyncConnection,
{
    C::TransactionManager::rollback_transaction(connection).await
}

async fn build<C>(
    manager: AsyncDieselConnectionManager<C>,
    config: &StoreConfig,
) -> Result<Pool<C>, StoreError>
where
    C: AsyncConnection + 'static,
    AsyncDieselConnectionManager<C>:
        bb8::ManageConnection<Connection = C, Error = diesel_async::pooled_connection::PoolError>,
{
    Pool::builder()
        .max_size(config.max_connections)
        .connection_timeout(config.connect_timeout)
        .test_on_check_out(false)
        .build(manager)
        .await
        .map_err(|e| StoreError::unavailable("connect", e))
}

async fn take<C>(
    pool: &Pool<C>,
    what: &'static str,
) -> Result<PooledConnection<'static, C>, StoreError>
where
    C: PoolableConnection + 'static,
    AsyncDieselConnectionManager<C>:
        bb8::ManageConnection<Connection = C, Error = diesel_async::pooled_connection::PoolError>,
{
    loop {
        let mut connection = pool
            .get_owned()
            .await
            .map_err(|e| StoreError::unavailable(what, e))?;
        // One that broke while it lay in the pool, when the server restarted: the pool drops it and makes another.
        if !connection.is_broken() {
            return Ok(connection);
        }
    }
}

fn sqlite_setup() -> ManagerConfig<AsyncSqlite> {
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
