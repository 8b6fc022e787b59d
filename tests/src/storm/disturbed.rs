//! Which waits had nothing else in their way: a storm breaks more than one thing at a time, and a promise of seconds is
//! one for a system that is otherwise whole.

use std::{collections::HashMap, time::Duration};

use uuid::Uuid;

use super::{
    history::{Micros, micros},
    nemesis::{Fault, Struck},
    recovery::{Awaited, Wait},
    world::World,
};

/// A manager that was killed or restarted so long ago, and no longer, may still have leases of its life before.
const LEASE: Duration = Duration::from_secs(7);
/// A process that has come back, or a network that has cleared, is in working order after so long: backoffs of
/// connections and of attempts.
const AFTERMATH: Duration = Duration::from_secs(2);

/// What is needed to tell.
pub struct Disturbances<'a> {
    struck: &'a [Struck],
    /// Which manager called itself so.
    workers: HashMap<Uuid, String>,
    managers: Vec<String>,
    /// Which storage-proxy has each volume.
    proxies: HashMap<String, String>,
}

impl<'a> Disturbances<'a> {
    /// From the logs of the managers.
    pub async fn read(world: &World, struck: &'a [Struck]) -> Self {
        let mut workers = HashMap::new();
        for manager in &world.managers {
            let log = manager.member.node.lock().await.log();
            let ids = log.split("worker=").skip(1);
            for id in ids.filter_map(|rest| rest.get(..36)?.parse().ok()) {
                workers.insert(id, manager.member.name.clone());
            }
        }
        let proxies = world.proxies.iter().flat_map(|proxy| {
            let name = &proxy.member.name;
            proxy
                .volumes
                .iter()
                .map(|volume| (volume.name.clone(), name.clone()))
        });
        Self {
            struck,
            workers,
            managers: world
                .managers
                .iter()
                .map(|m| m.member.name.clone())
                .collect(),
            proxies: proxies.collect(),
        }
    }

    /// Nothing else was broken that the operation needed.
    #[must_use]
    pub fn is_alone(&self, wait: &Wait) -> bool {
        let Some(end) = wait.end else {
            return false;
        };
        let after = |margin| wait.start.saturating_sub(micros(margin));
        let is_whole = |target: &str, since: Micros| {
            !self
                .struck
                .iter()
                .any(|struck| struck.target == target && struck.start <= end && struck.end >= since)
        };
        let proxy = self
            .proxies
            .get(&wait.before.volume)
            .map_or("", String::as_str);
        let reaches = |manager: &str| {
            is_whole(manager, after(LEASE))
                && is_whole(&format!("{manager} → postgres"), after(AFTERMATH))
                && is_whole(&format!("{manager} → {proxy}"), after(AFTERMATH))
        };
        if !is_whole("postgres", after(AFTERMATH)) {
            return false;
        }
        match wait.awaited {
            // Any other manager will do.
            Awaited::Takeover => self.managers.iter().any(|manager| reaches(manager)),
            Awaited::GoingOn => {
                // The kill that the wait is about ends where the wait begins.
                let killed_again = self.struck.iter().any(|struck| {
                    struck.target == proxy
                        && struck.start <= end
                        && struck.end >= after(AFTERMATH)
                        && !(struck.fault == Fault::KillProxy
                            && struck.end.abs_diff(wait.start) < 500_000)
                });
                let holder = wait.before.lease_owner.and_then(|id| self.workers.get(&id));
                !killed_again
                    && match holder {
                        Some(manager) => reaches(manager),
                        None => self.managers.iter().any(|manager| reaches(manager)),
                    }
            }
        }
    }
}
