//! What a storage-proxy does: its tasks.

use vfolder_manager::model::{Kind, Status};

use crate::{
    protocol::{Piece, Protocol},
    world::{End, Entry, Message, Repair, Slot, Stage, Tree, World},
};

impl World {
    fn set_slot(&mut self, operation: u8, slot: Slot) {
        self.slots[usize::from(operation)] = slot;
    }

    pub(crate) fn slot(&self, operation: u8) -> Slot {
        self.slots[usize::from(operation)]
    }

    /// A task that has ended without its result: nothing of it stays but the verdict.
    fn end_without(&mut self, p: Protocol, operation: u8, end: End) {
        let o = usize::from(operation);
        self.disk.staging[o] = None;
        if p.has(Piece::DurableVerdict) && self.disk.journal[o].is_some() {
            self.disk.journal[o] = Some(Entry::Verdict(end));
        }
        self.set_slot(operation, Slot::Ended(end));
    }

    /// Whether work in a tree has done all of it.
    pub(crate) fn is_worked(&self, operation: u8) -> bool {
        let tree = self.tree(self.operation(operation).target);
        tree.is_some_and(|tree| tree.worked.iter().all(|w| w & (1 << operation) != 0))
    }

    /// RunTask.
    pub(crate) fn run_task(&mut self, p: Protocol, operation: u8) {
        if self.slot(operation) != Slot::Unknown {
            return;
        }
        let (o, op) = (usize::from(operation), *self.operation(operation));
        if let Some(Entry::Verdict(end)) = self.disk.journal[o] {
            return self.set_slot(operation, Slot::Ended(end));
        }
        if op.epoch < self.fence(op.target) {
            return self.set_slot(operation, Slot::Ended(End::Failed));
        }
        if op.kind.is_in_place() && self.tree(op.target).is_none() {
            return self.set_slot(operation, Slot::Ended(End::Failed));
        }
        self.disk.journal[o] = Some(Entry::Begun);
        let running = |stage| Slot::Running { stage, cut: false };
        match op.kind {
            Kind::Purge => {
                self.raise_fence(p, op.target, op.epoch);
                self.set_slot(operation, running(Stage::Draining));
            }
            Kind::Extract | Kind::Remove => {
                if p.has(Piece::WorkFence) {
                    self.raise_fence(p, op.target, op.epoch);
                }
                self.set_slot(operation, running(Stage::Draining));
            }
            _ if self.tree(op.target).is_some() => self.set_slot(operation, Slot::Ended(End::Done)),
            Kind::Verify | Kind::Recount => self.set_slot(operation, Slot::Ended(End::Done)),
            Kind::Create => self.set_slot(operation, running(Stage::Publishing)),
            Kind::Clone => {
                let source = op.source.unwrap_or_default();
                let newer = |w: &crate::world::Write| {
                    w.entered && w.vfolder == source && w.epoch > op.source_epoch
                };
                let is_stale =
                    op.source_epoch < self.fence(source) || self.writes.iter().any(newer);
                if is_stale && p.has(Piece::SourceCut) {
                    return self.end_without(p, operation, End::Failed);
                }
                if p.has(Piece::SourceFence) {
                    self.raise_fence(p, source, op.source_epoch);
                }
                self.set_slot(operation, running(Stage::Draining));
            }
        }
    }

    /// Whether a task copies a tree, though it may be cut.
    fn is_copied(&self, source: u8) -> bool {
        self.operations.iter().zip(self.slots).any(|(op, slot)| {
            let copies = matches!(slot, Slot::Running { stage, .. } if stage.is_copying());
            copies && op.source == Some(source)
        })
    }

    fn is_copied_uncut(&self, source: u8) -> bool {
        self.operations.iter().zip(self.slots).any(|(op, slot)| {
            let copies = matches!(slot, Slot::Running { stage, cut: false } if stage.is_copying());
            copies && op.source == Some(source)
        })
    }

    /// Whether a running task can go on.
    pub(crate) fn can_go_on(&self, p: Protocol, operation: u8) -> bool {
        let op = self.operation(operation);
        match self.slot(operation) {
            Slot::Running { cut: true, .. } => true,
            Slot::Running {
                stage: Stage::Draining,
                ..
            } => match op.source {
                None if op.kind.is_in_place() && !p.has(Piece::WorkFence) => true,
                Some(_) if !p.has(Piece::SourceFence) => true,
                Some(source) => self.is_drained(p, source, op.source_epoch),
                None => {
                    self.is_drained(p, op.target, op.epoch)
                        && (!self.is_copied(op.target) || !p.has(Piece::Drain))
                }
            },
            Slot::Running { .. } => true,
            _ => false,
        }
    }

    /// The next step of a running task.
    pub(crate) fn go_on(&mut self, p: Protocol, operation: u8) {
        let (o, op) = (usize::from(operation), *self.operation(operation));
        let Slot::Running { stage, cut } = self.slot(operation) else {
            return;
        };
        if stage.is_inside() {
            return self.go_on_inside(p, operation, stage, cut);
        }
        if cut {
            return self.end_without(p, operation, End::Failed);
        }
        let source = op.source.and_then(|s| self.tree(s));
        let target = usize::from(op.target);
        let is_stale = p.has(Piece::PublishCheck) && op.epoch < self.fence(op.target);
        let mut next = |stage| self.slots[o] = Slot::Running { stage, cut };
        match (stage, source) {
            (Stage::Draining, _) if op.kind == Kind::Purge => next(Stage::Hiding),
            (Stage::Draining, _) if op.kind.is_in_place() => {
                if op.epoch < self.fence(op.target) && p.has(Piece::WorkEnters) {
                    return self.end_without(p, operation, End::Failed);
                }
                self.set_slot(
                    operation,
                    Slot::Running {
                        stage: Stage::WorkingFirst,
                        cut: false,
                    },
                );
            }
            (Stage::Draining, _) => next(Stage::CopyingFirst),
            (Stage::CopyingFirst | Stage::CopyingSecond, None) => {
                self.end_without(p, operation, End::Failed);
            }
            (Stage::CopyingFirst, Some(Tree { first, .. })) => {
                next(Stage::CopyingSecond);
                self.disk.staging[o] = Some(Tree {
                    first,
                    ..Tree::default()
                });
            }
            (Stage::CopyingSecond, Some(Tree { second, .. })) => {
                next(Stage::Publishing);
                if let Some(staging) = &mut self.disk.staging[o] {
                    staging.second = second;
                }
            }
            (Stage::Publishing | Stage::Hiding, _) if is_stale => {
                self.end_without(p, operation, End::Failed);
            }
            (Stage::Publishing, _) => {
                let made = self.disk.staging[o].take().unwrap_or_default();
                if made.first != made.second {
                    self.blame("a clone is torn: it has a write in part");
                }
                if op.kind == Kind::Clone && made.first < op.since {
                    self.blame("a clone lacks what was written before it was admitted");
                }
                if self.disk.trees[target].replace(made).is_some() {
                    self.blame("a tree is published over another");
                }
                self.set_slot(operation, Slot::Ended(End::Done));
            }
            (Stage::Hiding, _) => {
                self.disk.trash[o] = self.disk.trees[target].take().is_some();
                if self
                    .writes
                    .iter()
                    .any(|w| w.entered && w.vfolder == op.target)
                    || self.works_in(op.target).next().is_some()
                {
                    self.blame("a writer is in a tree that is taken away");
                }
                if self.is_copied(op.target) {
                    self.blame("a tree is taken away while it is copied");
                }
                // What is in the trash is nobody's but the reclaimer's.
                self.set_slot(operation, Slot::Ended(End::Done));
            }
            (Stage::WorkingFirst | Stage::WorkingSecond | Stage::Noting, _) => {}
        }
    }

    /// The next step of work in a tree. Whether it is cut is asked between steps: one more may come after the cut.
    fn go_on_inside(&mut self, p: Protocol, operation: u8, stage: Stage, cut: bool) {
        let (o, op) = (usize::from(operation), *self.operation(operation));
        let next = match stage {
            Stage::WorkingFirst => Stage::WorkingSecond,
            Stage::WorkingSecond => Stage::Noting,
            _ => {
                let is_stale = p.has(Piece::PublishCheck) && op.epoch < self.fence(op.target);
                if cut || is_stale {
                    return self.end_without(p, operation, End::Failed);
                }
                self.disk.journal[o] = Some(Entry::Verdict(End::Done));
                return self.set_slot(operation, Slot::Ended(End::Done));
            }
        };
        self.work(operation, usize::from(stage == Stage::WorkingSecond));
        if cut {
            return self.end_without(p, operation, End::Failed);
        }
        self.set_slot(operation, Slot::Running { stage: next, cut });
    }

    /// Work in a tree changes one of its files.
    fn work(&mut self, operation: u8, file: usize) {
        let op = *self.operation(operation);
        let is_seen = |r: Repair| r.vfolder == op.target && r.has_tree.is_some();
        let is_anybodys = match self.row(op.target).map(|r| r.status) {
            // Nobody knows what it still does, and nobody relies on anything.
            Some(Status::Error) => op.given_up && !self.repair.is_some_and(is_seen),
            Some(Status::Deleting) => op.given_up,
            _ => false,
        };
        if !op.state.is_live() && !is_anybodys {
            self.blame("work goes on in a tree after its operation has ended");
        }
        if self.is_copied_uncut(op.target) {
            self.blame("a tree is worked in while it is copied");
        }
        match &mut self.disk.trees[usize::from(op.target)] {
            Some(tree) => tree.worked[file] |= 1 << operation,
            None => self.blame("work goes on in a tree that is gone"),
        }
    }

    /// A task fails for good.
    pub(crate) fn fail_task(&mut self, p: Protocol, operation: u8) {
        self.operations[usize::from(operation)].excused = true;
        self.end_without(p, operation, End::Failed);
    }

    /// CancelTask.
    pub(crate) fn cancel_task(&mut self, p: Protocol, operation: u8) {
        let op = *self.operation(operation);
        let noted = self.disk.journal[usize::from(operation)] == Some(Entry::Verdict(End::Done));
        let known = noted || self.slot(operation) == Slot::Ended(End::Done);
        let published = known
            || (self.tree(op.target).is_some()
                && !(op.kind.is_in_place() && p.has(Piece::WorkAsksJournal)));
        if op.kind.is_in_place() && published && !known {
            self.blame("a cancel is told to come too late for work that is not done");
        }
        if published && p.has(Piece::LateCancel) {
            return self.answer_cancel(operation, false);
        }
        if p.has(Piece::EndFence) {
            self.raise_fence(p, op.target, op.epoch + 1);
        }
        self.end_without(p, operation, End::Cancelled);
        self.answer_cancel(operation, true);
    }

    /// ForgetTask.
    pub(crate) fn forget_task(&mut self, p: Protocol, operation: u8) {
        if matches!(self.slot(operation), Slot::Running { .. }) {
            return;
        }
        let (o, op) = (usize::from(operation), *self.operation(operation));
        match op.kind {
            Kind::Purge if p.has(Piece::FenceOutlivesPurge) => {}
            Kind::Purge => self.disk.fences[usize::from(op.target)] = 0,
            // It leaves nothing.
            Kind::Verify | Kind::Recount => {}
            Kind::Extract | Kind::Remove => {
                let known = self.disk.journal[o].is_some() || self.slot(operation) != Slot::Unknown;
                let done = self.slot(operation) == Slot::Ended(End::Done)
                    || self.disk.journal[o] == Some(Entry::Verdict(End::Done));
                let piece = match done {
                    true => Piece::EndFenceOfWork,
                    false => Piece::EndFence,
                };
                if known && p.has(piece) {
                    self.raise_fence(p, op.target, op.epoch + 1);
                }
            }
            Kind::Create | Kind::Clone => {
                if self.tree(op.target).is_none() && p.has(Piece::EndFence) {
                    self.raise_fence(p, op.target, op.epoch + 1);
                }
            }
        }
        self.disk.journal[o] = None;
        self.disk.staging[o] = None;
        if self.slot(operation) != Slot::Ended(End::Done) {
            self.set_slot(operation, Slot::Ended(End::Cancelled));
        }
    }

    /// An administrator's request looks at the disk.
    pub(crate) fn look(&mut self, p: Protocol, vfolder: u8, to_trash: bool) {
        if p.has(Piece::FenceBeforeRepair) {
            self.take_over(p, vfolder);
        }
        let Some(seen) = self.row(vfolder) else {
            return;
        };
        self.repair = Some(Repair {
            vfolder,
            seen,
            has_tree: None,
            to_trash,
        });
    }

    /// The storage-proxy answers it: nobody older is in the tree, and whether there is one.
    pub(crate) fn see(&mut self) {
        let has_tree = |v: u8| self.tree(v).is_some();
        let found = self.repair.map(|r| has_tree(r.vfolder));
        if let Some(repair) = &mut self.repair {
            repair.has_tree = found;
        }
    }

    /// The storage-proxy dies: memory and writers are gone, the disk stays.
    pub(crate) fn crash_proxy(&mut self, p: Protocol) {
        self.is_up = false;
        self.slots = Default::default();
        self.writes.retain(|w| !w.entered);
        if !p.has(Piece::DurableFences) {
            self.disk.fences = Default::default();
        }
        self.net
            .retain(|m| !matches!(m, Message::Fence(..) | Message::Drain(..)));
        self.lose_connections(None);
        self.repair = None;
    }
}
