//! Which steps are possible in a state.

use vfolder_manager::model::{Access, Kind, Status};

use crate::{
    step::{Search, Step},
    world::{End, Message, Phase, Repair, Slot, Stage, VFOLDERS, Work, World},
};

fn number(i: usize) -> u8 {
    u8::try_from(i).unwrap_or(u8::MAX)
}

impl Search {
    /// What clients may do.
    pub(crate) fn calls(self, w: &World, steps: &mut Vec<Step>) {
        let left = &w.left;
        if left.create > 0 && w.free_row().is_some() && w.can_begin() {
            steps.push(Step::Create);
        }
        for vfolder in 0..number(VFOLDERS) {
            let mut call = |left: u8, access, read_only, step| {
                if left > 0 && w.admits(access, vfolder, read_only) {
                    steps.push(step);
                }
            };
            if w.can_begin() && w.free_row().is_some() {
                call(
                    left.clone,
                    Access::Clonable,
                    true,
                    Step::Clone { source: vfolder },
                );
            }
            if w.can_begin() {
                call(left.purge, Access::Purgable, false, Step::Purge { vfolder });
                call(
                    left.perform,
                    Access::Updatable,
                    false,
                    Step::Perform { vfolder },
                );
            }
            call(left.write, Access::Writable, false, Step::Write { vfolder });
            call(
                left.restore,
                Access::Restorable,
                false,
                Step::Restore { vfolder },
            );
            for (left, writes) in [(left.mount_ro, false), (left.mount_rw, true)] {
                call(
                    left,
                    Access::Mountable,
                    !writes,
                    Step::Mount { vfolder, writes },
                );
            }
            if w.row(vfolder).is_some_and(|r| r.status == Status::Error) {
                if w.repair.is_none() && w.is_up && left.repair > 0 {
                    steps.push(Step::Look {
                        vfolder,
                        to_trash: false,
                    });
                    steps.push(Step::Look {
                        vfolder,
                        to_trash: true,
                    });
                }
            } else if left.trash > 0 && w.admits(Access::Deletable, vfolder, false) {
                steps.push(Step::Trash { vfolder });
            }
        }
        for (i, op) in w.operations.iter().enumerate() {
            if left.cancel > 0 && op.state.is_live() && op.kind.is_cancellable() && !op.cancel {
                steps.push(Step::WishCancel {
                    operation: number(i),
                });
            }
        }
    }

    /// What may break.
    pub(crate) fn faults(self, w: &World, steps: &mut Vec<Step>) {
        let left = &w.left;
        for (m, works) in w.managers.iter().enumerate() {
            let manager = number(m);
            if left.manager_crash > 0 && (!works.is_empty() || w.repair.is_some()) {
                steps.push(Step::CrashManager { manager });
            }
            for work in works {
                let operation = work.operation;
                let waits = matches!(work.phase, Phase::Waiting { .. } | Phase::Cancelling);
                if left.broken_connection > 0 && waits {
                    steps.push(Step::BreakConnection { manager, operation });
                }
                if left.give_up > 0 && work.phase == Phase::Unreachable && w.holds(manager, *work) {
                    steps.push(Step::GiveUp { manager, operation });
                }
            }
        }
        if left.proxy_crash > 0 && w.is_up {
            steps.push(Step::CrashProxy);
        }
        for (i, op) in w.operations.iter().enumerate() {
            let operation = number(i);
            if left.lapse > 0 && op.holder.is_some() && !op.lapsed {
                steps.push(Step::Lapse { operation });
            }
            let can_fail = matches!(
                w.slot(operation),
                Slot::Running {
                    stage: Stage::CopyingFirst
                        | Stage::Publishing
                        | Stage::Hiding
                        | Stage::WorkingFirst
                        | Stage::WorkingSecond
                        | Stage::Noting,
                    ..
                }
            );
            if left.failure > 0 && can_fail {
                steps.push(Step::Fail { operation });
            }
        }
        if left.duplicate > 0 && w.is_up {
            let again = |m: &&Message| !matches!(m, Message::Fence(..) | Message::Drain(..));
            steps.extend(w.net.iter().filter(again).map(|m| Step::DeliverAgain(*m)));
        }
    }

    /// What goes on by itself, and will unless it is no longer due: nothing of it is bounded.
    pub(crate) fn progress(self, w: &World, steps: &mut Vec<Step>) {
        let p = self.protocol;
        match w.repair {
            Some(Repair {
                has_tree: Some(_), ..
            }) => steps.push(Step::Repair),
            Some(Repair { vfolder, seen, .. }) if w.is_drained(p, vfolder, seen.epoch) => {
                steps.push(Step::See);
            }
            _ => {}
        }
        for mount in 0..w.mounts.len() {
            steps.push(Step::EndMount { mount });
        }
        for (m, works) in w.managers.iter().enumerate() {
            let manager = number(m);
            for work in works {
                worker(w, manager, *work, steps);
            }
            for o in 0..w.operations.len() {
                let operation = number(o);
                // While the storage-proxy is down, retries change nothing.
                if w.is_up && w.can_claim(manager, operation) {
                    steps.push(Step::Claim { manager, operation });
                }
            }
        }
        if !w.is_up {
            steps.push(Step::StartProxy);
            return;
        }
        for message in &w.net {
            match *message {
                Message::Drain(f) if !w.is_drained(p, f.vfolder, f.epoch) => {}
                _ => steps.push(Step::Deliver(*message)),
            }
        }
        for (o, op) in w.operations.iter().enumerate() {
            let operation = number(o);
            if w.can_go_on(p, operation) {
                steps.push(Step::GoOn { operation });
            }
            let runs = matches!(w.slot(operation), Slot::Running { .. });
            if w.disk.trash[o] && !runs {
                steps.push(Step::Reclaim { operation });
            }
            let left = w.disk.journal[o].is_some() || w.disk.staging[o].is_some();
            if left && !runs && !op.state.is_live() && !w.net.contains(&Message::Forget(operation))
            {
                steps.push(Step::Sweep { operation });
            }
        }
        for (i, write) in w.writes.iter().enumerate() {
            steps.push(if write.entered {
                Step::Land { write: i }
            } else {
                Step::Enter { write: i }
            });
        }
    }
}

fn worker(w: &World, manager: u8, work: Work, steps: &mut Vec<Step>) {
    let operation = work.operation;
    let op = w.operation(operation);
    // A wish is read with the lease, when it is claimed or renewed.
    let wished = op.cancel && op.kind != Kind::Purge && w.holds(manager, work);
    match work.phase {
        // A storage-proxy that is away is found out by sending.
        Phase::Claimed | Phase::Late if !w.is_up => {
            steps.push(Step::Release { manager, operation })
        }
        Phase::Claimed => {
            steps.push(Step::SendRun { manager, operation });
            if wished {
                steps.push(Step::SendCancel { manager, operation });
            }
        }
        Phase::Late => steps.push(Step::SendRun { manager, operation }),
        Phase::Waiting { late } => {
            if matches!(
                w.slot(operation),
                Slot::Ended(End::Done | End::Failed | End::Cancelled)
            ) {
                steps.push(Step::TakeAnswer { manager, operation });
            }
            if wished && !late {
                steps.push(Step::SendCancel { manager, operation });
            }
        }
        Phase::Cancelling => {}
        Phase::Unreachable => steps.push(Step::Release { manager, operation }),
        Phase::Answered(_) => steps.push(Step::Commit { manager, operation }),
        Phase::Committed => steps.push(Step::SendForget { manager, operation }),
    }
}
