//! Telling who waits that something was committed.
//!
//! A hint, never the truth: whoever is woken reads the tables again, and wakes by a timer too, since a notification from
//! another manager may be lost and a slow listener may miss some.

use std::sync::Arc;

use tokio::sync::{Notify, broadcast};

use super::Id;

/// What was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A vfolder changed: it has a new event.
    Vfolder(Id),
    /// An operation's state changed, or somebody wishes to cancel it.
    Operation(Id),
    /// An operation got further. Other managers are not told: they hear of its end, and look by themselves meanwhile.
    Progress(Id),
    /// Events have got their places in the feed.
    Placed,
    /// There may be work for a worker.
    Work,
    /// Something was missed: it may have been anything.
    Anything,
}

/// Where commits are announced.
#[derive(Clone)]
pub struct Hub {
    changes: broadcast::Sender<Change>,
    work: Arc<Notify>,
    events: Arc<Notify>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            changes: broadcast::channel(1024).0,
            work: Arc::default(),
            events: Arc::default(),
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

    /// Waits for this process to commit an event of any vfolder. One waiter.
    pub async fn events(&self) {
        self.events.notified().await;
    }

    /// What this process has committed.
    pub(super) fn announce(&self, changes: &[Change]) {
        // Whoever commits events sees to it that they get their places; the others need not all try.
        if changes.iter().any(|c| matches!(c, Change::Vfolder(_))) {
            self.events.notify_one();
        }
        self.announce_heard(changes);
    }

    /// What was heard of other processes.
    pub(super) fn announce_heard(&self, changes: &[Change]) {
        for change in changes {
            if matches!(change, Change::Work | Change::Anything) {
                self.work.notify_one();
            }
            if *change != Change::Work {
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
        self.heard_any(&[change]).await;
    }

    /// Returns when one of `changes` was announced, or may have been.
    pub async fn heard_any(&mut self, changes: &[Change]) {
        loop {
            match self.0.recv().await {
                Ok(Change::Anything) => return,
                Ok(heard) if !changes.contains(&heard) => {}
                // Lagged: something was missed, and it may have been this.
                _ => return,
            }
        }
    }
}
