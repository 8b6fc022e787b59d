//! What this process knows of each task.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use uuid::Uuid;

use super::{Outcome, TaskSpec, registry::Inner, running::Running};

/// How many tasks' ends are remembered.
const REMEMBERED: usize = 10_000;

#[derive(Clone, Debug)]
pub(super) enum Slot {
    Running(Arc<Running>),
    /// What is on disk of it is being looked at and perhaps removed. Nothing starts meanwhile.
    Deciding,
    Ended {
        /// Nothing: never again under this id, whatever the task.
        spec: Option<TaskSpec>,
        outcome: Outcome,
    },
}

impl Slot {
    pub fn has_succeeded(&self) -> bool {
        matches!(self, Self::Ended { outcome, .. } if outcome.failure.is_none())
    }
}

/// By the operations' ids.
#[derive(Debug, Default)]
pub(super) struct Slots {
    all: HashMap<Uuid, Slot>,
    ended: VecDeque<Uuid>,
}

impl Slots {
    pub fn get(&self, operation: Uuid) -> Option<&Slot> {
        self.all.get(&operation)
    }

    pub fn running(&self) -> impl Iterator<Item = &Arc<Running>> {
        self.all.values().filter_map(|slot| match slot {
            Slot::Running(running) => Some(running),
            Slot::Deciding | Slot::Ended { .. } => None,
        })
    }

    pub fn start(&mut self, operation: Uuid, running: Arc<Running>) {
        self.set(operation, Some(Slot::Running(running)));
    }

    pub fn end(&mut self, operation: Uuid, spec: Option<TaskSpec>, outcome: Outcome) {
        self.set(operation, Some(Slot::Ended { spec, outcome }));
        while self.ended.len() > REMEMBERED {
            if let Some(oldest) = self.ended.pop_front() {
                self.all.remove(&oldest);
            }
        }
    }

    pub fn remove(&mut self, operation: Uuid) {
        self.set(operation, None);
    }

    /// `ended` has exactly the ids of those that have.
    fn set(&mut self, operation: Uuid, slot: Option<Slot>) -> Option<Slot> {
        let ends = matches!(slot, Some(Slot::Ended { .. }));
        let before = match slot {
            Some(slot) => self.all.insert(operation, slot),
            None => self.all.remove(&operation),
        };
        match (&before, ends) {
            (Some(Slot::Ended { .. }), false) => self.ended.retain(|ended| *ended != operation),
            (Some(Slot::Ended { .. }), true) | (_, false) => {}
            (_, true) => self.ended.push_back(operation),
        }
        before
    }
}

/// Keeps a task from starting, until it is decided what became of it. Dropped without a decision, also by a panic, it
/// leaves everything as it was.
#[derive(Debug)]
pub(super) struct Deciding {
    tasks: Arc<Inner>,
    operation: Uuid,
    before: Option<Slot>,
}

impl Deciding {
    /// Nothing while the task runs, or somebody else decides.
    pub fn begin(tasks: &Arc<Inner>, operation: Uuid) -> Option<Self> {
        let mut slots = tasks.slots();
        if let Some(Slot::Running(_) | Slot::Deciding) = slots.get(operation) {
            return None;
        }
        let before = slots.set(operation, Some(Slot::Deciding));
        drop(slots);
        Some(Self {
            tasks: Arc::clone(tasks),
            operation,
            before,
        })
    }

    /// What was known before.
    pub fn before(&self) -> Option<&Slot> {
        self.before.as_ref()
    }

    /// It never runs again under this id.
    pub fn end(mut self, outcome: Outcome) {
        self.before = Some(Slot::Ended {
            spec: None,
            outcome,
        });
    }

    /// The disk knows better than what was known before.
    pub fn leave_to_the_disk(mut self) {
        self.before = None;
    }
}

impl Drop for Deciding {
    fn drop(&mut self) {
        let mut slots = self.tasks.slots();
        match self.before.take() {
            // Not by `set` alone: the number of ends is bounded there.
            Some(Slot::Ended { spec, outcome }) => slots.end(self.operation, spec, outcome),
            other => drop(slots.set(self.operation, other)),
        }
    }
}
