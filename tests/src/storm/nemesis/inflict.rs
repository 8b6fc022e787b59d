//! How each fault is done and undone.

use std::time::Duration;

use tokio::{sync::OwnedMutexGuard, time};
use uuid::Uuid;

use super::{Fault, Nemesis};
use crate::{Relay, Weather, postgres::Stop, storm::world::Node};

impl Nemesis {
    pub(super) async fn hit_manager(
        &self,
        fault: Fault,
        length: Duration,
        index: usize,
        mut node: OwnedMutexGuard<Node>,
    ) {
        let world = &self.shared.world;
        let start = world.clock.now();
        let worker = worker_of(&node);
        self.hit_process(fault, length, &mut node, || {
            if let Some(worker) = worker.filter(|_| fault == Fault::KillManager) {
                self.recovery.manager_killed(worker);
            }
        })
        .await;
        if !node.is_there()
            && let Err(trouble) = world.manager_up(index, &mut node).await
        {
            self.trouble(trouble);
        }
        self.note(fault, &world.managers[index].member.name, start);
    }

    pub(super) async fn hit_proxy(
        &self,
        fault: Fault,
        length: Duration,
        index: usize,
        mut node: OwnedMutexGuard<Node>,
    ) {
        let world = &self.shared.world;
        let start = world.clock.now();
        self.hit_process(fault, length, &mut node, || {}).await;
        if !node.is_there() {
            match world.proxy_up(index, &mut node).await {
                Ok(_) if fault == Fault::KillProxy => {
                    let volumes = world.proxies[index].volumes.iter();
                    self.recovery
                        .proxy_returned(volumes.map(|volume| volume.name.clone()).collect());
                }
                Ok(_) => {}
                Err(trouble) => self.trouble(trouble),
            }
        }
        self.note(fault, &world.proxies[index].member.name, start);
    }

    async fn hit_process(
        &self,
        fault: Fault,
        length: Duration,
        node: &mut Node,
        killed: impl FnOnce(),
    ) {
        match fault {
            Fault::KillManager | Fault::KillProxy => {
                node.kill();
                killed();
                time::sleep(length).await;
            }
            Fault::PauseManager | Fault::PauseProxy => {
                node.pause();
                time::sleep(length).await;
                node.resume();
            }
            _ => {
                match node.terminate().await {
                    Ok(status) if status.success() => {}
                    Ok(status) => self.trouble(format!("after SIGTERM: {status}")),
                    Err(trouble) => self.trouble(trouble),
                }
                time::sleep(length).await;
            }
        }
        for misdeed in node.misdeeds.drain(..) {
            self.trouble(misdeed);
        }
    }

    /// The database, or a stretch of network.
    pub(super) async fn hit_named(&self, fault: Fault, length: Duration, name: String) {
        let world = &self.shared.world;
        let start = world.clock.now();
        if fault.is_of_postgres() {
            if let Err(trouble) = self.hit_postgres(fault, length).await {
                self.trouble(format!("PostgreSQL: {trouble}"));
            }
        } else {
            let found = world.relays().find(|(found, _)| *found == name);
            if let Some((_, relay)) = found {
                hit_network(fault, length, relay).await;
            }
        }
        self.whole_again(&name);
        self.note(fault, &name, start);
    }

    async fn hit_postgres(&self, fault: Fault, length: Duration) -> Result<(), String> {
        let postgres = &self.shared.world.postgres;
        let how = match fault {
            Fault::KillPostgres => Stop::Kill,
            Fault::CrashPostgres => Stop::Immediate,
            Fault::StopPostgres => Stop::Fast,
            _ => return postgres.end_sessions().await,
        };
        postgres.stop(how).await?;
        time::sleep(length).await;
        postgres.restart().await
    }
}

async fn hit_network(fault: Fault, length: Duration, relay: &Relay) {
    let weather = match fault {
        Fault::Refuse => Weather::Refusing,
        Fault::Stall => Weather::Stalled,
        Fault::NearHangs => Weather::NearHangs,
        Fault::FarHangs => Weather::FarHangs,
        _ => return relay.cut(),
    };
    relay.set(weather);
    if weather == Weather::Refusing {
        relay.cut();
    }
    time::sleep(length).await;
    relay.set(Weather::Clear);
}

/// What a manager calls itself in the leases of its present life.
pub(super) fn worker_of(node: &Node) -> Option<Uuid> {
    let log = node.log();
    let (_, last) = log.rsplit_once("worker=")?;
    last.get(..36)?.parse().ok()
}
