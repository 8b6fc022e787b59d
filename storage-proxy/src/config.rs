//! Configuration: a TOML file, over which environment variables `VFOLDER_STORAGE_PROXY__…` win.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::Error as _};
use thiserror::Error;
use uuid::Uuid;
use vfolder_common::{config::duration, server::TlsFiles, telemetry::TelemetryConfig};

use crate::{direct::DirectSection, file::Limits, volume::NewTrees};

/// The prefix of environment variables.
pub const ENV_PREFIX: &str = "VFOLDER_STORAGE_PROXY";

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen. Port 0: a free one.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// A file with the secret that is shared with the manager; at least 32 bytes.
    pub secret_file: PathBuf,
    /// May listen beyond loopback without TLS.
    #[serde(default)]
    pub insecure: bool,
    /// Certificates.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// The listener for bearers of grants. Unset: there is none.
    #[serde(default)]
    pub direct: Option<DirectSection>,
    /// Logging.
    #[serde(default)]
    pub log: TelemetryConfig,
    /// Reading and writing files.
    #[serde(default)]
    pub transfers: TransferSection,
    /// The volumes that this process owns.
    pub volumes: Vec<VolumeSection>,
}

/// `[transfers]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransferSection {
    /// How many files and archives are read and written at once.
    pub max: usize,
    /// The same of one vfolder.
    pub max_per_vfolder: usize,
    /// How long a client may read or write nothing before its transfer is ended.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// How long a transfer may take in all. It can be gone on with.
    #[serde(with = "duration")]
    pub total_timeout: Duration,
    /// How long an upload is kept that nobody writes.
    #[serde(with = "duration")]
    pub upload_expiry: Duration,
}

impl Default for TransferSection {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            max: limits.transfers,
            max_per_vfolder: limits.transfers_per_vfolder,
            idle_timeout: limits.idle,
            total_timeout: limits.total,
            upload_expiry: limits.upload_expiry,
        }
    }
}

impl From<TransferSection> for Limits {
    fn from(section: TransferSection) -> Self {
        Self {
            transfers: section.max,
            transfers_per_vfolder: section.max_per_vfolder,
            idle: section.idle_timeout,
            total: section.total_timeout,
            upload_expiry: section.upload_expiry,
        }
    }
}

/// One `[[volumes]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeSection {
    /// The name, as `volume init` was told.
    pub name: String,
    /// Where it is mounted.
    pub path: PathBuf,
    /// Its id, as volume.json says. Unset: that of the first volume of that name which is found there.
    #[serde(default)]
    pub id: Option<Uuid>,
    /// How many clones run on it at once.
    #[serde(default = "default_max_tasks")]
    pub max_tasks: usize,
    /// How much of the time purged trees are destroyed while other work on it is under way, in percent. Without other
    /// work, and when the volume is nearly full, it is all of the time.
    #[serde(default = "default_reclaim_duty")]
    pub reclaim_duty: u8,
    /// The owner of new vfolders' root directories. Unset: the user that this process runs as.
    #[serde(default)]
    pub tree_uid: Option<u32>,
    /// Their group. Unset: the group that this process runs as.
    #[serde(default)]
    pub tree_gid: Option<u32>,
    /// Their permission bits, in octal: "0755", or "2775" for a group that works together.
    #[serde(default = "default_tree_mode", deserialize_with = "octal")]
    pub tree_mode: u32,
}

/// What is wrong with the configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It doesn't read.
    #[error("{0}: {1}")]
    Unreadable(PathBuf, String),
    /// There is nothing to serve.
    #[error("{0}: no [[volumes]]; name at least one")]
    NoVolumes(PathBuf),
    /// Two volumes of one name, or at one place.
    #[error("{0}: the volume \"{1}\" comes twice, by its name or by its path")]
    Twice(PathBuf, String),
    /// No share of time.
    #[error("{0}: reclaim_duty of the volume \"{1}\" must be from 1 to 100 (percent)")]
    NoDuty(PathBuf, String),
    /// Nothing could ever be transferred.
    #[error("{0}: {1} in [transfers] must be more than nothing")]
    NoTransfers(PathBuf, &'static str),
    /// The listener for bearers of grants.
    #[error("{0}: {1}")]
    Direct(PathBuf, String),
    /// No task could ever run.
    #[error("{0}: max_tasks of the volume \"{1}\" must be at least 1")]
    NoTasks(PathBuf, String),
}

impl Config {
    /// Reads `file` and the environment.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let config: Self = vfolder_common::config::load(file, ENV_PREFIX)
            .map_err(|error| ConfigError::Unreadable(file.to_owned(), error.to_string()))?;
        if config.volumes.is_empty() {
            return Err(ConfigError::NoVolumes(file.to_owned()));
        }
        let transfers = &config.transfers;
        for (name, nothing) in [
            ("max", transfers.max == 0),
            ("max_per_vfolder", transfers.max_per_vfolder == 0),
            ("idle_timeout", transfers.idle_timeout.is_zero()),
            ("total_timeout", transfers.total_timeout.is_zero()),
            ("upload_expiry", transfers.upload_expiry.is_zero()),
        ] {
            if nothing {
                return Err(ConfigError::NoTransfers(file.to_owned(), name));
            }
        }
        if let Some(direct) = &config.direct {
            let wrong = |text| ConfigError::Direct(file.to_owned(), text);
            direct.check().map_err(wrong)?;
        }
        let (mut names, mut paths) = (HashSet::new(), HashSet::new());
        for volume in &config.volumes {
            if !names.insert(&volume.name) || !paths.insert(&volume.path) {
                return Err(ConfigError::Twice(file.to_owned(), volume.name.clone()));
            }
            if volume.max_tasks == 0 {
                return Err(ConfigError::NoTasks(file.to_owned(), volume.name.clone()));
            }
            if !(1..=100).contains(&volume.reclaim_duty) {
                return Err(ConfigError::NoDuty(file.to_owned(), volume.name.clone()));
            }
        }
        Ok(config)
    }
}

fn default_listen() -> SocketAddr {
    ([127, 0, 0, 1], 7071).into()
}

fn default_tree_mode() -> u32 {
    NewTrees::default().mode
}

/// Octal, as text: a TOML integer 755 would be read as decimal.
fn octal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err(D::Error::custom(format!(
            "\"{text}\" is no mode: write octal digits, like \"0755\""
        ))),
    }
}

fn default_max_tasks() -> usize {
    4
}

fn default_reclaim_duty() -> u8 {
    20
}
