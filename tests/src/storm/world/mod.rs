//! What the storm blows through: managers, storage-proxies and PostgreSQL as processes, relays between them.

mod config;
mod node;
mod postgres;
mod start;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Mutex;
use tonic::transport::{Channel, Endpoint};

use super::history::Clock;
use crate::{Binaries, Place, Relay, Target, Tokens, Volume};

const CONNECT: Duration = Duration::from_secs(2);
/// A manager that is paused or cut off is noticed within twice this time.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

pub use node::Node;
pub use postgres::{Postgres, Worker, workers};

/// A process with the relays that lead to or from it.
pub struct Member {
    /// What it is called.
    pub name: String,
    /// The process. Whoever breaks it holds the lock until it is whole again.
    pub node: Arc<Mutex<Node>>,
}

/// A manager.
pub struct Manager {
    /// The process.
    pub member: Member,
    /// From the clients to it.
    pub door: Relay,
    /// From it to PostgreSQL.
    pub to_postgres: Relay,
    /// From it to each storage-proxy.
    pub to_proxies: Vec<Relay>,
}

impl Manager {
    /// A connection by way of the relay, made when it is first used and again when it breaks.
    #[must_use]
    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.door.address()))
            .expect("an address makes a URL")
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .connect_lazy()
    }
}

/// A storage-proxy.
pub struct Proxy {
    /// The process.
    pub member: Member,
    /// Its volumes.
    pub volumes: Vec<Volume>,
}

/// All of it. Dropped, everything ends and the folder goes, unless [`World::keep`] was called.
pub struct World {
    /// When it began.
    pub clock: Clock,
    /// The managers.
    pub managers: Vec<Manager>,
    /// The storage-proxies.
    pub proxies: Vec<Proxy>,
    /// Makes callers' tokens.
    pub tokens: Tokens,
    /// The database, of which all that runs depends. Declared, and so dropped, after them.
    pub postgres: Arc<Postgres>,
    binaries: Binaries,
    place: Place,
}

impl World {
    /// Everything is started anew after a fault of manager `index`, as far as it is not there.
    ///
    /// # Errors
    /// If it does not come up within its patience; the text says what was seen.
    pub async fn manager_up(&self, index: usize, node: &mut Node) -> Result<(), String> {
        let address = node.up().await?;
        self.managers[index].door.lead_to(Target::Tcp(address));
        Ok(())
    }

    /// The same of storage-proxy `index`.
    ///
    /// # Errors
    /// As for [`World::manager_up`].
    pub async fn proxy_up(&self, index: usize, node: &mut Node) -> Result<SocketAddr, String> {
        let address = node.up().await?;
        for manager in &self.managers {
            manager.to_proxies[index].lead_to(Target::Tcp(address));
        }
        Ok(address)
    }

    /// Every stretch of network, with its name.
    pub fn relays(&self) -> impl Iterator<Item = (String, &Relay)> {
        self.managers.iter().flat_map(|manager| {
            let name = &manager.member.name;
            let to_proxies = manager
                .to_proxies
                .iter()
                .zip(&self.proxies)
                .map(move |(relay, proxy)| (format!("{name} → {}", proxy.member.name), relay));
            [
                (format!("clients → {name}"), &manager.door),
                (format!("{name} → postgres"), &manager.to_postgres),
            ]
            .into_iter()
            .chain(to_proxies)
        })
    }

    /// Every volume.
    pub fn volumes(&self) -> impl Iterator<Item = &Volume> {
        self.proxies.iter().flat_map(|proxy| &proxy.volumes)
    }

    /// The root of the volume of this name.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&Path> {
        self.volumes()
            .find(|volume| volume.name == name)
            .map(|volume| volume.path.as_path())
    }

    /// The folder with everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.place.path()
    }

    /// The folder stays, with all logs.
    pub fn keep(&mut self) -> PathBuf {
        self.place.disable_cleanup(true);
        self.place.path().to_owned()
    }
}
