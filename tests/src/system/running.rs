//! A system that runs.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::settings::{Facts, Settings, Volume};
use crate::{Binaries, Database, Engine, Place, Service, SystemBuilder, Tokens, User, tree_path};

/// A manager and a storage-proxy, a database and volumes of their own. All of it goes when it is dropped.
pub struct System {
    /// The manager.
    pub manager: Service,
    /// The storage-proxy.
    pub storage: Service,
    /// Makes callers' tokens.
    pub tokens: Tokens,
    pub(super) settings: Settings,
    pub(super) facts: Facts,
    pub(super) binaries: Binaries,
    /// The manager's database. Declared, and so dropped, after who uses it.
    pub database: Database,
    pub(super) place: Place,
}

impl System {
    /// With the default settings and one volume.
    pub async fn start(engine: Engine) -> Self {
        Self::on(engine).start().await
    }

    /// To be told more.
    #[must_use]
    pub fn on(engine: Engine) -> SystemBuilder {
        SystemBuilder::new(engine)
    }

    /// Starts the storage-proxy, the first time or again.
    pub async fn start_storage(&mut self) {
        let config = self.settings.storage_proxy(&self.facts);
        self.storage.start(&config).await;
    }

    /// Starts the storage-proxy and waits only until it listens.
    pub async fn launch_storage(&mut self) {
        let config = self.settings.storage_proxy(&self.facts);
        self.storage.launch(&config).await;
    }

    /// Starts the manager, the first time or again.
    pub async fn start_manager(&mut self) {
        let config = self.manager_config();
        self.manager.start(&config).await;
    }

    /// Starts another manager on the same database.
    pub async fn another_manager(&self, name: &str) -> Service {
        let mut manager = Service::new(name, &self.binaries.manager, self.folder());
        manager.start(&self.manager_config()).await;
        manager
    }

    /// Changes settings; they count from the next start of a service.
    pub fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
    }

    /// A user without projects.
    #[must_use]
    pub fn user(&self, sub: &str) -> User {
        self.caller(&self.tokens.user(sub))
    }

    /// A user who belongs to projects.
    #[must_use]
    pub fn member(&self, sub: &str, projects: &[&str]) -> User {
        self.caller(&self.tokens.member(sub, projects))
    }

    /// An administrator.
    #[must_use]
    pub fn admin(&self) -> User {
        self.caller(&self.tokens.admin("root"))
    }

    /// Whoever brings this token.
    #[must_use]
    pub fn caller(&self, token: &str) -> User {
        User::new(self.manager.channel(), token)
    }

    /// The root of the first volume.
    #[must_use]
    pub fn volume(&self) -> &Path {
        &self.volumes()[0].path
    }

    /// The volumes.
    #[must_use]
    pub fn volumes(&self) -> &[Volume] {
        &self.facts.volumes
    }

    /// Where the tree of a vfolder on the first volume is.
    ///
    /// # Panics
    ///
    /// If the id is no UUID.
    #[must_use]
    pub fn tree(&self, vfolder_id: &str) -> PathBuf {
        let id: Uuid = vfolder_id.parse().expect("ids are UUIDs");
        self.volume().join(tree_path(id))
    }

    /// The file with the secret that the manager and the storage-proxy share.
    #[must_use]
    pub fn storage_secret_file(&self) -> &Path {
        &self.facts.storage_secret
    }

    /// The folder with everything of this system.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.place.path()
    }

    /// The executables that it runs.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    fn manager_config(&self) -> String {
        self.settings.manager(&self.facts, self.storage.address())
    }
}
