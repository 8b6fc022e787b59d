//! Making a system.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::{
    running::System,
    settings::{Facts, Settings, Volume},
};
use crate::{Binaries, Database, Engine, Service, Tokens, binaries::clean_command, make_root};

/// The volume of a system that names none.
const DEFAULT_VOLUME: &str = "local";

/// Makes a [`System`].
#[derive(Debug)]
pub struct SystemBuilder {
    engine: Engine,
    binaries: Binaries,
    settings: Settings,
    volumes: Vec<(String, Option<PathBuf>)>,
}

impl SystemBuilder {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            engine,
            binaries: Binaries::beside_us(),
            settings: Settings::default(),
            volumes: Vec::new(),
        }
    }

    /// With other settings.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// With these executables.
    #[must_use]
    pub fn with_binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = binaries;
        self
    }

    /// With a volume in the system's folder. The first one is the default.
    #[must_use]
    pub fn with_volume(mut self, name: &str) -> Self {
        self.volumes.push((name.to_owned(), None));
        self
    }

    /// With a volume in this folder.
    #[must_use]
    pub fn with_volume_at(mut self, name: &str, path: &Path) -> Self {
        self.volumes.push((name.to_owned(), Some(path.to_owned())));
        self
    }

    /// Makes and starts everything.
    pub async fn start(mut self) -> System {
        let place = make_root("system").expect("a temporary folder is made");
        let folder = place.path();
        if self.volumes.is_empty() {
            self.volumes.push((DEFAULT_VOLUME.to_owned(), None));
        }
        let volumes = self.init_volumes(folder);
        let secret = |name: &str| {
            let path = folder.join(name);
            write_secret(&path).expect("a secret is written");
            path
        };
        let (caller_secret, storage_secret) = (secret("callers.secret"), secret("storage.secret"));
        let tokens = Tokens::new(&fs::read(&caller_secret).expect("it has been written"));
        let database = Database::create(self.engine, folder, &self.binaries).await;
        let facts = Facts {
            database_url: database.url(),
            caller_secret,
            storage_secret,
            volumes,
        };
        let manager = Service::new("manager", &self.binaries.manager, folder);
        let storage = Service::new("storage-proxy", &self.binaries.storage_proxy, folder);
        let mut system = System {
            manager,
            storage,
            tokens,
            settings: self.settings,
            facts,
            binaries: self.binaries,
            database,
            place,
        };
        system.start_storage().await;
        system.start_manager().await;
        system
    }

    fn init_volumes(&self, folder: &Path) -> Vec<Volume> {
        let made = self.volumes.iter().map(|(name, given)| {
            let path = given
                .clone()
                .unwrap_or_else(|| folder.join("volumes").join(name));
            fs::create_dir_all(&path).expect("the volume's folder is made");
            let output = clean_command(&self.binaries.storage_proxy)
                .args(["volume", "init", "--name", name])
                .arg(&path)
                .output()
                .expect("the storage-proxy starts");
            assert!(
                output.status.success(),
                "volume init failed ({}): {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
            Volume {
                name: name.clone(),
                path,
            }
        });
        made.collect()
    }
}

fn write_secret(path: &Path) -> io::Result<()> {
    let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(secret.as_bytes())
}
