//! The steps and what each does.

use stateright::{Model, Property};

use crate::{
    properties,
    protocol::{Piece, Protocol},
    scenario::Scenario,
    world::{Message, Phase, Slot, Work, World},
};

/// One atomic step. Vfolders, operations and managers are told by their numbers; a managers' number is that of the state
/// before, and may be the other's in the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after what they do")]
pub enum Step {
    // Clients.
    Create,
    Clone { source: u8 },
    Write { vfolder: u8 },
    Trash { vfolder: u8 },
    Restore { vfolder: u8 },
    Purge { vfolder: u8 },
    Perform { vfolder: u8 },
    Mount { vfolder: u8, writes: bool },
    WishCancel { operation: u8 },
    Look { vfolder: u8, to_trash: bool },
    // Faults.
    CrashManager { manager: u8 },
    Lapse { operation: u8 },
    CrashProxy,
    BreakConnection { manager: u8, operation: u8 },
    DeliverAgain(Message),
    Fail { operation: u8 },
    GiveUp { manager: u8, operation: u8 },
    // What goes on by itself.
    See,
    Repair,
    EndMount { mount: usize },
    Claim { manager: u8, operation: u8 },
    SendRun { manager: u8, operation: u8 },
    SendCancel { manager: u8, operation: u8 },
    TakeAnswer { manager: u8, operation: u8 },
    Commit { manager: u8, operation: u8 },
    SendForget { manager: u8, operation: u8 },
    Release { manager: u8, operation: u8 },
    Sweep { operation: u8 },
    Deliver(Message),
    GoOn { operation: u8 },
    Reclaim { operation: u8 },
    Enter { write: usize },
    Land { write: usize },
    StartProxy,
}

impl Scenario {
    /// The model of this scenario.
    #[must_use]
    pub const fn under(self, protocol: Protocol) -> Search {
        Search {
            scenario: self,
            protocol,
        }
    }
}

/// A scenario under a protocol.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    pub(crate) scenario: Scenario,
    pub(crate) protocol: Protocol,
}

impl Search {
    fn take(self, w: &mut World, step: Step) {
        let p = self.protocol;
        let find = |w: &World, manager: u8, operation: u8| -> Work {
            let works = &w.managers[usize::from(manager)];
            let found = works.iter().find(|k| k.operation == operation);
            found.copied().unwrap_or(Work {
                operation,
                attempt: 0,
                phase: Phase::Claimed,
            })
        };
        match step {
            Step::Create => {
                w.left.create -= 1;
                w.create();
            }
            Step::Clone { source } => {
                w.left.clone -= 1;
                w.clone_from(p, source);
            }
            Step::Write { vfolder } => {
                w.left.write -= 1;
                w.admit_write(vfolder);
            }
            Step::Trash { vfolder } => {
                w.left.trash -= 1;
                w.trash(p, vfolder);
            }
            Step::Restore { vfolder } => {
                w.left.restore -= 1;
                w.restore(p, vfolder);
            }
            Step::Purge { vfolder } => {
                w.left.purge -= 1;
                w.purge(p, vfolder);
            }
            Step::Perform { vfolder } => {
                w.left.perform -= 1;
                w.perform(p, vfolder);
            }
            Step::Mount {
                vfolder,
                writes: false,
            } => {
                w.left.mount_ro -= 1;
                w.mount(p, vfolder, false);
            }
            Step::Mount {
                vfolder,
                writes: true,
            } => {
                w.left.mount_rw -= 1;
                w.mount(p, vfolder, true);
            }
            Step::WishCancel { operation } => {
                w.left.cancel -= 1;
                w.operations[usize::from(operation)].cancel = true;
            }
            Step::Look { vfolder, to_trash } => {
                w.left.repair -= 1;
                w.look(p, vfolder, to_trash);
            }
            Step::CrashManager { manager } => {
                w.left.manager_crash -= 1;
                w.crash_manager(manager);
            }
            Step::Lapse { operation } => {
                w.left.lapse -= 1;
                w.operations[usize::from(operation)].lapsed = true;
            }
            Step::CrashProxy => {
                w.left.proxy_crash -= 1;
                w.crash_proxy(p);
            }
            Step::BreakConnection { manager, operation } => {
                w.left.broken_connection -= 1;
                w.lose_connections(Some((manager, operation)));
            }
            Step::DeliverAgain(message) => {
                w.left.duplicate -= 1;
                self.deliver(w, message);
            }
            Step::Fail { operation } => {
                w.left.failure -= 1;
                w.fail_task(p, operation);
            }
            Step::GiveUp { manager, operation } => {
                w.left.give_up -= 1;
                let work = find(w, manager, operation);
                w.abandon(p, manager, work);
            }
            Step::See => w.see(),
            Step::Repair => w.repair(p),
            Step::EndMount { mount } => w.end_mount(p, mount),
            Step::Claim { manager, operation } => w.claim(manager, operation),
            Step::SendRun { manager, operation } => {
                let work = find(w, manager, operation);
                w.send_run(manager, work);
            }
            Step::SendCancel { manager, operation } => {
                let work = find(w, manager, operation);
                w.send_cancel(manager, work);
            }
            Step::TakeAnswer { manager, operation } => {
                if let Slot::Ended(end) = w.slot(operation) {
                    w.set_phase(manager, operation, Phase::Answered(end));
                    if !p.has(Piece::CommitBeforeForget) {
                        w.net.insert(Message::Forget(operation));
                    }
                }
            }
            Step::Commit { manager, operation } => {
                let work = find(w, manager, operation);
                if let Phase::Answered(end) = work.phase {
                    w.commit(p, manager, work, end);
                }
            }
            Step::SendForget { manager, operation } => {
                let work = find(w, manager, operation);
                w.send_forget(manager, work);
            }
            Step::Release { manager, operation } => {
                let work = find(w, manager, operation);
                w.release(manager, work);
            }
            Step::Sweep { operation } => {
                w.net.insert(Message::Forget(operation));
            }
            Step::Deliver(message) => {
                w.net.remove(&message);
                self.deliver(w, message);
            }
            Step::GoOn { operation } => w.go_on(p, operation),
            Step::Reclaim { operation } => w.disk.trash[usize::from(operation)] = false,
            Step::Enter { write } => w.enter(p, write),
            Step::Land { write } => w.land(write),
            Step::StartProxy => w.is_up = true,
        }
    }

    fn deliver(self, w: &mut World, message: Message) {
        let p = self.protocol;
        match message {
            Message::Run(o) => w.run_task(p, o),
            Message::Cancel(o) => w.cancel_task(p, o),
            Message::Forget(o) => w.forget_task(p, o),
            Message::Fence(f) => w.fence_tree(p, f),
            Message::Drain(f) => w.fenced(f),
        }
    }
}

impl Model for Search {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.scenario.ready, self.scenario.bounds)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        // Nobody asks what comes after what must never be.
        if world.wrong.is_some() {
            return;
        }
        self.progress(world, steps);
        self.calls(world, steps);
        self.faults(world, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        self.take(&mut next, step);
        Some(next.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
