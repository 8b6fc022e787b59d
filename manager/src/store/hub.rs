//! Telling who waits in this process that something was committed.
//!
//! A hint, never the truth: whoever is woken reads the tables again, and wakes by a timer too, since another manager's
//! commits are not heard here and a slow listener may miss some.

use std::sync::Arc;

use tokio::sync::{Notify, broadcast};

use super::Id;

/// What was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A vfolder changed: it has a new event.
    Vfolder(Id),
    /// An operation's state or progress changed.
    Operation(Id),
    /// There may be work for a worker.
    Work,
}

/// Where commits are announced.
#[derive(Clone)]
pub struct Hub {
    changes: broadcast::Sender<Change>,
    work: Arc<Notify>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            changes: broadcast::channel(1024).0,
            work: Arc::new(Notify::new()),
        }
    }
}

impl Hub {
    /// Listens from now on.
    #[must_use]
    pub fn listen(&self) -> Listener {
        Listener(self.changes.subscribe())
    }

    /// Waits for work. One waiter.
    pub async fn work(&self) {
        self.work.notified().await;
    }

    pub(super) fn announce(&self, changes: &[Change]) {
        for change in changes {
            if *change == Change::Work {
                self.work.notify_one();
            } else {
                // An error means that nobody listens.
                let _ = self.changes.send(*change);
            }
        }
    }
}

/// Hears what is committed.
pub struct Listener(broadcast::Receiver<Change>);

impl Listener {
    /// Returns when `change` was announced, or may have been.
    pub async fn heard(&mut self, change: Change) {
        loop {
            match self.0.recv().await {
                Ok(heard) if heard != change => {}
                // Lagged: something was missed, and it may have been this.
                _ => return,
            }
        }
    }
}
