//! Removes uploads that nobody will come back for.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use vfolder_common::error::Refusal;

use super::live::{Live, Phase, now};
use crate::{account::Accounts, file::Files, volume::Volume};

/// Between two looks, at most; at least a quarter of the time after which uploads expire.
const LONGEST: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_millis(100);
/// How long the start waits until the volumes have told what uploads there are.
const PATIENCE: Duration = Duration::from_secs(5);

impl Files {
    /// Reads what earlier lives have left, before anybody is let in: what those uploads have set aside is nobody else's. It
    /// does not wait for a disk that hangs. Removes what is to go, as [`Files::sweep_uploads`] does later.
    pub async fn read_uploads(&self) {
        let names = self.volume_names();
        let reading = names.iter().map(|name| self.sweep_volume(name));
        if timeout(PATIENCE, join_all(reading)).await.is_err() {
            tracing::warn!("some volumes take long to tell of their uploads; it is not waited for");
        }
    }

    /// Removes, until `stop`, what expires, what belongs to vfolders without a tree, and what requests have left that were
    /// broken off.
    pub async fn sweep_uploads(self, stop: CancellationToken) {
        let pause = (self.limits().upload_expiry / 4).clamp(SHORTEST, LONGEST);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            for name in self.volume_names() {
                self.sweep_volume(&name).await;
            }
        }
    }

    fn volume_names(&self) -> Vec<String> {
        let volumes = self.tasks().volumes();
        volumes.map(|volume| volume.name().to_owned()).collect()
    }

    async fn sweep_volume(&self, name: &str) {
        let (files, tasks) = (self.clone(), self.tasks());
        let Ok(accounts) = tasks.accounts(name) else {
            return;
        };
        let looked = tasks.look(name, move |volume| files.sweep_one(volume, &accounts));
        match looked.await {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => tracing::warn!(volume = name, %refusal, "can't sweep the uploads"),
            Err(refused) => tracing::warn!(volume = name, %refused, "can't sweep the uploads"),
        }
    }

    fn sweep_one(&self, volume: &Volume, accounts: &Accounts) -> Result<(), Refusal> {
        // One that is not there is told of elsewhere.
        let Ok(volume) = volume.get() else {
            return Ok(());
        };
        if volume.is_read_only() {
            return Ok(());
        }
        for (vfolder, uploads) in self.uploads().all(&volume, accounts)? {
            let homeless = match volume.tree(vfolder) {
                Ok(tree) => tree.is_none(),
                // It must not keep the others from being swept.
                Err(error) => {
                    tracing::warn!(%vfolder, %error, "can't sweep the uploads of a vfolder");
                    continue;
                }
            };
            for live in uploads {
                if !self.is_to_go(&live, homeless) {
                    continue;
                }
                if let Err(refusal) = self.remove_gone(&volume, &live) {
                    tracing::warn!(upload = %live.id, %refusal, "can't remove an upload that nobody wants");
                }
            }
        }
        Ok(())
    }

    /// Whether it is to be removed; then it is gone for everybody.
    fn is_to_go(&self, live: &Live, homeless: bool) -> bool {
        let mut state = live.lock();
        let unwanted = match state.phase {
            // Tried before.
            Phase::Gone => true,
            Phase::Ending => false,
            _ if homeless => true,
            _ if !state.writers.is_empty() => false,
            Phase::Open if state.record.passing => !state.held,
            Phase::Open | Phase::Landed(_) | Phase::Committed(_) => {
                state.expires(self.limits().upload_expiry) <= now()
            }
        };
        if unwanted {
            state.phase = Phase::Gone;
        }
        unwanted
    }
}
