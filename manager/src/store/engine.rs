//! The two engines behind one face.

use std::{sync::Arc, time::Duration};

use diesel::{SqliteConnection, connection::AnsiTransactionManager as BlockingTransactions};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncPgConnection, SimpleAsyncConnection as _,
    TransactionManager as _,
    pooled_connection::{
        AsyncDieselConnectionManager, PoolableConnection,
        bb8::{Pool, PooledConnection},
    },
    sync_connection_wrapper::SyncConnectionWrapper,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use vfolder_common::fault::{Side, beside};

use super::{Change, Hub, Id, StoreError, connect, notify};

/// diesel-async over SQLite: every call runs on the blocking pool.
pub(super) type AsyncSqlite = SyncConnectionWrapper<SqliteConnection>;

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
    url: Arc<str>,
    /// Of this process, among those that share the database.
    instance: Id,
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
    instance: Id,
    changes: Vec<Change>,
    what: &'static str,
}

/// A connection of either engine.
pub(super) enum Connection {
    Sqlite(SqliteConnectionInTurn),
    Postgres(Box<PooledConnection<'static, AsyncPgConnection>>),
}

/// A connection to SQLite and, for a transaction that writes, the turn to write. The connection is dropped first, so
/// that the next writer finds no open transaction.
///
/// A call whose future is dropped (a client hung up) runs to its end before the drop returns: diesel-async sees to that.
pub(super) struct SqliteConnectionInTurn {
    pub(super) connection: Box<PooledConnection<'static, AsyncSqlite>>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl SqliteConnectionInTurn {
    async fn begin(&mut self, sql: &'static str) -> diesel::QueryResult<()> {
        self.connection
            .spawn_blocking(move |c| BlockingTransactions::begin_transaction_sql(c, sql))
            .await
    }
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
                let manager =
                    AsyncDieselConnectionManager::new_with_config(path, connect::sqlite());
                Pools::Sqlite(build(manager, config).await?, Arc::new(Semaphore::new(1)))
            }
            None => {
                let manager = AsyncDieselConnectionManager::new_with_config(
                    config.url.as_str(),
                    connect::postgres(),
                );
                Pools::Postgres(build(manager, config).await?)
            }
        };
        Ok(Self {
            pool,
            hub: Hub::default(),
            url: config.url.as_str().into(),
            instance: Id::new(),
        })
    }

    /// Hears what other managers commit, and announces it here, until told to stop. On SQLite there are no others.
    pub async fn hear_others(&self, stop: CancellationToken) {
        if self.engine() == Engine::Postgres {
            notify::listen(&self.url, self.instance, &self.hub, stop).await;
        }
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
                let mut connection = SqliteConnectionInTurn {
                    connection: Box::new(take(pool, what).await?),
                    _turn: Some(turn),
                };
                connection
                    .begin("BEGIN IMMEDIATE")
                    .await
                    .map_err(StoreError::of(what))?;
                Connection::Sqlite(connection)
            }
            Pools::Postgres(pool) => {
                let mut connection = take(pool, what).await?;
                AnsiTransactionManager::begin_transaction(&mut *connection)
                    .await
                    .map_err(StoreError::of(what))?;
                Connection::Postgres(Box::new(connection))
            }
        };
        Ok(self.tx(connection, what))
    }

    /// Begins a transaction of reads that belong together and decide nothing: all see the tables as of one moment. To be
    /// ended with [`Tx::abandon`].
    pub async fn snapshot(&self, what: &'static str) -> Result<Tx, StoreError> {
        let mut tx = self.read(what).await?;
        match &mut tx.connection {
            // Deferred: it sees one version from its first read on, and takes no lock that a writer would wait for.
            Connection::Sqlite(t) => t.begin("BEGIN").await,
            Connection::Postgres(c) => {
                match AnsiTransactionManager::begin_transaction(&mut ***c).await {
                    Ok(()) => {
                        c.batch_execute(
                            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
                        )
                        .await
                    }
                    failed => failed,
                }
            }
        }
        .map_err(StoreError::of(what))?;
        Ok(tx)
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
        Ok(self.tx(connection, what))
    }

    fn tx(&self, connection: Connection, what: &'static str) -> Tx {
        Tx {
            connection,
            hub: self.hub.clone(),
            instance: self.instance,
            changes: Vec::new(),
            what,
        }
    }
}

impl Tx {
    /// Commits if `result` is good, else rolls back; hands `result` on.
    pub async fn finish<T, E: From<StoreError>>(mut self, result: Result<T, E>) -> Result<T, E> {
        match result {
            Ok(value) => {
                if let Connection::Postgres(c) = &mut self.connection {
                    notify::send(c, self.instance, &self.changes).await?;
                }
                let what = self.what;
                let fault = |e| StoreError::unavailable(what, e);
                beside(what, Side::Before).map_err(fault)?;
                on!(self, c => commit(c).await).map_err(StoreError::of("commit"))?;
                beside(what, Side::After).map_err(fault)?;
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
