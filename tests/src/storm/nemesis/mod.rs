//! The nemesis: draws faults from its own dice and sees to it that each ends.

mod faults;
mod inflict;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use tokio::{sync::OwnedMutexGuard, task::JoinSet, time};

use super::{client::Shared, history::Micros, recovery::Recovery, world::Node};

pub use faults::Fault;

/// A fault that happened.
#[derive(Clone, Debug)]
pub struct Struck {
    /// What.
    pub fault: Fault,
    /// Whom or where.
    pub target: String,
    /// When it began.
    pub start: Micros,
    /// When all was in working order again.
    pub end: Micros,
}

/// Breaks things until the storm is over, then waits until everything is whole.
pub struct Nemesis {
    shared: Arc<Shared>,
    recovery: Arc<Recovery>,
    /// What is being broken and can't be broken twice at once: the database and the stretches of network, by name.
    busy: Mutex<HashSet<String>>,
    struck: Mutex<Vec<Struck>>,
    troubles: Mutex<Vec<String>>,
}

impl Nemesis {
    /// One that has done nothing yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, recovery: Arc<Recovery>) -> Self {
        Self {
            shared,
            recovery,
            busy: Mutex::default(),
            struck: Mutex::default(),
            troubles: Mutex::default(),
        }
    }

    /// Works for the plan's duration, and until the last fault is over. What it did, and what did not get well again.
    pub async fn rage(self: Arc<Self>) -> (Vec<Struck>, Vec<String>) {
        let mut dice = self.shared.plan.dice("nemesis");
        let end = time::Instant::now() + self.shared.plan.duration;
        let mut running = JoinSet::new();
        // First one of each kind, so that the shortest storm has them all.
        let mut deck: Vec<Fault> = Fault::all().collect();
        dice.shuffle(&mut deck);
        loop {
            let pause = self.shared.plan.pace.mul_f64(0.1 + 1.8 * dice.f64());
            if time::Instant::now() + pause >= end {
                break;
            }
            time::sleep(pause).await;
            while running.try_join_next().is_some() {}
            self.strike(&mut dice, &mut deck, &mut running).await;
        }
        while running.join_next().await.is_some() {}
        let take = |all: &Mutex<Vec<String>>| {
            std::mem::take(&mut *all.lock().unwrap_or_else(PoisonError::into_inner))
        };
        let struck =
            std::mem::take(&mut *self.struck.lock().unwrap_or_else(PoisonError::into_inner));
        (struck, take(&self.troubles))
    }

    /// Draws until a fault fits: what is broken already is left alone.
    async fn strike(
        self: &Arc<Self>,
        dice: &mut Rng,
        deck: &mut Vec<Fault>,
        running: &mut JoinSet<()>,
    ) {
        for _ in 0..20 {
            let next = deck.pop();
            let fault = next.unwrap_or_else(|| Fault::draw(dice));
            let length = fault.length(dice);
            // As many numbers for each draw, whatever becomes of it.
            let which = dice.usize(..1 << 16);
            let aimed = dice.u32(..4) > 0;
            if self.begin(fault, length, which, aimed, running).await {
                return;
            }
            // Another time.
            if next.is_some() {
                deck.insert(0, fault);
            }
        }
    }

    async fn begin(
        self: &Arc<Self>,
        fault: Fault,
        length: Duration,
        which: usize,
        aimed: bool,
        running: &mut JoinSet<()>,
    ) -> bool {
        let us = Arc::clone(self);
        if fault.is_of_manager() {
            let aim = fault == Fault::KillManager && aimed;
            let Some((index, node)) = self.free_manager(which, aim).await else {
                return false;
            };
            running.spawn(async move { us.hit_manager(fault, length, index, node).await });
        } else if fault.is_of_proxy() {
            let proxies = &self.shared.world.proxies;
            let index = which % proxies.len();
            let Ok(node) = Arc::clone(&proxies[index].member.node).try_lock_owned() else {
                return false;
            };
            running.spawn(async move { us.hit_proxy(fault, length, index, node).await });
        } else {
            let name = if fault.is_of_postgres() {
                "postgres".to_owned()
            } else {
                let names: Vec<_> = self.shared.world.relays().map(|(name, _)| name).collect();
                names[which % names.len()].clone()
            };
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            if !busy.insert(name.clone()) {
                return false;
            }
            running.spawn(async move { us.hit_named(fault, length, name).await });
        }
        true
    }

    /// A manager that is whole, if another one is too; where it is to be aimed, one that has an operation.
    async fn free_manager(
        &self,
        which: usize,
        aimed: bool,
    ) -> Option<(usize, OwnedMutexGuard<Node>)> {
        let managers = &self.shared.world.managers;
        let mut free: Vec<_> = managers
            .iter()
            .enumerate()
            .filter_map(|(index, manager)| {
                let node = Arc::clone(&manager.member.node).try_lock_owned().ok()?;
                Some((index, node))
            })
            .collect();
        if free.len() < 2.min(managers.len()) {
            return None;
        }
        if aimed {
            // An operation takes milliseconds, mostly: look for a moment.
            for _ in 0..80 {
                let holders = self.recovery.holders();
                let found = free.iter().position(|(_, node)| {
                    inflict::worker_of(node).is_some_and(|worker| holders.contains(&worker))
                });
                if let Some(found) = found {
                    return Some(free.swap_remove(found));
                }
                time::sleep(Duration::from_millis(10)).await;
            }
        }
        let chosen = which % free.len();
        Some(free.swap_remove(chosen))
    }

    fn note(&self, fault: Fault, target: &str, start: Micros) {
        let struck = Struck {
            fault,
            target: target.to_owned(),
            start,
            end: self.shared.world.clock.now(),
        };
        self.struck
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(struck);
    }

    fn trouble(&self, text: String) {
        self.troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }

    fn whole_again(&self, name: &str) {
        self.busy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
    }
}
