//! The manager's configuration. docs/configuration.md has every key with its default.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;
use vfolder_common::{config::duration, server::TlsFiles, telemetry::TelemetryConfig};

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagerConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// May listen beyond loopback in the clear.
    #[serde(default)]
    pub insecure: bool,
    /// Certificates.
    pub tls: Option<TlsFiles>,
    /// Where a vfolder goes whose request names no volume.
    pub default_volume: Option<String>,
    /// Logging.
    #[serde(default)]
    pub log: TelemetryConfig,
    /// The database.
    pub database: DatabaseConfig,
    /// Whose tokens are good.
    pub auth: AuthConfig,
    /// The storage-proxies.
    pub storage: StorageConfig,
    /// The trash.
    #[serde(default)]
    pub trash: TrashConfig,
    /// Mounts.
    #[serde(default)]
    pub mounts: MountsConfig,
    /// Grants.
    #[serde(default)]
    pub grants: GrantsConfig,
    /// Operations.
    #[serde(default)]
    pub operations: OperationsConfig,
    /// Limits.
    #[serde(default)]
    pub limits: LimitsConfig,
}

impl ManagerConfig {
    /// What no file can say and no manager can work with.
    pub fn check(&self) -> Result<(), String> {
        let operations = &self.operations;
        let least = Duration::from_millis(10);
        for (key, value, least) in [
            (
                "operations.lease",
                operations.lease,
                Duration::from_millis(300),
            ),
            ("operations.tick", operations.tick, least),
            ("operations.max_backoff", operations.max_backoff, least),
            ("operations.give_up_after", operations.give_up_after, least),
            ("operations.housekeeping", operations.housekeeping, least),
            (
                "mounts.default_ttl",
                self.mounts.default_ttl,
                Duration::from_secs(1),
            ),
            (
                "grants.default_ttl",
                self.grants.default_ttl,
                Duration::from_secs(1),
            ),
            (
                "grants.max_ttl",
                self.grants.max_ttl,
                Duration::from_secs(1),
            ),
            ("limits.first_message", self.limits.first_message, least),
            (
                "database.connect_timeout",
                self.database.connect_timeout,
                least,
            ),
        ] {
            if value < least {
                return Err(format!("{key} must be at least {least:?}"));
            }
        }
        if self.grants.max_ttl > GrantsConfig::LONGEST {
            return Err("grants.max_ttl must be at most 24h".into());
        }
        if operations.max_running == 0 || self.database.max_connections == 0 {
            return Err(
                "operations.max_running and database.max_connections must be at least 1".into(),
            );
        }
        if operations.max_attempts < 1
            || operations.max_running_per_volume < 1
            || operations.max_queue_per_volume < 1
            || operations.max_queue_per_owner < 1
        {
            return Err("operations.max_attempts, max_running_per_volume, max_queue_per_volume and max_queue_per_owner must be at least 1".into());
        }
        if self.limits.max_message_bytes < 1 << 10 {
            return Err("limits.max_message_bytes must be at least 1024".into());
        }
        Ok(())
    }
}

/// `[database]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite:<path>` or `postgres://…`.
    pub url: String,
    /// The most connections.
    #[serde(default = "DatabaseConfig::max_connections")]
    pub max_connections: u32,
    /// How long a request waits for a connection.
    #[serde(default = "DatabaseConfig::connect_timeout", with = "duration")]
    pub connect_timeout: Duration,
}

impl DatabaseConfig {
    fn max_connections() -> u32 {
        16
    }

    fn connect_timeout() -> Duration {
        Duration::from_secs(10)
    }
}

/// `[auth]`: at least one key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// A secret of at least 32 bytes, for HS256.
    pub hs256_secret_file: Option<PathBuf>,
    /// PEM files with Ed25519 (EdDSA) or RSA (RS256) public keys.
    pub public_key_files: Vec<PathBuf>,
    /// A JSON Web Key Set (RFC 7517); a token names its key by `kid`.
    pub jwks_file: Option<PathBuf>,
    /// Required `iss`.
    pub issuer: Option<String>,
    /// Required `aud`.
    pub audience: Option<String>,
    /// How far the issuer's clock may be off. Unset: 30 s.
    #[serde(with = "optional_duration")]
    pub leeway: Option<Duration>,
}

/// `[storage]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// The secret shared with the storage-proxies.
    pub secret_file: PathBuf,
    /// Certificates to show to the storage-proxies.
    pub tls: Option<TlsFiles>,
    /// The storage-proxies.
    pub proxies: Vec<ProxyConfig>,
}

/// `[[storage.proxies]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyConfig {
    /// `http://host:port`, or `https://…` with `[storage.tls]`.
    pub address: String,
    /// The volumes it owns.
    pub volumes: Vec<String>,
}

/// `[trash]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrashConfig {
    /// How long a trashed vfolder can be restored.
    #[serde(with = "duration")]
    pub retention: Duration,
    /// How long the record of a purged vfolder stays.
    #[serde(with = "duration")]
    pub tombstone_retention: Duration,
}

impl Default for TrashConfig {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(30 * 86_400),
            tombstone_retention: Duration::from_secs(90 * 86_400),
        }
    }
}

/// `[mounts]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MountsConfig {
    /// How long a mount lives without renewal where the request doesn't say.
    #[serde(with = "duration")]
    pub default_ttl: Duration,
}

impl Default for MountsConfig {
    fn default() -> Self {
        Self {
            default_ttl: Duration::from_secs(60),
        }
    }
}

/// `[grants]`: admission straight to the storage-proxies.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrantsConfig {
    /// How long a grant is good for where the request doesn't say; `max_ttl` if that is less.
    #[serde(with = "duration")]
    pub default_ttl: Duration,
    /// The longest that a grant may be good for: 1 s to 24 h.
    #[serde(with = "duration")]
    pub max_ttl: Duration,
}

impl GrantsConfig {
    const LONGEST: Duration = Duration::from_secs(86_400);
}

impl Default for GrantsConfig {
    fn default() -> Self {
        Self {
            default_ttl: Duration::from_secs(900),
            max_ttl: Self::LONGEST,
        }
    }
}

/// `[operations]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OperationsConfig {
    /// How long a worker holds an operation without renewal. It renews at a third.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// How often workers and sweepers look without being woken.
    #[serde(with = "duration")]
    pub tick: Duration,
    /// The most operations that this manager runs at once.
    pub max_running: usize,
    /// How long the record of an ended operation stays.
    #[serde(with = "duration")]
    pub retention: Duration,
    /// The longest pause between two attempts.
    #[serde(with = "duration")]
    pub max_backoff: Duration,
    /// How long attempts may fail without any getting as far as working on the tree, before the operation is given up.
    #[serde(with = "duration")]
    pub give_up_after: Duration,
    /// How many attempts of an operation may fail at work, whatever each gets done, before it is given up. One that finds the
    /// storage-proxy away is none.
    pub max_attempts: i32,
    /// The most clones, and the most purges, that run on one volume at once, whichever managers have them.
    pub max_running_per_volume: i64,
    /// The most operations of a kind that wait on one volume; what would be one more is refused.
    pub max_queue_per_volume: i64,
    /// The most of them of one owner.
    pub max_queue_per_owner: i64,
    /// How often records and volumes are looked through for what nobody needs any more.
    #[serde(with = "duration")]
    pub housekeeping: Duration,
}

impl Default for OperationsConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(6),
            tick: Duration::from_secs(1),
            max_running: 64,
            retention: Duration::from_secs(30 * 86_400),
            max_backoff: Duration::from_secs(30),
            give_up_after: Duration::from_secs(86_400),
            max_attempts: 1_000,
            max_running_per_volume: 8,
            max_queue_per_volume: 10_000,
            max_queue_per_owner: 2_000,
            housekeeping: Duration::from_secs(60),
        }
    }
}

/// `[limits]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The most vfolders of one owner, trashed ones included.
    pub vfolders_per_owner: i64,
    /// The most live mounts of one vfolder.
    pub mounts_per_vfolder: i64,
    /// The largest request message, in bytes, decompressed.
    pub max_message_bytes: usize,
    /// How long a client may take to send its first message.
    #[serde(with = "duration")]
    pub first_message: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            vfolders_per_owner: 10_000,
            mounts_per_vfolder: 1_000,
            max_message_bytes: 1 << 20,
            first_message: Duration::from_secs(30),
        }
    }
}

mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, de::Error as _};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| vfolder_common::config::duration::parse(&text))
            .transpose()
            .map_err(D::Error::custom)
    }
}
