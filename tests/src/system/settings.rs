//! What a system is configured with.

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf};

/// A volume and where it is.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its root.
    pub path: PathBuf,
}

/// What tests choose. The defaults make work that runs by itself run soon.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a manager that died keeps its operations.
    pub lease: String,
    /// How often the manager looks for work that nobody told it of.
    pub tick: String,
    /// How long trash is kept.
    pub retention: String,
    /// How long a mount lasts without renewal, unless asked otherwise.
    pub mount_ttl: String,
    /// How many tasks a volume runs at once.
    pub max_tasks: u32,
    /// Added to the manager's `[operations]`.
    pub operations: String,
    /// Added to the manager's `[auth]`.
    pub auth: String,
    /// Log filter of both.
    pub log: String,
    /// The storage-proxy's `[direct]`. Empty: it has none.
    pub direct: String,
    /// The storage-proxy's certificates: `[tls]`.
    pub storage_tls: Option<Certificates>,
    /// What the manager shows to it: `[storage.tls]`, and https.
    pub manager_tls: Option<Certificates>,
}

/// PEM files.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority that the other side's certificate comes from.
    pub ca: PathBuf,
}

impl Certificates {
    fn section(&self, name: &str) -> String {
        format!(
            "[{name}]\ncert_file = {:?}\nkey_file = {:?}\nca_file = {:?}\n",
            self.cert, self.key, self.ca
        )
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: "2s".into(),
            tick: "100ms".into(),
            retention: "30d".into(),
            mount_ttl: "60s".into(),
            max_tasks: 4,
            operations: String::new(),
            auth: String::new(),
            log: "info".into(),
            direct: "listen = \"127.0.0.1:0\"".into(),
            storage_tls: None,
            manager_tls: None,
        }
    }
}

/// What is settled once the parts are made.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) database_url: String,
    pub(super) caller_secret: PathBuf,
    pub(super) storage_secret: PathBuf,
    pub(super) volumes: Vec<Volume>,
}

impl Settings {
    /// The storage-proxy's configuration, but for `listen`.
    pub(super) fn storage_proxy(&self, facts: &Facts) -> String {
        let secret = facts.storage_secret.display();
        let mut text = format!(
            "secret_file = \"{secret}\"\n[log]\nfilter = \"{}\"\n",
            self.log
        );
        for Volume { name, path } in &facts.volumes {
            let _ = writeln!(
                text,
                "[[volumes]]\nname = \"{name}\"\npath = \"{}\"\nmax_tasks = {}",
                path.display(),
                self.max_tasks
            );
        }
        if let Some(certificates) = &self.storage_tls {
            text += &certificates.section("tls");
        }
        if !self.direct.is_empty() {
            let _ = writeln!(text, "[direct]\n{}", self.direct);
        }
        text
    }

    /// The manager's configuration, but for `listen`.
    pub(super) fn manager(&self, facts: &Facts, storage_proxy: SocketAddr) -> String {
        let volumes: Vec<_> = facts
            .volumes
            .iter()
            .map(|v| format!("{:?}", v.name))
            .collect();
        let default_volume = volumes.first().map_or("\"\"", String::as_str);
        let Self {
            lease,
            tick,
            retention,
            mount_ttl,
            operations,
            auth,
            log,
            manager_tls,
            ..
        } = self;
        let (host, tls) = match manager_tls {
            Some(certificates) => ("https://localhost", certificates.section("storage.tls")),
            None => ("http://127.0.0.1", String::new()),
        };
        let storage_port = storage_proxy.port();
        let Facts {
            database_url,
            caller_secret,
            storage_secret,
            ..
        } = facts;
        format!(
            r#"default_volume = {default_volume}
[log]
filter = "{log}"
[database]
url = "{database_url}"
max_connections = 10
[auth]
hs256_secret_file = "{}"
{auth}
[storage]
secret_file = "{}"
[[storage.proxies]]
address = "{host}:{storage_port}"
volumes = [{}]
[trash]
retention = "{retention}"
[mounts]
default_ttl = "{mount_ttl}"
[operations]
lease = "{lease}"
tick = "{tick}"
{operations}
{tls}"#,
            caller_secret.display(),
            storage_secret.display(),
            volumes.join(", ")
        )
    }
}
