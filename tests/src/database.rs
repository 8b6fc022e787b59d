//! A database of a test's own.

use std::{fs, path::Path, thread};

use diesel::{Connection as _, QueryableByName, SqliteConnection, sql_types::Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use tokio::runtime;
use uuid::Uuid;

use crate::{Binaries, Engine, binaries::clean_command, postgres};

/// Migrated once per cluster; every test's database is a copy of it.
const TEMPLATE: &str = "vfolder_template";
/// Held while the template is being made: any number that nobody else uses.
const TEMPLATE_LOCK: i64 = 0x76_666f_6c64;
/// Where databases are made and dropped from.
const MAINTENANCE: &str = "postgres";

/// A migrated database without any vfolder. Dropped with the value.
#[derive(Debug)]
pub struct Database {
    engine: Engine,
    /// PostgreSQL: the database's name. SQLite: its file.
    name: String,
}

/// One column of a row of the answer to a query, which is to call it `value` and make it text.
#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

impl Database {
    /// Makes one; `folder` is where SQLite's file goes.
    pub async fn create(engine: Engine, folder: &Path, binaries: &Binaries) -> Self {
        let name = match engine {
            Engine::Sqlite => folder.join("manager.db").display().to_string(),
            Engine::Postgres => format!("vf_{}", Uuid::now_v7().simple()),
        };
        match engine {
            Engine::Sqlite => migrate(binaries, folder, &format!("sqlite:{name}")),
            Engine::Postgres => {
                let mut connection = connect(MAINTENANCE).await;
                make_template(&mut connection, binaries, folder).await;
                let create = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}");
                connection.batch_execute(&create).await.expect(&create);
            }
        }
        Self { engine, name }
    }

    /// As the manager's configuration wants it.
    #[must_use]
    pub fn url(&self) -> String {
        match self.engine {
            Engine::Sqlite => format!("sqlite:{}", self.name),
            Engine::Postgres => postgres::url(&self.name),
        }
    }

    /// Which engine it is on.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Runs statements as they stand, in one transaction.
    pub async fn execute(&self, statements: &str) {
        match self.engine {
            Engine::Sqlite => {
                use diesel::connection::SimpleConnection as _;
                let all = format!("BEGIN IMMEDIATE; {statements}; COMMIT");
                self.sqlite().batch_execute(&all).expect(statements);
            }
            // The simple query protocol makes one transaction of them.
            Engine::Postgres => connect(&self.name)
                .await
                .batch_execute(statements)
                .await
                .expect(statements),
        }
    }

    /// The column `value`, which is text, of each row that the query gives.
    pub async fn values(&self, query: &str) -> Vec<String> {
        let query_of = || diesel::sql_query(query);
        let rows: Vec<Value> = match self.engine {
            Engine::Sqlite => {
                let mut connection = self.sqlite();
                diesel::RunQueryDsl::load(query_of(), &mut connection).expect(query)
            }
            Engine::Postgres => {
                let mut connection = connect(&self.name).await;
                diesel_async::RunQueryDsl::load(query_of(), &mut connection)
                    .await
                    .expect(query)
            }
        };
        rows.into_iter().map(|row| row.value).collect()
    }

    /// An SQL expression for the time so many seconds from now.
    #[must_use]
    pub fn time(&self, seconds_from_now: i64) -> String {
        match self.engine {
            Engine::Sqlite => format!(
                "(CAST(unixepoch('subsec') * 1000000 AS INTEGER) + {seconds_from_now} * 1000000)"
            ),
            Engine::Postgres => {
                format!("(clock_timestamp() + interval '1 second' * {seconds_from_now})")
            }
        }
    }

    fn sqlite(&self) -> SqliteConnection {
        use diesel::connection::SimpleConnection as _;
        let mut connection =
            SqliteConnection::establish(&self.name).expect("SQLite opens its file");
        connection
            .batch_execute("PRAGMA busy_timeout = 30000; PRAGMA foreign_keys = ON")
            .expect("SQLite takes its settings");
        connection
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.engine == Engine::Sqlite {
            return; // It lies in the test's folder and goes with it.
        }
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // On a thread of its own, because a runtime can't wait inside another.
        let dropper = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| {
                runtime.block_on(async { connect(MAINTENANCE).await.batch_execute(&drop).await })
            })
        });
        match dropper.join() {
            Ok(Ok(Ok(()))) => {}
            other => eprintln!("a test's database stays behind: {other:?}"),
        }
    }
}

async fn connect(database: &str) -> AsyncPgConnection {
    let url = postgres::url(database);
    AsyncPgConnection::establish(&url)
        .await
        .unwrap_or_else(|e| panic!("{url}: {e}"))
}

async fn make_template(connection: &mut AsyncPgConnection, binaries: &Binaries, folder: &Path) {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        found: i64,
    }
    let sql = |text: String| diesel::sql_query(text);
    let lock = sql(format!("SELECT pg_advisory_lock({TEMPLATE_LOCK})"));
    diesel_async::RunQueryDsl::execute(lock, connection)
        .await
        .expect("the lock is got");
    let look = sql(format!(
        "SELECT count(*) AS found FROM pg_database WHERE datname = '{TEMPLATE}'"
    ));
    let template: Found = diesel_async::RunQueryDsl::get_result(look, connection)
        .await
        .expect("the catalogue answers");
    if template.found == 0 {
        // Under another name until it is whole.
        let part = format!("{TEMPLATE}_part");
        for statement in [
            format!("DROP DATABASE IF EXISTS {part}"),
            format!("CREATE DATABASE {part}"),
        ] {
            connection
                .batch_execute(&statement)
                .await
                .expect(&statement);
        }
        migrate(binaries, folder, &postgres::url(&part));
        let rename = format!("ALTER DATABASE {part} RENAME TO {TEMPLATE}");
        connection.batch_execute(&rename).await.expect(&rename);
    }
    let unlock = sql(format!("SELECT pg_advisory_unlock({TEMPLATE_LOCK})"));
    diesel_async::RunQueryDsl::execute(unlock, connection)
        .await
        .expect("the lock is given back");
}

/// `manager migrate`, with a configuration that has what it needs.
pub(crate) fn migrate(binaries: &Binaries, folder: &Path, url: &str) {
    let config = folder.join("migrate.toml");
    let secret = folder.join("migrate.secret");
    fs::write(&secret, "only-for-migrating-and-never-used").expect("a file is written");
    let secret = secret.display();
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndefault_volume = \"local\"\n[database]\nurl = \"{url}\"\n\
         [auth]\nhs256_secret_file = \"{secret}\"\n[storage]\nsecret_file = \"{secret}\"\n\
         [[storage.proxies]]\naddress = \"http://127.0.0.1:1\"\nvolumes = [\"local\"]\n"
    );
    fs::write(&config, text).expect("a file is written");
    let output = clean_command(&binaries.manager)
        .args(["migrate", "--config"])
        .arg(config)
        .output()
        .expect("the manager starts");
    assert!(
        output.status.success(),
        "manager migrate failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
