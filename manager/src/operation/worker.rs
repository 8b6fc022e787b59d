//! The worker: takes no input, claims what the table has, runs it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::{sync::Semaphore, task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use vfolder_common::error::Refusal;

use super::run::run;
use crate::{
    context::Context,
    model::Lane,
    store::{
        Id, Operation, lease,
        queue::{self, Room},
    },
};

/// How many trees are made at once by this worker.
const QUICK_SLOTS: usize = 32;
/// How many on one volume: one that hangs leaves room for the others.
const QUICK_ON_VOLUME: i64 = 16;
/// One look in so many also takes what is on volumes that this manager does not know.
const STRANGE_LOOKS: usize = 64;

/// Claims and runs operations until told to stop. What then runs is given back: the tasks go on in the storage-proxies,
/// and whoever claims the operations next attaches to them.
pub async fn work(ctx: Context, stop: CancellationToken) {
    // New at every start: a process that comes back is not the holder it was.
    let worker = Worker {
        id: Id::new(),
        slots: Lane::ALL.map(|lane| (lane, Arc::new(Semaphore::new(slots(&ctx, lane))))),
        turns: AtomicUsize::new(0),
        ctx,
    };
    tracing::info!(worker = %worker.id, "worker starts");
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        worker.claim_all(&mut running).await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = worker.ctx.store.hub().work() => {}
            Some(_) = running.join_next() => {}
            () = time::sleep(worker.ctx.settings.operations.tick) => {}
        }
    }
    running.shutdown().await;
    if let Err(refusal) = worker.give_back().await {
        tracing::warn!(error = %refusal, "operations are left to their leases");
    }
}

/// How many operations of a lane this manager runs at once.
fn slots(ctx: &Context, lane: Lane) -> usize {
    match lane {
        Lane::Quick => QUICK_SLOTS,
        Lane::Copy | Lane::Destroy => ctx.settings.operations.max_running.max(1),
    }
}

struct Worker {
    ctx: Context,
    id: Id,
    slots: [(Lane, Arc<Semaphore>); 3],
    turns: AtomicUsize,
}

impl Worker {
    /// Claims and starts whatever there is room for.
    async fn claim_all(&self, running: &mut JoinSet<()>) {
        for (lane, slots) in &self.slots {
            if slots.available_permits() == 0 {
                continue;
            }
            let volumes = match self.volumes_with_work(*lane).await {
                Ok(volumes) => volumes,
                Err(refusal) => {
                    tracing::warn!(error = %refusal, "no operations looked for");
                    continue;
                }
            };
            for volume in volumes {
                let free = slots.available_permits();
                if free == 0 {
                    break;
                }
                match self.claim(&volume, *lane, free).await {
                    Ok(claimed) => self.start(claimed, slots, running),
                    Err(refusal) => {
                        tracing::warn!(volume, error = %refusal, "no operations claimed");
                    }
                }
            }
        }
    }

    fn start(&self, claimed: Vec<Operation>, slots: &Arc<Semaphore>, running: &mut JoinSet<()>) {
        for op in claimed {
            let held = op.lease_of(self.id);
            let slot = Arc::clone(slots).try_acquire_owned();
            let ctx = self.ctx.clone();
            running.spawn(async move {
                let _slot = slot;
                run(ctx, op, held).await;
            });
        }
    }

    /// Most looks find nothing: don't take SQLite's write turn or a volume's row for them. Each look begins with another
    /// volume, so that none always comes last.
    async fn volumes_with_work(&self, lane: Lane) -> Result<Vec<String>, Refusal> {
        let mut look = self.ctx.store.read("operation.look").await?;
        let now = look.now().await?;
        let mut found = queue::volumes_with_work(&mut look, lane, now).await?;
        found.sort_unstable();
        let turn = self.turns.fetch_add(1, Relaxed);
        // What is on a volume that this manager does not know is for those that do. If nobody does, it is taken now and
        // then all the same, so that it is given up one day.
        if !turn.is_multiple_of(STRANGE_LOOKS) {
            found.retain(|volume| self.ctx.volumes.owner(volume).is_ok());
        }
        if !found.is_empty() {
            let first = turn % found.len();
            found.rotate_left(first);
        }
        Ok(found)
    }

    async fn claim(
        &self,
        volume: &str,
        lane: Lane,
        free: usize,
    ) -> Result<Vec<Operation>, Refusal> {
        let settings = &self.ctx.settings.operations;
        let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let room = Room {
            on_volume: match lane {
                Lane::Quick => QUICK_ON_VOLUME,
                Lane::Copy | Lane::Destroy => settings.max_running_per_volume,
            },
            in_worker: signed(free),
        };
        let mut tx = self.ctx.store.begin("operation.claim").await?;
        let done = async {
            let now = tx.now().await?;
            queue::claim(&mut tx, volume, lane, self.id, now, settings.lease, room).await
        }
        .await;
        Ok(tx.finish(done).await?)
    }

    async fn give_back(&self) -> Result<(), Refusal> {
        let mut tx = self.ctx.store.begin("operation.give_back").await?;
        let done = async {
            let now = tx.now().await?;
            lease::give_back(&mut tx, self.id, now).await
        }
        .await;
        let count = tx.finish(done).await?;
        if count > 0 {
            tracing::info!(
                count,
                "operations given back; whoever claims them attaches to their tasks"
            );
        }
        Ok(())
    }
}
