//! The worker: takes no input, claims what the table has, runs it.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use vfolder_common::error::Refusal;

use super::run::run;
use crate::{
    context::Context,
    model::Kind,
    store::{
        Id, Operation,
        lease::{self, Lease},
    },
};

/// How many trees are made at once.
const QUICK_SLOTS: usize = 32;

/// Claims and runs operations until told to stop. What then runs is given back: the tasks go on in the storage-proxies,
/// and whoever claims the operations next attaches to them.
pub async fn work(ctx: Context, stop: CancellationToken) {
    // New at every start: a process that comes back is not the holder it was.
    let worker = Id::new();
    tracing::info!(%worker, "worker starts");
    // Long work never keeps a CreateVFolder waiting: that is milliseconds, and somebody waits for it.
    let lanes: [(&[Kind], Arc<Semaphore>); 2] = [
        (&[Kind::Create], Arc::new(Semaphore::new(QUICK_SLOTS))),
        (
            &[Kind::Clone, Kind::Purge],
            Arc::new(Semaphore::new(ctx.settings.operations.max_running.max(1))),
        ),
    ];
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        for (kinds, slots) in &lanes {
            let free = slots.available_permits();
            if free == 0 {
                continue;
            }
            match claim(&ctx, kinds, worker, free).await {
                Ok(claimed) => {
                    for op in claimed {
                        let held = Lease {
                            operation: op.id,
                            owner: worker,
                            attempt: op.attempt,
                        };
                        let slot = Arc::clone(slots).try_acquire_owned();
                        let ctx = ctx.clone();
                        running.spawn(async move {
                            let _slot = slot;
                            run(ctx, op, held).await;
                        });
                    }
                }
                Err(refusal) => tracing::warn!(error = %refusal, "no operations claimed"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = ctx.store.hub().work() => {}
            Some(_) = running.join_next() => {}
            () = time::sleep(ctx.settings.operations.tick) => {}
        }
    }
    running.shutdown().await;
    if let Err(refusal) = give_back(&ctx, worker).await {
        tracing::warn!(error = %refusal, "operations are left to their leases");
    }
}

async fn give_back(ctx: &Context, worker: Id) -> Result<(), Refusal> {
    let mut tx = ctx.store.begin("operation.give_back").await?;
    let done = async {
        let now = tx.now().await?;
        lease::give_back(&mut tx, worker, now).await
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

async fn claim(
    ctx: &Context,
    kinds: &[Kind],
    worker: Id,
    limit: usize,
) -> Result<Vec<Operation>, Refusal> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // Most looks find nothing: don't take SQLite's write turn for them.
    let mut look = ctx.store.read("operation.look").await?;
    let now = look.now().await?;
    if !lease::is_any_free(&mut look, kinds, now).await? {
        return Ok(Vec::new());
    }
    drop(look);
    let mut tx = ctx.store.begin("operation.claim").await?;
    let done = async {
        let now = tx.now().await?;
        lease::claim(
            &mut tx,
            kinds,
            worker,
            now,
            ctx.settings.operations.lease,
            limit,
        )
        .await
    }
    .await;
    Ok(tx.finish(done).await?)
}
