//! Waiting to be told to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Returns on the first SIGTERM or SIGINT.
pub async fn signalled() -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => tracing::info!("SIGTERM: stopping"),
        _ = int.recv() => tracing::info!("SIGINT: stopping"),
    }
    Ok(())
}
