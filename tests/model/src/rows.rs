//! The transactions: what each does to the rows, by the manager's own tables.

use vfolder_manager::model::{
    Access, Backing, Kind, State, Status, Transition,
    admission::{self, Conditions},
    settle,
    transition::raises_epoch,
};

use crate::{
    protocol::{Piece, Protocol},
    world::{End, Fence, Message, Mount, OPERATIONS, Operation, Row, VFOLDERS, World, Write},
};

impl World {
    pub(crate) fn backing(&self, vfolder: u8) -> Backing {
        let mut backing = Backing::default();
        for op in self.operations.iter().filter(|o| o.state.is_live()) {
            if op.target == vfolder {
                match op.kind {
                    Kind::Create | Kind::Clone => backing.creations += 1,
                    Kind::Purge => backing.purges += 1,
                    // It backs nothing.
                    Kind::Verify | Kind::Recount => {}
                    Kind::Extract | Kind::Remove => backing.in_place += 1,
                }
            }
            if op.source == Some(vfolder) {
                backing.clones += 1;
            }
        }
        for mount in self.mounts.iter().filter(|m| m.vfolder == vfolder) {
            backing.mounts += 1;
            backing.write_mounts += i64::from(mount.writes);
        }
        backing
    }

    /// What the gate asks, and each transaction again. The request says whatever would help it.
    pub(crate) fn admits(&self, access: Access, vfolder: u8, read_only: bool) -> bool {
        let conditions = Conditions {
            read_only,
            skip_trash: true,
            mounts_read_only: self.backing(vfolder).write_mounts == 0,
        };
        self.row(vfolder)
            .is_some_and(|row| admission::admits(access, row.status, conditions))
    }

    /// `Locked::change`.
    fn change(&mut self, p: Protocol, vfolder: u8, transition: Transition, to: Status) {
        let Some(row) = self.row(vfolder) else {
            return self.blame("a row changes that doesn't exist");
        };
        if !transition.allows(Some(row.status), to) {
            return self.blame("a transition that the table doesn't have");
        }
        let left_out = match (row.status, to) {
            (Status::Cloning, _) => Some(Piece::EpochAfterClone),
            (_, Status::Cloning) => Some(Piece::EpochAtClone),
            (Status::Performing, _) => Some(Piece::EpochAfterWork),
            (_, Status::Performing) => Some(Piece::EpochAtWork),
            (_, Status::Trashed) => Some(Piece::EpochAtTrash),
            (_, Status::Deleting) => Some(Piece::EpochAtPurge),
            _ => None,
        };
        let rises = raises_epoch(row.status, to) && left_out.is_none_or(|piece| p.has(piece));
        self.rows[usize::from(vfolder)] = Some(Row {
            status: to,
            epoch: row.epoch + u8::from(rises),
        });
    }

    pub(crate) fn can_begin(&self) -> bool {
        self.operations.len() < OPERATIONS
    }

    /// The number that the next vfolder will have.
    pub(crate) fn free_row(&self) -> Option<u8> {
        let free = self.rows.iter().position(Option::is_none)?;
        (free < VFOLDERS).then_some(u8::try_from(free).unwrap_or_default())
    }

    fn begin(&mut self, kind: Kind, target: u8, source: Option<u8>) {
        let epoch = |v: u8| self.row(v).map_or(0, |r| r.epoch);
        let op = Operation {
            kind,
            target,
            source,
            epoch: epoch(target),
            source_epoch: source.map_or(0, epoch),
            state: State::Pending,
            attempt: 0,
            holder: None,
            lapsed: false,
            cancel: false,
            excused: false,
            given_up: false,
            since: source.and_then(|s| self.tree(s)).map_or(0, |t| t.first),
        };
        self.operations.push(op);
    }

    fn insert(&mut self, kind: Kind, source: Option<u8>) {
        if let Some(target) = self.free_row() {
            if !Transition::Create.allows(None, Status::Creating) {
                self.blame("a transition that the table doesn't have");
            }
            self.rows[usize::from(target)] = Some(Row {
                status: Status::Creating,
                epoch: 1,
            });
            self.begin(kind, target, source);
        }
    }

    pub(crate) fn create(&mut self) {
        self.insert(Kind::Create, None);
    }

    pub(crate) fn clone_from(&mut self, p: Protocol, source: u8) {
        self.change(p, source, Transition::CloneStart, Status::Cloning);
        self.insert(Kind::Clone, Some(source));
    }

    pub(crate) fn trash(&mut self, p: Protocol, vfolder: u8) {
        self.change(p, vfolder, Transition::Trash, Status::Trashed);
        let (count, told) = &mut self.trashes[usize::from(vfolder)];
        *count += 1;
        if p.has(Piece::FenceAfterTrash) {
            self.send_fence(vfolder);
        } else {
            *told = *count;
        }
    }

    fn send_fence(&mut self, vfolder: u8) {
        if self.is_up {
            self.net.insert(Message::Fence(Fence {
                vfolder,
                epoch: self.row(vfolder).map_or(0, |r| r.epoch),
                trash: self.trashes[usize::from(vfolder)].0,
            }));
        }
    }

    pub(crate) fn restore(&mut self, p: Protocol, vfolder: u8) {
        self.change(p, vfolder, Transition::Restore, Status::Ready);
    }

    pub(crate) fn purge(&mut self, p: Protocol, vfolder: u8) {
        self.change(p, vfolder, Transition::PurgeStart, Status::Deleting);
        self.begin(Kind::Purge, vfolder, None);
    }

    /// RemoveTree or ExtractArchive.
    pub(crate) fn perform(&mut self, p: Protocol, vfolder: u8) {
        self.change(p, vfolder, Transition::PerformStart, Status::Performing);
        self.begin(Kind::Remove, vfolder, None);
    }

    pub(crate) fn mount(&mut self, p: Protocol, vfolder: u8, writes: bool) {
        self.mounts.push(Mount { vfolder, writes });
        let to = match self.row(vfolder).map(|r| r.status) {
            Some(Status::Ready) | None => Status::Mounted,
            Some(other) => other,
        };
        self.change(p, vfolder, Transition::Mount, to);
    }

    /// Released or expired.
    pub(crate) fn end_mount(&mut self, p: Protocol, mount: usize) {
        let vfolder = self.mounts.remove(mount).vfolder;
        let to = match self.row(vfolder).map(|r| r.status) {
            Some(Status::Mounted) | None => settle::settle(&self.backing(vfolder)),
            Some(other) => other,
        };
        self.change(p, vfolder, Transition::MountEnd, to);
    }

    pub(crate) fn admit_write(&mut self, vfolder: u8) {
        let epoch = self.row(vfolder).map_or(0, |r| r.epoch);
        self.writes.push(Write {
            vfolder,
            epoch,
            entered: false,
            trashes: self.trashes[usize::from(vfolder)].0,
        });
    }

    /// ResetStatus, or DeleteVFolder of a vfolder in ERROR: with what was seen, if nothing changed meanwhile.
    pub(crate) fn repair(&mut self, p: Protocol) {
        let Some(repair) = self.repair.take() else {
            return;
        };
        let Some(has_tree) = repair.has_tree else {
            return;
        };
        if self.row(repair.vfolder) != Some(repair.seen)
            || self.backing(repair.vfolder).has_operation()
        {
            return;
        }
        let (transition, to) = match (repair.to_trash, has_tree) {
            (true, true) => (Transition::Trash, Status::Trashed),
            (true, false) => return,
            (false, true) => (Transition::Reset, Status::Ready),
            (false, false) => (Transition::Reset, Status::Deleted),
        };
        self.change(p, repair.vfolder, transition, to);
        if !p.has(Piece::FenceBeforeRepair) {
            self.send_fence(repair.vfolder);
        }
    }

    /// What comes before a repair: the row has a new epoch, then the storage-proxy hears of it.
    pub(crate) fn take_over(&mut self, p: Protocol, vfolder: u8) {
        self.change(p, vfolder, Transition::TakeOver, Status::Error);
        if let Some(row) = &mut self.rows[usize::from(vfolder)] {
            row.epoch += 1;
            let epoch = row.epoch;
            self.raise_fence(p, vfolder, epoch);
        }
    }

    /// The end of an operation: its outcome and both vfolders' statuses.
    pub(crate) fn finish(&mut self, p: Protocol, operation: u8, end: End) {
        let state = match end {
            End::Done => State::Succeeded,
            End::Failed => State::Failed,
            End::Cancelled => State::Cancelled,
        };
        let (transition, to) = match (self.operation(operation).kind, end) {
            (Kind::Create | Kind::Clone, End::Done) => (Transition::Created, Status::Ready),
            (Kind::Create | Kind::Clone, _) => (Transition::CreationUndone, Status::Deleted),
            (Kind::Purge, End::Done) => (Transition::PurgeEnd, Status::Deleted),
            (Kind::Purge, _) => (Transition::PurgeFail, Status::Error),
            // By what backs it, once the operation has ended.
            (Kind::Extract | Kind::Remove, _) => (Transition::PerformEnd, Status::Ready),
            // The model has none of these: they change no row and no tree.
            (Kind::Verify | Kind::Recount, _) => return,
        };
        let op = *self.operation(operation);
        if end == End::Failed && !op.excused && !op.cancel {
            self.blame("an operation fails for no reason of its own");
        }
        if end == End::Done && op.kind.is_in_place() && !self.is_worked(operation) {
            self.blame("work in a tree is called done and is not");
        }
        self.end(p, operation, state, transition, to);
    }

    /// The end of an operation whose storage-proxy can't be asked what became of it.
    pub(crate) fn give_up(&mut self, p: Protocol, operation: u8) {
        let op = *self.operation(operation);
        let transition = match op.kind {
            Kind::Purge => Transition::PurgeFail,
            Kind::Create | Kind::Clone => Transition::CreationLost,
            Kind::Extract | Kind::Remove => Transition::PerformFail,
            Kind::Verify | Kind::Recount => return,
        };
        self.operations[usize::from(operation)].given_up = true;
        if op.kind.is_in_place() && p.has(Piece::MountsEndWithWork) {
            self.mounts.retain(|mount| mount.vfolder != op.target);
        }
        self.end(p, operation, State::Failed, transition, Status::Error);
    }

    fn end(
        &mut self,
        p: Protocol,
        operation: u8,
        state: State,
        transition: Transition,
        to: Status,
    ) {
        let op = &mut self.operations[usize::from(operation)];
        if !op.state.is_live() {
            return self.blame("an operation ends twice");
        }
        op.state = state;
        op.holder = None;
        op.lapsed = false;
        let op = *op;
        let to = match transition {
            Transition::PerformEnd if p.has(Piece::WorkEndsMounted) => {
                settle::settle(&self.backing(op.target))
            }
            _ => to,
        };
        self.change(p, op.target, transition, to);
        if let Some(source) = op.source {
            let to = settle::settle(&self.backing(source));
            self.change(p, source, Transition::CloneEnd, to);
        }
    }
}
