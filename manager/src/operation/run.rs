//! Driving one operation while holding its lease.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use tokio::time;
use vfolder_common::error::{Reason, Refusal};

use super::{finish::finish, get, rate::Rate};
use crate::{
    context::Context,
    model::State,
    storage::{Outcome, Proxy, ProxyError, TaskNews},
    store::{
        Change, Operation, Progress,
        lease::{self, Ending, Lease},
    },
};

/// The shortest pause after a failed attempt; it doubles with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// The longest pause before the next attempt to cancel.
const CANCEL_BACKOFF: Duration = Duration::from_secs(1);
/// Progress is written this often at most, and at least at a third of the lease, which it renews.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(300);

/// How a worker's time with an operation ended.
enum Ended {
    /// The task ended.
    Outcome(Outcome),
    /// It was stopped before it published anything.
    Cancelled,
    /// The storage-proxy can't be reached now.
    Unreachable(ProxyError),
    /// Another worker has the operation.
    LeaseLost,
}

/// Works on a claimed operation until it has ended, the lease is lost, or it has to be tried again later.
pub async fn run(ctx: Context, op: Operation, held: Lease) {
    let mut progress = Progress::default();
    let ended = match drive(&ctx, &op, held, &mut progress).await {
        Ok(ended) => ended,
        Err(refusal) => {
            // The lease runs out and somebody takes over, possibly this process.
            tracing::warn!(operation = %op.id, error = %refusal, "operation left to its lease");
            return;
        }
    };
    let done = match ended {
        Ended::LeaseLost => {
            tracing::warn!(operation = %op.id, "lease lost; another worker has it");
            return;
        }
        Ended::Unreachable(error) => try_later(&ctx, &op, held, &error.to_string()).await,
        Ended::Cancelled => {
            let ending = Ending {
                state: State::Cancelled,
                reason: Reason::Cancelled.as_str().into(),
                text: "cancelled on request; nothing of it is left".into(),
            };
            end(&ctx, &op, held, &ending, progress).await
        }
        Ended::Outcome(outcome) => match outcome.failure {
            None => {
                let ending = Ending {
                    state: State::Succeeded,
                    reason: String::new(),
                    text: String::new(),
                };
                end(&ctx, &op, held, &ending, outcome.progress).await
            }
            Some(failure) if failure.retryable => {
                try_later(&ctx, &op, held, &failure.message).await
            }
            Some(failure) => {
                let state = match failure.reason {
                    Reason::Cancelled => State::Cancelled,
                    _ => State::Failed,
                };
                let ending = Ending {
                    state,
                    reason: failure.reason.as_str().into(),
                    text: failure.message,
                };
                end(&ctx, &op, held, &ending, outcome.progress).await
            }
        },
    };
    if let Err(refusal) = done {
        tracing::warn!(operation = %op.id, error = %refusal, "outcome not written; the operation is left to its lease");
    }
}

/// Starts or attaches to the task and follows it, renewing the lease and looking for the wish to cancel.
async fn drive(
    ctx: &Context,
    op: &Operation,
    held: Lease,
    progress: &mut Progress,
) -> Result<Ended, Refusal> {
    let proxy = match ctx.volumes.owner(&op.volume) {
        Ok(proxy) => proxy,
        Err(refusal) => {
            return Ok(Ended::Unreachable(ProxyError::Unreachable {
                address: String::new(),
                message: refusal.text().to_owned(),
            }));
        }
    };
    let mut cancelling = op.cancel_requested;
    if cancelling {
        match while_renewing(ctx, held, *progress, cancel(proxy, op)).await? {
            Some(None) => {}
            Some(Some(ended)) => return Ok(ended),
            None => return Ok(Ended::LeaseLost),
        }
    }
    let mut hub = ctx.store.hub().listen();
    let Some(started) = while_renewing(ctx, held, *progress, proxy.run_task(op)).await? else {
        return Ok(Ended::LeaseLost);
    };
    let mut task = match started {
        Ok(task) => task,
        Err(error) => return Ok(Ended::Unreachable(error)),
    };
    let mut rate = Rate::default();
    let interval = PROGRESS_INTERVAL.min(ctx.settings.operations.lease / 3);
    let mut written = Instant::now();
    let mut changed = false;
    loop {
        let due = if changed {
            interval
        } else {
            ctx.settings.operations.lease / 3
        };
        let mut wish = false;
        tokio::select! {
            news = task.next() => match news {
                Ok(TaskNews::Progress(p)) => {
                    *progress = rate.rated(Instant::now(), p);
                    changed = true;
                }
                Ok(TaskNews::Ended(outcome)) => return Ok(Ended::Outcome(outcome)),
                Err(error) => return Ok(Ended::Unreachable(error)),
            },
            // Our own writes are heard too. Reading announces nothing, so one does not lead to the next.
            () = hub.heard(Change::Operation(op.id)), if !cancelling => {
                wish = get(ctx, op.id).await?.cancel_requested;
            }
            () = time::sleep_until((written + due).into()) => {}
        }
        if written.elapsed() >= due {
            let Some(wished) = renew(ctx, held, *progress).await? else {
                return Ok(Ended::LeaseLost);
            };
            wish = wished;
            written = Instant::now();
            changed = false;
        }
        if wish && !cancelling {
            cancelling = true;
            match while_renewing(ctx, held, *progress, cancel(proxy, op)).await? {
                Some(None) => {}
                Some(Some(ended)) => return Ok(ended),
                None => return Ok(Ended::LeaseLost),
            }
        }
    }
}

/// Waits for a call that may take longer than the lease. None: the lease was lost meanwhile.
async fn while_renewing<T>(
    ctx: &Context,
    held: Lease,
    progress: Progress,
    call: impl Future<Output = T>,
) -> Result<Option<T>, Refusal> {
    let mut call = pin!(call);
    loop {
        tokio::select! {
            done = &mut call => return Ok(Some(done)),
            () = time::sleep(ctx.settings.operations.lease / 3) => {
                if renew(ctx, held, progress).await?.is_none() {
                    return Ok(None);
                }
            }
        }
    }
}

/// Asks the storage-proxy to stop. None: too late, the result is published and the task ends by itself.
async fn cancel(proxy: &Proxy, op: &Operation) -> Option<Ended> {
    match proxy.cancel_task(op).await {
        Ok(true) => None,
        Ok(false) => Some(Ended::Cancelled),
        Err(error) => Some(Ended::Unreachable(error)),
    }
}

async fn renew(ctx: &Context, held: Lease, progress: Progress) -> Result<Option<bool>, Refusal> {
    let lease = ctx.settings.operations.lease;
    let mut tx = ctx.store.begin("operation.renew").await?;
    let done = async {
        let now = tx.now().await?;
        lease::renew(&mut tx, held, now, lease, progress).await
    }
    .await;
    Ok(tx.finish(done).await?)
}

/// Gives the operation back with a pause that doubles with each attempt, spread so that many don't return at once.
async fn try_later(
    ctx: &Context,
    op: &Operation,
    held: Lease,
    problem: &str,
) -> Result<(), Refusal> {
    let doublings = u32::try_from(held.attempt.clamp(1, 16) - 1).unwrap_or_default();
    let pause = FIRST_BACKOFF
        .saturating_mul(1 << doublings)
        .min(ctx.settings.operations.max_backoff);
    let spread = pause.mul_f64(0.75 + f64::from(op.id.0.as_bytes()[15]) / 512.0);
    tracing::info!(operation = %op.id, problem, pause_ms = spread.as_millis(), "will be tried again");
    let mut tx = ctx.store.begin("operation.release").await?;
    let done = async {
        let now = tx.now().await?;
        // Somebody waits for the end of a cancelled one: no long pause.
        let pause = if lease::is_cancel_requested(&mut tx, op.id).await? {
            spread.min(CANCEL_BACKOFF)
        } else {
            spread
        };
        lease::release(&mut tx, held, now, now.plus(pause), problem).await
    }
    .await;
    tx.finish(done).await?;
    Ok(())
}

async fn end(
    ctx: &Context,
    op: &Operation,
    held: Lease,
    ending: &Ending,
    progress: Progress,
) -> Result<(), Refusal> {
    if !finish(ctx, op, held, ending, progress).await? {
        tracing::warn!(operation = %op.id, "lease lost before the outcome was written");
        return Ok(());
    }
    tracing::info!(operation = %op.id, kind = %op.kind, state = %ending.state, reason = ending.reason, "operation ended");
    // The record is complete; what is left on the volume goes now or with a later sweep.
    if let Ok(proxy) = ctx.volumes.owner(&op.volume)
        && let Err(error) = proxy.forget_task(op.id, &op.volume).await
    {
        tracing::debug!(operation = %op.id, %error, "left for the sweep");
    }
    Ok(())
}
