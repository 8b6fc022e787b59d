//! Telling of every change of a vfolder.

use std::time::Duration;

use futures_util::Stream;
use tokio::{sync::mpsc, time};
use tokio_stream::wrappers::ReceiverStream;
use vfolder_common::error::Refusal;

use super::list::{Shown, get};
use crate::{
    context::Context,
    model::Caller,
    store::{Change, Event, Id, events, vfolders},
};

/// Another manager's changes are noticed within this time.
const POLL: Duration = Duration::from_secs(1);
/// The most events read at once.
const BATCH: i64 = 256;

/// The vfolder as it is, then each event with the vfolder as it then is; after an event that was heard of before, only
/// the events that follow it. Ends when the record is removed, the caller
/// may no longer see it, or the caller's token expires.
pub fn watch(
    ctx: Context,
    caller: Caller,
    id: Id,
    after: Option<i64>,
) -> impl Stream<Item = Result<(Shown, Option<Event>), Refusal>> + Send {
    // One message ahead: a slow watcher holds back the reading, and nothing is lost, since the history is the source.
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
            result = tell(&ctx, &caller, id, after, &out) => {
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
    after: Option<i64>,
    out: &mpsc::Sender<Result<(Shown, Option<Event>), Refusal>>,
) -> Result<(), Refusal> {
    let mut hub = ctx.store.hub().listen();
    let first = get(ctx, caller, id).await?;
    let mut seen = match after {
        Some(sequence) => sequence,
        None => {
            let seen = first.row.revision;
            if out.send(Ok((first, None))).await.is_err() {
                return Ok(());
            }
            seen
        }
    };
    loop {
        loop {
            let fresh =
                events::list(&mut ctx.store.read("vfolder.watch").await?, id, seen, BATCH).await?;
            if fresh.is_empty() {
                break;
            }
            let now = get(ctx, caller, id).await?;
            for event in fresh {
                seen = event.sequence;
                if out.send(Ok((now.clone(), Some(event)))).await.is_err() {
                    return Ok(());
                }
            }
        }
        let mut tx = ctx.store.read("vfolder.watch").await?;
        if vfolders::get(&mut tx, id).await?.is_none() {
            return Ok(());
        }
        drop(tx);
        // A timeout is a poll, not an error.
        let _ = time::timeout(POLL, hub.heard(Change::Vfolder(id))).await;
    }
}
