//! What a manager's worker does with an operation.

use vfolder_manager::model::State;

use crate::{
    protocol::{Piece, Protocol},
    world::{End, Message, Phase, Work, World},
};

impl World {
    /// Whether a manager has the lease of what it works on.
    pub(crate) fn holds(&self, manager: u8, work: Work) -> bool {
        let op = self.operation(work.operation);
        op.state == State::Running && op.holder == Some(manager) && op.attempt == work.attempt
    }

    pub(crate) fn can_claim(&self, manager: u8, operation: u8) -> bool {
        let op = self.operation(operation);
        let has_it = |w: &Work| w.operation == operation;
        op.state.is_live()
            && (op.holder.is_none() || op.lapsed)
            && !self.managers[usize::from(manager)].iter().any(has_it)
    }

    pub(crate) fn claim(&mut self, manager: u8, operation: u8) {
        let op = &mut self.operations[usize::from(operation)];
        op.state = State::Running;
        op.attempt += 1;
        op.holder = Some(manager);
        op.lapsed = false;
        let attempt = op.attempt;
        self.managers[usize::from(manager)].push(Work {
            operation,
            attempt,
            phase: Phase::Claimed,
        });
    }

    fn drop_work(&mut self, manager: u8, operation: u8) {
        self.managers[usize::from(manager)].retain(|w| w.operation != operation);
    }

    pub(crate) fn set_phase(&mut self, manager: u8, operation: u8, phase: Phase) {
        for work in &mut self.managers[usize::from(manager)] {
            if work.operation == operation {
                work.phase = phase;
            }
        }
    }

    pub(crate) fn send_run(&mut self, manager: u8, work: Work) {
        self.net.insert(Message::Run(work.operation));
        let late = work.phase == Phase::Late;
        self.set_phase(manager, work.operation, Phase::Waiting { late });
    }

    pub(crate) fn send_cancel(&mut self, manager: u8, work: Work) {
        self.net.insert(Message::Cancel(work.operation));
        self.set_phase(manager, work.operation, Phase::Cancelling);
    }

    /// What the storage-proxy says of a cancel, to whoever waits for it.
    pub(crate) fn answer_cancel(&mut self, operation: u8, cancelled: bool) {
        let phase = if cancelled {
            Phase::Answered(End::Cancelled)
        } else {
            Phase::Late
        };
        for manager in &mut self.managers {
            for work in manager.iter_mut() {
                if work.operation == operation && work.phase == Phase::Cancelling {
                    work.phase = phase;
                }
            }
        }
    }

    pub(crate) fn commit(&mut self, p: Protocol, manager: u8, work: Work, end: End) {
        if p.has(Piece::LeaseInWhere) && !self.holds(manager, work) {
            return self.drop_work(manager, work.operation);
        }
        self.finish(p, work.operation, end);
        self.set_phase(manager, work.operation, Phase::Committed);
    }

    pub(crate) fn send_forget(&mut self, manager: u8, work: Work) {
        self.net.insert(Message::Forget(work.operation));
        self.drop_work(manager, work.operation);
    }

    /// Gives the operation back, to be tried again.
    pub(crate) fn release(&mut self, manager: u8, work: Work) {
        if self.holds(manager, work) {
            let op = &mut self.operations[usize::from(work.operation)];
            op.state = State::Pending;
            op.holder = None;
            op.lapsed = false;
        }
        self.drop_work(manager, work.operation);
    }

    pub(crate) fn abandon(&mut self, p: Protocol, manager: u8, work: Work) {
        self.give_up(p, work.operation);
        self.drop_work(manager, work.operation);
    }

    /// It dies and comes back as another. What it has sent is on its way.
    pub(crate) fn crash_manager(&mut self, manager: u8) {
        self.managers[usize::from(manager)].clear();
        for op in &mut self.operations {
            if op.holder == Some(manager) {
                op.holder = None;
                op.lapsed = false;
            }
        }
        self.repair = None;
    }

    /// No answer comes over its connection any more.
    pub(crate) fn lose_connections(&mut self, only: Option<(u8, u8)>) {
        for (m, manager) in self.managers.iter_mut().enumerate() {
            for work in manager.iter_mut() {
                let meant = only.is_none_or(|(o, op)| usize::from(o) == m && op == work.operation);
                if meant && matches!(work.phase, Phase::Waiting { .. } | Phase::Cancelling) {
                    work.phase = Phase::Unreachable;
                }
            }
        }
    }
}
