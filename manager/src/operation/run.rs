//! Driving one operation while holding its lease.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use tokio::time;
use vfolder_common::error::{Reason, Refusal};

use super::{cancel::cancelled, finish::finish, get, rate::Rate};
use crate::{
    context::Context,
    model::State,
    storage::{Outcome, Proxy, ProxyError, TaskNews, TaskQuotas},
    store::{
        Change, Operation, Progress, StoreError, Timestamp,
        lease::{self, Ending, Lease, Retry},
        mounts, vfolders,
    },
    vfolder::quota,
};

/// The shortest pause after a failed attempt; it doubles with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// The longest pause before the next attempt to cancel.
const CANCEL_BACKOFF: Duration = Duration::from_secs(1);
/// Progress is written this often at most, and at least at a third of the lease, which it renews.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(300);

/// Why an attempt came to nothing, though another may not.
struct Problem {
    reason: Reason,
    text: String,
    /// The storage-proxy had the task and told of it.
    reached: bool,
    /// The work on the tree got further.
    worked: bool,
}

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
    let mut worked = false;
    let ended = match drive(&ctx, &op, held, &mut progress, &mut worked).await {
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
        Ended::Unreachable(error) => {
            let problem = Problem {
                reason: Reason::VolumeUnavailable,
                text: error.to_string(),
                reached: worked,
                worked,
            };
            try_later(&ctx, &op, held, &problem, progress).await
        }
        Ended::Cancelled => end(&ctx, &op, held, &cancelled(&op), progress).await,
        Ended::Outcome(outcome) => match outcome.failure {
            None => {
                let ending = Ending {
                    state: State::Succeeded,
                    reason: String::new(),
                    text: String::new(),
                    lost: false,
                    exceeded: None,
                    receipt: outcome.receipt,
                };
                end(&ctx, &op, held, &ending, outcome.progress).await
            }
            Some(failure) if failure.retryable => {
                let problem = Problem {
                    reason: failure.reason,
                    text: failure.message,
                    reached: true,
                    worked,
                };
                try_later(&ctx, &op, held, &problem, outcome.progress).await
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
                    lost: false,
                    exceeded: failure.exceeded,
                    receipt: None,
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
    worked: &mut bool,
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
        match while_renewing(ctx, op, held, *progress, cancel(proxy, op)).await? {
            Some(None) => {}
            Some(Some(ended)) => return Ok(ended),
            None => return Ok(Ended::LeaseLost),
        }
    }
    let mut hub = ctx.store.hub().listen();
    let quotas = quotas_of(ctx, op).await?;
    let run = proxy.run_task(op, &quotas);
    let Some(started) = while_renewing(ctx, op, held, *progress, run).await? else {
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
                    // A task that waits for its turn tells of itself too.
                    *worked |= progress.files_done > 0 || progress.bytes_done > 0;
                    changed = true;
                }
                Ok(TaskNews::Ended(outcome)) => return Ok(Ended::Outcome(outcome)),
                Err(error) => return Ok(Ended::Unreachable(error)),
            },
            () = hub.heard(Change::Operation(op.id)), if !cancelling => {
                wish = get(ctx, op.id).await?.cancel_requested;
            }
            () = time::sleep_until((written + due).into()) => {}
        }
        if written.elapsed() >= due {
            let Some(wished) = renew(ctx, held, *progress, failing_since(op, *worked)).await?
            else {
                return Ok(Ended::LeaseLost);
            };
            wish = wished;
            written = Instant::now();
            changed = false;
        }
        if wish && !cancelling {
            cancelling = true;
            match while_renewing(ctx, op, held, *progress, cancel(proxy, op)).await? {
                Some(None) => {}
                Some(Some(ended)) => return Ok(ended),
                None => return Ok(Ended::LeaseLost),
            }
        }
    }
}

/// How much may be in the vfolder that the operation makes or works in, and what to know of its source, as of now.
async fn quotas_of(ctx: &Context, op: &Operation) -> Result<TaskQuotas, Refusal> {
    let mut tx = ctx.store.read("operation.quota").await?;
    let mut quotas = TaskQuotas::default();
    if let Some(row) = vfolders::get(&mut tx, op.vfolder_id).await? {
        quotas.vfolder = Some(quota::told(&mut tx, &row).await?);
    }
    if let Some(source) = op.source_id {
        // Also one that has expired: until that is noted, nobody has said that what was counted is no longer so.
        quotas.source_written = mounts::any_for_writing(&mut tx, source).await?;
        if let Some(row) = vfolders::get(&mut tx, source).await? {
            quotas.source = Some(quota::told(&mut tx, &row).await?);
        }
    }
    Ok(quotas)
}

/// Waits for a call that may take longer than the lease. None: the lease was lost meanwhile.
async fn while_renewing<T>(
    ctx: &Context,
    op: &Operation,
    held: Lease,
    progress: Progress,
    call: impl Future<Output = T>,
) -> Result<Option<T>, Refusal> {
    let mut call = pin!(call);
    loop {
        tokio::select! {
            done = &mut call => return Ok(Some(done)),
            () = time::sleep(ctx.settings.operations.lease / 3) => {
                if renew(ctx, held, progress, op.failing_since).await?.is_none() {
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

/// Since when no attempt has worked, as of now.
fn failing_since(op: &Operation, worked: bool) -> Option<Timestamp> {
    op.failing_since.filter(|_| !worked)
}

async fn renew(
    ctx: &Context,
    held: Lease,
    progress: Progress,
    failing_since: Option<Timestamp>,
) -> Result<Option<bool>, Refusal> {
    let lease = ctx.settings.operations.lease;
    let mut tx = ctx.store.begin("operation.renew").await?;
    let done = async {
        let now = tx.now().await?;
        lease::renew(&mut tx, held, now, lease, progress, failing_since).await
    }
    .await;
    Ok(tx.finish(done).await?)
}

/// Gives the operation back with a pause that doubles with each attempt, spread so that many don't return at once; or
/// gives it up, if that has gone on for too long.
async fn try_later(
    ctx: &Context,
    op: &Operation,
    held: Lease,
    problem: &Problem,
    progress: Progress,
) -> Result<(), Refusal> {
    let settings = &ctx.settings.operations;
    let doublings = u32::try_from(held.attempt.clamp(1, 16) - 1).unwrap_or_default();
    let pause = FIRST_BACKOFF
        .saturating_mul(1 << doublings)
        .min(settings.max_backoff);
    let spread = pause.mul_f64(0.75 + f64::from(op.id.0.as_bytes()[15]) / 512.0);
    let mut tx = ctx.store.begin("operation.release").await?;
    let done = async {
        let now = tx.now().await?;
        let failing_since = match op.failing_since {
            Some(since) if !problem.worked => since,
            _ => now,
        };
        let wished = lease::is_cancel_requested(&mut tx, op.id).await?;
        // A storage-proxy that is away uses up no attempts, nor does the wish to cancel, which is tried often.
        let failures = op.failures + i32::from(problem.reached && !wished);
        let used_up = failures > op.failures && failures >= settings.max_attempts;
        if used_up || now.since(failing_since) >= settings.give_up_after {
            return Ok(true);
        }
        // Somebody waits for the end of a cancelled one: no long pause.
        let pause = if wished {
            spread.min(CANCEL_BACKOFF)
        } else {
            spread
        };
        let retry = Retry {
            time: now.plus(pause),
            failing_since,
            problem: &problem.text,
            failures,
        };
        lease::release(&mut tx, held, now, retry).await?;
        Ok::<_, StoreError>(false)
    }
    .await;
    if !tx.finish(done).await? {
        tracing::info!(operation = %op.id, problem = problem.text, pause_ms = spread.as_millis(), "will be tried again");
        return Ok(());
    }
    let ending = Ending {
        state: State::Failed,
        reason: problem.reason.as_str().into(),
        text: format!(
            "given up after {} attempts; the last problem: {}",
            op.attempt, problem.text
        ),
        lost: true,
        exceeded: None,
        receipt: None,
    };
    end(ctx, op, held, &ending, progress).await
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
