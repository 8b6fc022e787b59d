//! What can go wrong between us and the database.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error};
use vfolder_common::error::{Reason, Refusal};

/// A failed query.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database doesn't answer, or breaks off.
    #[error("{what}: the database is not available")]
    Unavailable {
        /// The query's name.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A unique index refuses; the callers that can meet one look for it.
    #[error("{what}: not unique")]
    NotUnique {
        /// The query's name.
        what: &'static str,
    },
    /// Anything else: a fault of ours.
    #[error("{what}: {source}")]
    Failed {
        /// The query's name.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    pub(super) fn of(what: &'static str) -> impl FnOnce(Error) -> Self {
        move |error| match &error {
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Self::NotUnique { what },
            Error::DatabaseError(DatabaseErrorKind::ClosedConnection, _)
            | Error::BrokenTransactionManager => Self::Unavailable {
                what,
                source: error.into(),
            },
            Error::DatabaseError(_, info) if is_passing(info.message()) => Self::Unavailable {
                what,
                source: error.into(),
            },
            _ => Self::Failed {
                what,
                source: error.into(),
            },
        }
    }

    pub(super) fn unavailable(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable {
            what,
            source: source.into(),
        }
    }
}

/// diesel has no kind of its own for these: SQLite's busy and full, PostgreSQL's shutdown, a deadlock that PostgreSQL
/// broke. The transaction was rolled back.
fn is_passing(message: &str) -> bool {
    [
        "deadlock detected",
        "database is locked",
        "database or disk is full",
        "connection closed",
        "terminating connection",
        "the database system is",
        "unexpected message from server",
        "error communicating with the server",
        "lock timeout",
        "statement timeout",
        "idle-in-transaction timeout",
        "could not serialize access",
        "the server closed the connection",
    ]
    .iter()
    .any(|text| message.contains(text))
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable { what, source } => {
                tracing::warn!(query = what, error = %source, "database not available");
                Self::new(
                    Reason::StoreUnavailable,
                    "the manager's database does not answer; nothing was changed unless a repetition says so. Try again",
                )
                .with_retry(Duration::from_secs(1))
            }
            StoreError::NotUnique { .. } | StoreError::Failed { .. } => Self::internal(&error),
        }
    }
}
