//! How long it takes until somebody goes on with what was interrupted, as the rows of the operations show it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time;
use uuid::Uuid;

use super::{
    history::{Clock, Micros},
    world::{Postgres, Worker, workers},
};

/// How often the rows are looked at: the error of what is measured.
const INTERVAL: Duration = Duration::from_millis(15);

/// What was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// After `kill -9` of the manager that held an operation's lease: another attempt at it.
    Takeover,
    /// After the return of a storage-proxy that was killed: progress of an operation on one of its volumes, or its end.
    GoingOn,
}

/// One wait.
#[derive(Clone, Debug)]
pub struct Wait {
    /// For what.
    pub awaited: Awaited,
    /// Of which operation.
    pub operation: Uuid,
    /// Since when.
    pub start: Micros,
    /// Until when. None: it has not come.
    pub end: Option<Micros>,
    /// The row when the wait began.
    pub before: Worker,
    /// Nothing else was in the way.
    pub alone: bool,
}

/// Watches the operations' rows, and measures.
#[derive(Debug, Default)]
pub struct Recovery(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    clock: Option<Clock>,
    rows: Vec<Worker>,
    killed: Vec<(Uuid, Micros)>,
    returned: Vec<(Vec<String>, Micros)>,
    waits: Vec<Wait>,
}

impl Recovery {
    /// Who holds leases of operations that run.
    #[must_use]
    pub fn holders(&self) -> HashSet<Uuid> {
        self.with(|state| {
            let running = state.rows.iter().filter(|row| row.state == "RUNNING");
            running.filter_map(|row| row.lease_owner).collect()
        })
    }

    /// A manager is dead as of now. What it held shows at the next look.
    pub fn manager_killed(&self, worker: Uuid) {
        self.with(|state| {
            let now = state.now();
            state.killed.push((worker, now));
        });
    }

    /// A storage-proxy that was killed listens again as of now.
    pub fn proxy_returned(&self, volumes: Vec<String>) {
        self.with(|state| {
            let now = state.now();
            state.returned.push((volumes, now));
        });
    }

    /// What was measured.
    #[must_use]
    pub fn waits(&self) -> Vec<Wait> {
        self.with(|state| state.waits.clone())
    }

    /// Looks, for ever.
    pub async fn watch(self: Arc<Self>, postgres: Arc<Postgres>, clock: Clock) {
        self.with(|state| state.clock = Some(clock));
        let mut connection = None;
        loop {
            time::sleep(INTERVAL).await;
            if connection.is_none() {
                connection = postgres.connect().await.ok();
            }
            let Some(open) = &mut connection else {
                continue;
            };
            let awaited = self.with(|state| {
                let open = state.waits.iter().filter(|wait| wait.end.is_none());
                open.map(|wait| wait.operation).collect::<Vec<_>>()
            });
            // Another time: a database that is away is part of the storm.
            match time::timeout(Duration::from_secs(2), workers(open, &awaited)).await {
                Ok(Ok(rows)) => self.with(|state| state.seen(rows)),
                _ => connection = None,
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn now(&self) -> Micros {
        self.clock.map(|clock| clock.now()).unwrap_or_default()
    }

    fn seen(&mut self, rows: Vec<Worker>) {
        let now = self.now();
        self.waits.retain_mut(|wait| {
            let row = rows.iter().find(|row| row.id == wait.operation);
            if let (None, Some(row)) = (wait.end, row) {
                let ended = !matches!(row.state.as_str(), "PENDING" | "RUNNING");
                let again = row.attempt > wait.before.attempt;
                match wait.awaited {
                    // Its last write was on its way when it was killed.
                    Awaited::Takeover if ended && !again => return false,
                    Awaited::Takeover if again => wait.end = Some(now),
                    Awaited::GoingOn if ended || row.progress != wait.before.progress => {
                        wait.end = Some(now);
                    }
                    _ => {}
                }
            }
            true
        });
        let mut begin = |awaited, start, before: &Worker| {
            self.waits.push(Wait {
                awaited,
                operation: before.id,
                start,
                end: None,
                before: before.clone(),
                alone: false,
            });
        };
        for (worker, at) in self.killed.drain(..) {
            for row in &rows {
                if row.lease_owner == Some(worker) && row.state == "RUNNING" {
                    begin(Awaited::Takeover, at, row);
                }
            }
        }
        for (volumes, at) in self.returned.drain(..) {
            for row in rows.iter().filter(|row| volumes.contains(&row.volume)) {
                if matches!(row.state.as_str(), "PENDING" | "RUNNING") {
                    begin(Awaited::GoingOn, at, row);
                }
            }
        }
        self.rows = rows;
    }
}
