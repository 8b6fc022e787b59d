//! How many transfers there are at once, and how long one may stand still.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout};
use uuid::Uuid;
use vfolder_common::error::{Reason, Refusal};

/// When to ask again for a transfer that had no place.
const RETRY: Duration = Duration::from_secs(1);

/// The limits of transfers: reads and writes of files and archives, by gRPC or plain HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At once, of this process.
    pub transfers: usize,
    /// At once, of one vfolder.
    pub transfers_per_vfolder: usize,
    /// How long a client may read or write nothing.
    pub idle: Duration,
    /// How long one may take in all: a client who takes or sends a byte a minute would keep his place for ever.
    pub total: Duration,
    /// How long an upload is kept that nobody writes.
    pub upload_expiry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transfers: 512,
            transfers_per_vfolder: 64,
            idle: Duration::from_secs(60),
            total: Duration::from_secs(24 * 3600),
            upload_expiry: Duration::from_secs(24 * 3600),
        }
    }
}

/// The transfers of this process.
#[derive(Debug)]
pub struct Transfers {
    limits: Limits,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    all: usize,
    of: HashMap<Uuid, usize>,
}

impl Transfers {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            now: Mutex::default(),
        })
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// One more, until the answer is dropped.
    ///
    /// # Errors
    /// TOO_MANY_REQUESTS, with RetryInfo.
    pub fn begin(self: &Arc<Self>, vfolder: Uuid) -> Result<Transfer, Refusal> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let of_vfolder = now.of.get(&vfolder).copied().unwrap_or(0);
        let (what, most) = if of_vfolder >= self.limits.transfers_per_vfolder {
            ("of this vfolder", self.limits.transfers_per_vfolder)
        } else if now.all >= self.limits.transfers {
            ("of this storage-proxy", self.limits.transfers)
        } else {
            now.all += 1;
            now.of.insert(vfolder, of_vfolder + 1);
            let transfers = Arc::clone(self);
            return Ok(Transfer {
                ends: Instant::now().checked_add(self.limits.total),
                transfers,
                vfolder,
            });
        };
        let text = format!(
            "{most} transfers {what} are under way, which is the most; try again when one has ended"
        );
        Err(Refusal::new(Reason::TooManyRequests, text)
            .with_metadata("limit", most.to_string())
            .with_retry(RETRY))
    }
}

/// A transfer's place. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Transfer {
    transfers: Arc<Transfers>,
    vfolder: Uuid,
    /// None: beyond what a clock can tell.
    ends: Option<Instant>,
}

impl Transfer {
    /// Waits for the client, but no longer than one may stand still, nor than one may take in all.
    ///
    /// # Errors
    /// TRANSFER_TIMEOUT.
    pub async fn patiently<T>(&self, client: impl Future<Output = T>) -> Result<T, Refusal> {
        let Limits { idle, total, .. } = self.transfers.limits;
        let left = self
            .ends
            .map(|ends| ends.saturating_duration_since(Instant::now()));
        let most = left.map_or(idle, |left| left.min(idle));
        let waited = timeout(most, client).await;
        waited.map_err(|_| {
            if most < idle {
                took(total)
            } else {
                stood_still(idle)
            }
        })
    }
}

/// The client has stood still for too long.
fn stood_still(idle: Duration) -> Refusal {
    let text = format!(
        "the transfer stood still for {} s, so it was ended; go on from where it stopped",
        idle.as_secs_f64()
    );
    Refusal::new(Reason::TransferTimeout, text)
}

/// It has not ended for too long.
fn took(total: Duration) -> Refusal {
    let text = format!(
        "the transfer took more than {} s, so it was ended; go on from where it stopped",
        total.as_secs_f64()
    );
    Refusal::new(Reason::TransferTimeout, text)
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let now = &self.transfers.now;
        let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
        now.all -= 1;
        let left = now.of.get(&self.vfolder).map_or(0, |count| count - 1);
        if left == 0 {
            now.of.remove(&self.vfolder);
        } else {
            now.of.insert(self.vfolder, left);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_vfolder_takes_no_more_than_its_share_and_a_place_comes_back() {
        let transfers = Transfers::new(Limits {
            transfers: 3,
            transfers_per_vfolder: 2,
            ..Limits::default()
        });
        let [one, other] = [1, 2].map(Uuid::from_u128);
        let held = [one, one].map(|vfolder| transfers.begin(vfolder).unwrap());
        let refused = |vfolder| transfers.begin(vfolder).map(drop).unwrap_err();
        assert_eq!(refused(one).reason(), Reason::TooManyRequests);
        let last = transfers.begin(other).unwrap();
        assert!(refused(other).text().contains("storage-proxy"));
        drop(held);
        drop(transfers.begin(one).unwrap());
        drop(last);
        let now = transfers.now.lock().unwrap();
        assert_eq!((now.all, now.of.len()), (0, 0));
    }
}
