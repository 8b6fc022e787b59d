//! What every verb needs.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use vfolder_common::error::{Reason, Refusal};

use crate::{
    config::{LimitsConfig, MountsConfig, OperationsConfig, TrashConfig},
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

/// The settings that verbs look at.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[trash]`.
    pub trash: TrashConfig,
    /// `[mounts]`.
    pub mounts: MountsConfig,
    /// `[operations]`.
    pub operations: OperationsConfig,
    /// `[limits]`.
    pub limits: LimitsConfig,
}
