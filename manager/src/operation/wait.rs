//! Waiting for an operation.

use std::time::Duration;

use futures_util::Stream;
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_stream::wrappers::ReceiverStream;
use vfolder_common::error::Refusal;

use super::{get, read::get_visible};
use crate::{
    context::Context,
    model::Caller,
    store::{Change, Id, Operation},
};

/// Another manager's changes are noticed within this time.
const POLL: Duration = Duration::from_millis(500);
/// The least time between two messages of a watch.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Returns the operation when it has ended or the time is over, as it then is.
pub async fn wait(ctx: &Context, id: Id, timeout: Duration) -> Result<Operation, Refusal> {
    let deadline = Instant::now() + timeout;
    let mut hub = ctx.store.hub().listen();
    loop {
        let op = get(ctx, id).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        if !op.state.is_live() || left.is_zero() {
            return Ok(op);
        }
        tokio::select! {
            refusal = ctx.stopped() => return Err(refusal),
            // A timeout is a poll or the end, not an error.
            _ = time::timeout(left.min(POLL), hub.heard(Change::Operation(id))) => {}
        }
    }
}

/// The operation as it is, then after each change, until it has ended.
pub fn watch(
    ctx: Context,
    caller: Caller,
    id: Id,
) -> impl Stream<Item = Result<Operation, Refusal>> + Send {
    let (out, news) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            () = out.closed() => {}
            refusal = ctx.stopped() => {
                // An error means that the watcher is gone.
                let _ = out.send(Err(refusal)).await;
            }
            refusal = caller.expiry() => {
                // An error means that the watcher is gone.
                let _ = out.send(Err(refusal)).await;
            }
            result = tell(&ctx, &caller, id, &out) => {
                if let Err(refusal) = result {
                    // An error means that the watcher is gone.
                    let _ = out.send(Err(refusal)).await;
                }
            }
        }
    });
    ReceiverStream::new(news)
}

async fn tell(
    ctx: &Context,
    caller: &Caller,
    id: Id,
    out: &mpsc::Sender<Result<Operation, Refusal>>,
) -> Result<(), Refusal> {
    let mut hub = ctx.store.hub().listen();
    let mut told: Option<Operation> = None;
    loop {
        let op = get_visible(ctx, caller, id).await?;
        let ended = !op.state.is_live();
        if told.as_ref().is_none_or(|t| *t != op) {
            told = Some(op.clone());
            if out.send(Ok(op)).await.is_err() {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
        let pause = Instant::now() + WATCH_INTERVAL;
        // A timeout is a poll, not an error.
        let news = [Change::Operation(id), Change::Progress(id)];
        let _ = time::timeout(POLL, hub.heard_any(&news)).await;
        time::sleep_until(pause).await;
    }
}
