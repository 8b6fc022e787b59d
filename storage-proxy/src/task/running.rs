//! A task that runs, and those who watch it.

use std::sync::{Arc, atomic::AtomicBool};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Outcome, TaskSpec,
    phase::{Phase, Wish},
};
use crate::tree::{Control, Progress};

/// How a watch over a task ends.
#[derive(Clone, Debug)]
pub enum End {
    /// With its outcome.
    Outcome(Outcome),
    /// The task of this id is another one.
    ArgumentsDiffer,
    /// The process ends; the task goes on after a restart, when it is asked for again.
    Suspended,
}

/// A task that runs or waits for its turn.
#[derive(Debug)]
pub(super) struct Running {
    pub spec: TaskSpec,
    /// Of the work itself.
    pub control: Arc<Control>,
    /// Of the removal of what it leaves if it fails; stopped only when the process ends.
    pub cleanup: Control,
    pub phase: Phase,
    /// An earlier life has begun it, or an earlier attempt.
    pub begun_before: AtomicBool,
    /// Cancelled with `control`, for those who wait without working.
    pub stop: CancellationToken,
    pub end: watch::Sender<Option<End>>,
}

impl Running {
    pub fn new(spec: TaskSpec) -> Self {
        Self {
            spec,
            control: Arc::default(),
            cleanup: Control::default(),
            phase: Phase::default(),
            begun_before: AtomicBool::new(false),
            stop: CancellationToken::new(),
            end: watch::Sender::new(None),
        }
    }

    /// Asks it to stop for good.
    pub fn cancel(&self) -> Wish {
        let wish = self.phase.cancel();
        if wish == Wish::Granted {
            self.halt();
        }
        wish
    }

    /// Asks it to stop until after a restart.
    pub fn suspend(&self) {
        self.phase.suspend();
        self.cleanup.stop();
        self.halt();
    }

    fn halt(&self) {
        self.control.stop();
        self.stop.cancel();
    }
}

/// A watch over a task.
#[derive(Debug)]
pub struct Attachment {
    pub(super) running: Option<Arc<Running>>,
    pub(super) end: watch::Receiver<Option<End>>,
}

impl Attachment {
    /// Over a task that has ended.
    pub(super) fn ended(outcome: Outcome) -> Self {
        Self {
            running: None,
            end: watch::channel(Some(End::Outcome(outcome))).1,
        }
    }

    /// Over a task that runs.
    pub(super) fn to(running: &Arc<Running>) -> Self {
        Self {
            running: Some(Arc::clone(running)),
            end: running.end.subscribe(),
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.running
            .as_ref()
            .map_or_else(Progress::default, |running| running.control.progress())
    }

    /// Waits until it has ended.
    pub async fn end(&mut self) -> End {
        match self.end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(End::Suspended),
            Err(_) => End::Suspended,
        }
    }
}
