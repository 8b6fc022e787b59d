//! Which storage-proxy owns which volume.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    sync::Arc,
};

use vfolder_common::{
    error::{Reason, Refusal},
    server::{self, ListenError},
    token::SharedSecret,
};
use vfolder_proto::storage::{StorageVolume, StorageVolumeState};

use super::{Proxy, proxy::unavailable};
use crate::config::StorageConfig;

/// Why the storage-proxies can't be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The shared secret.
    #[error("storage.secret_file: {0}")]
    Secret(#[from] io::Error),
    /// The certificates.
    #[error("storage.tls: {0}")]
    Tls(#[from] ListenError),
    /// Nobody to trust.
    #[error(
        "storage.tls: ca_file is required: the authority that the storage-proxies' certificates come from"
    )]
    NoAuthority,
    /// An address.
    #[error("storage.proxies: {0}: {1}")]
    Address(String, tonic::transport::Error),
    /// Unencrypted beyond loopback.
    #[error(
        "storage.proxies: {0} is neither loopback nor https://; use https with [storage.tls], or say insecure = true"
    )]
    Clear(String),
    /// A volume with two owners.
    #[error(
        "storage.proxies: volume \"{0}\" is configured twice; exactly one storage-proxy owns a volume"
    )]
    Twice(String),
    /// The default.
    #[error("default_volume = \"{0}\" is no volume of [[storage.proxies]]")]
    Default(String),
}

/// The configured volumes and who owns them.
#[derive(Debug)]
pub struct Volumes {
    by_name: BTreeMap<String, Arc<Proxy>>,
    default: Option<String>,
}

impl Volumes {
    /// Sets the storage-proxies up; connects when first used.
    pub fn open(
        config: &StorageConfig,
        default: Option<String>,
        insecure: bool,
    ) -> Result<Self, OpenError> {
        let secret = SharedSecret::from_file(&config.secret_file)?;
        let tls = config.tls.as_ref().map(server::client_tls).transpose()?;
        if config.tls.as_ref().is_some_and(|t| t.ca_file.is_none()) {
            return Err(OpenError::NoAuthority);
        }
        let mut by_name = BTreeMap::new();
        for proxy in &config.proxies {
            if !insecure && !proxy.address.starts_with("https://") && !is_loopback(&proxy.address) {
                return Err(OpenError::Clear(proxy.address.clone()));
            }
            let connected = Proxy::new(&proxy.address, secret.clone(), tls.clone())
                .map_err(|e| OpenError::Address(proxy.address.clone(), e))?;
            let connected = Arc::new(connected);
            for volume in &proxy.volumes {
                let before = by_name.insert(volume.clone(), Arc::clone(&connected));
                if before.is_some() {
                    return Err(OpenError::Twice(volume.clone()));
                }
            }
        }
        if let Some(default) = &default
            && !by_name.contains_key(default)
        {
            return Err(OpenError::Default(default.clone()));
        }
        Ok(Self { by_name, default })
    }

    /// The volumes' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Whether new vfolders go there where the request doesn't say.
    #[must_use]
    pub fn is_default(&self, name: &str) -> bool {
        self.default.as_deref() == Some(name)
    }

    /// The volume that a request means: the one it names, or the default.
    pub fn resolve(&self, asked: &str) -> Result<String, String> {
        let name = match (asked, &self.default) {
            ("", Some(default)) => return Ok(default.clone()),
            ("", None) => return Err("name a volume: no default is configured".into()),
            (name, _) => name,
        };
        if self.by_name.contains_key(name) {
            Ok(name.to_owned())
        } else {
            let known: Vec<&str> = self.names().collect();
            Err(format!("no such volume; there are: {}", known.join(", ")))
        }
    }

    /// Who owns a volume. A vfolder may name one that is no longer configured.
    pub fn owner(&self, volume: &str) -> Result<&Arc<Proxy>, Refusal> {
        self.by_name
            .get(volume)
            .ok_or_else(|| unavailable(volume, "it is not in the manager's configuration"))
    }

    /// Looks at a volume and answers with it if it can be written.
    pub async fn writable(&self, volume: &str) -> Result<StorageVolume, Refusal> {
        let found = self
            .owner(volume)?
            .volume(volume)
            .await
            .map_err(|e| e.into_refusal(volume))?;
        match found.state() {
            StorageVolumeState::Serving => Ok(found),
            StorageVolumeState::ReadOnly => Err(Refusal::new(
                Reason::VolumeReadOnly,
                format!("volume \"{volume}\" is mounted read-only: nothing on it can be changed until its operator remounts it"),
            )
            .with_resource("vfolder.v1.Volume", volume, found.message)),
            _ => Err(unavailable(volume, &found.message)),
        }
    }

    /// The volumes that a storage-proxy owns.
    pub fn of<'a>(&'a self, proxy: &'a Arc<Proxy>) -> impl Iterator<Item = &'a str> {
        let owned = self
            .by_name
            .iter()
            .filter(|(_, owner)| Arc::ptr_eq(owner, proxy));
        owned.map(|(name, _)| name.as_str())
    }

    /// The storage-proxies, each once.
    #[must_use]
    pub fn proxies(&self) -> Vec<Arc<Proxy>> {
        let mut seen = HashSet::new();
        self.by_name
            .values()
            .filter(|p| seen.insert(p.address().to_owned()))
            .cloned()
            .collect()
    }
}

fn is_loopback(address: &str) -> bool {
    address
        .parse::<http::Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_owned))
        .is_some_and(|host| {
            let host = host.trim_matches(['[', ']']);
            host == "localhost"
                || host
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|ip| ip.is_loopback())
        })
}
