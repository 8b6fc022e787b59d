//! Migrations, compiled in.

use diesel::migration::{Migration, MigrationSource};
use diesel_async::{AsyncConnection, AsyncMigrationHarness, AsyncPgConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{StoreError, engine::AsyncSqlite};

const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../migrations/postgres");

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Run what is pending.
    Up,
    /// Undo the last so many.
    Revert(u32),
    /// Change nothing.
    Look,
}

/// What was done, and what is pending now: names, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Run or undone.
    pub done: Vec<String>,
    /// Not yet run.
    pub pending: Vec<String>,
}

/// Migrates the database at a URL. Needs a multi-thread runtime (diesel-async's harness blocks in place).
pub async fn migrate(url: &str, direction: Direction) -> Result<Report, StoreError> {
    let connect = |e| StoreError::unavailable("migrate.connect", e);
    match url.strip_prefix("sqlite:") {
        Some(path) => {
            let connection = AsyncSqlite::establish(path).await.map_err(connect)?;
            run(AsyncMigrationHarness::new(connection), || SQLITE, direction)
        }
        None => {
            let connection = AsyncPgConnection::establish(url).await.map_err(connect)?;
            run(
                AsyncMigrationHarness::new(connection),
                || POSTGRES,
                direction,
            )
        }
    }
}

fn run<DB, H>(
    mut harness: H,
    migrations: impl Fn() -> EmbeddedMigrations,
    direction: Direction,
) -> Result<Report, StoreError>
where
    DB: diesel::backend::Backend,
    H: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    let failed = |source| StoreError::Failed {
        what: "migrate",
        source,
    };
    let mut report = Report::default();
    match direction {
        Direction::Up => {
            let versions = harness
                .run_pending_migrations(migrations())
                .map_err(failed)?;
            report.done = versions.iter().map(ToString::to_string).collect();
        }
        Direction::Revert(count) => {
            for _ in 0..count {
                let version = harness
                    .revert_last_migration(migrations())
                    .map_err(failed)?;
                report.done.push(version.to_string());
            }
        }
        Direction::Look => {}
    }
    let pending: Vec<Box<dyn Migration<DB>>> =
        harness.pending_migrations(migrations()).map_err(failed)?;
    report.pending = pending.iter().map(|m| m.name().to_string()).collect();
    Ok(report)
}
