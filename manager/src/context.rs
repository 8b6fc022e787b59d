//! What every verb needs.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;
use vfolder_common::error::{Reason, Refusal};

use crate::{
    config::{GrantsConfig, LimitsConfig, MountsConfig, OperationsConfig, TrashConfig},
    model::Caller,
    storage::Volumes,
    store::Store,
};

/// The tables, the volumes and the settings. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The tables.
    pub store: Store,
    /// The volumes.
    pub volumes: Arc<Volumes>,
    /// The settings.
    pub settings: Arc<Settings>,
    /// Cancelled when the manager stops: ends what would wait for ever.
    pub stop: CancellationToken,
}

impl Context {
    /// Returns when the manager stops, with what to tell who waits.
    pub async fn stopped(&self) -> Refusal {
        self.stop.cancelled().await;
        Refusal::new(
            Reason::ShuttingDown,
            "this manager stops; repeat the request, another or the same answers soon",
        )
        .with_retry(Duration::from_secs(1))
    }
}

impl Caller {
    /// Returns when the caller's credentials expire, with what to tell whoever still streams.
    pub async fn expiry(&self) -> Refusal {
        match self.expires {
            Some(at) => {
                let left = at.duration_since(SystemTime::now()).unwrap_or_default();
                // Far ends overflow the timer: look again some day.
                tokio::time::sleep(left.min(Duration::from_secs(86_400 * 365))).await;
            }
            None => std::future::pending().await,
        }
        Refusal::new(
            Reason::CredentialsExpired,
            "the token has expired: get a new one and watch again",
        )
    }
}

/// The settings that verbs look at.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[trash]`.
    pub trash: TrashConfig,
    /// `[mounts]`.
    pub mounts: MountsConfig,
    /// `[grants]`.
    pub grants: GrantsConfig,
    /// `[operations]`.
    pub operations: OperationsConfig,
    /// `[limits]`.
    pub limits: LimitsConfig,
}
