//! Making and starting everything, and asking the doctor at the end.

use std::{fs, path::Path, sync::Arc};

use tokio::{process::Command, sync::Mutex};
use uuid::Uuid;

use super::{
    Manager, Member, Node, Postgres, Proxy, World,
    config::{self, Secrets},
};
use crate::{
    Binaries, Relay, Target, Tokens, Volume, binaries::clean_command, database::migrate, make_root,
    storm::history::Clock,
};

/// How many storage-proxies.
const PROXIES: usize = 2;
/// How many volumes each has.
const VOLUMES: usize = 2;

impl World {
    /// Makes and starts everything.
    ///
    /// # Errors
    /// The text says what did not start.
    pub async fn start(managers: usize) -> Result<Self, String> {
        let binaries = Binaries::beside_us();
        let place = make_root("storm").map_err(|e| format!("no temporary folder: {e}"))?;
        let folder = place.path().to_owned();
        let postgres = Postgres::start(&folder).await?;
        migrate(&binaries, &folder, &postgres.url());
        let (callers, storage) = (folder.join("callers.secret"), folder.join("storage.secret"));
        for secret in [&callers, &storage] {
            let text = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            fs::write(secret, text).map_err(|e| e.to_string())?;
        }
        let secrets = Secrets {
            callers: &callers,
            storage: &storage,
        };
        let secret = fs::read(&callers).map_err(|e| e.to_string())?;
        let mut world = Self {
            clock: Clock::start(),
            managers: Vec::new(),
            proxies: Vec::new(),
            tokens: Tokens::new(&secret),
            postgres: Arc::new(postgres),
            binaries,
            place,
        };
        for number in 0..PROXIES {
            let volumes = init_volumes(&world.binaries, &folder, number)?;
            let name = format!("storage-proxy-{number}");
            let text = config::storage_proxy(&secrets, &volumes);
            let node = Node::new(&name, &world.binaries.storage_proxy, &folder, &text);
            world.proxies.push(Proxy {
                member: Member {
                    name,
                    node: Arc::new(Mutex::new(node)),
                },
                volumes,
            });
        }
        for number in 0..managers {
            let manager = world.make_manager(number, &secrets).await?;
            world.managers.push(manager);
        }
        for index in 0..PROXIES {
            let node = Arc::clone(&world.proxies[index].member.node);
            world.proxy_up(index, &mut *node.lock().await).await?;
        }
        for index in 0..managers {
            let node = Arc::clone(&world.managers[index].member.node);
            world.manager_up(index, &mut *node.lock().await).await?;
        }
        Ok(world)
    }

    async fn make_manager(&self, number: usize, secrets: &Secrets<'_>) -> Result<Manager, String> {
        let relay = async |target| {
            Relay::start(target)
                .await
                .map_err(|e| format!("no relay: {e}"))
        };
        let to_postgres = relay(Target::Unix(self.postgres.socket())).await?;
        let mut to_proxies = Vec::new();
        let mut reached = Vec::new();
        for proxy in &self.proxies {
            let stretch = relay(Target::Nowhere).await?;
            reached.push((stretch.address(), proxy.volumes.clone()));
            to_proxies.push(stretch);
        }
        let database = format!("postgres://postgres@{}/postgres", to_postgres.address());
        let name = format!("manager-{number}");
        let text = config::manager(secrets, &database, &reached);
        let node = Node::new(&name, &self.binaries.manager, self.folder(), &text);
        Ok(Manager {
            member: Member {
                name,
                node: Arc::new(Mutex::new(node)),
            },
            door: relay(Target::Nowhere).await?,
            to_postgres,
            to_proxies,
        })
    }

    /// `manager doctor`, with the configuration of the first manager: what it printed, and whether it found nothing.
    ///
    /// # Errors
    /// If it can't be run.
    pub async fn doctor(&self) -> Result<(bool, String), String> {
        let config = self.folder().join("manager-0.toml");
        let mut command = Command::from(clean_command(&self.binaries.manager));
        command.args(["doctor", "--json", "--config"]).arg(config);
        let output = command.output().await.map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let warned = String::from_utf8_lossy(&output.stderr);
        Ok((output.status.success(), format!("{said}{warned}")))
    }
}

fn init_volumes(binaries: &Binaries, folder: &Path, proxy: usize) -> Result<Vec<Volume>, String> {
    let make = |number: usize| {
        let name = format!("v{proxy}-{number}");
        let path = folder.join("volumes").join(&name);
        fs::create_dir_all(&path).map_err(|e| e.to_string())?;
        let output = clean_command(&binaries.storage_proxy)
            .args(["volume", "init", "--name", &name])
            .arg(&path)
            .output()
            .map_err(|e| e.to_string())?;
        if output.status.success() {
            Ok(Volume { name, path })
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    };
    (0..VOLUMES).map(make).collect()
}
