//! One manager to a SQLite file.
//!
//! SQLite would let two in, but neither would hear of the other's commits, and each has its own queue of writers.

use std::{
    fs::{File, TryLockError},
    path::PathBuf,
};

use super::StoreError;

/// Held for as long as the manager serves.
#[derive(Debug)]
pub struct Sole(#[allow(dead_code, reason = "it is held, not used")] Option<File>);

/// Takes the lock beside the file of a SQLite database, `<file>-manager`. Of PostgreSQL there is nothing to take.
///
/// # Errors
/// Another manager has it, or it can't be made.
pub fn take(url: &str) -> Result<Sole, StoreError> {
    const WHAT: &str = "sole";
    let Some(path) = url
        .strip_prefix("sqlite:")
        .filter(|path| *path != ":memory:")
    else {
        return Ok(Sole(None));
    };
    let path = PathBuf::from(format!("{path}-manager"));
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Failed {
        what: WHAT,
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| failed(format!("{}: {e}", path.display()).into()))?;
    match file.try_lock() {
        Ok(()) => Ok(Sole(Some(file))),
        Err(TryLockError::WouldBlock) => Err(failed(
            format!(
                "another manager serves from this SQLite database (it holds {}); several managers need PostgreSQL",
                path.display()
            )
            .into(),
        )),
        Err(TryLockError::Error(e)) => Err(failed(format!("{}: {e}", path.display()).into())),
    }
}
