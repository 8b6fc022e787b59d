//! The changes of all vfolders, in one order that can be gone on with.

use std::time::{Duration, Instant};

use futures_util::Stream;
use tokio::{sync::mpsc, time};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use vfolder_common::error::{Reason, Refusal};

use super::list::{Shown, show, visible_to};
use crate::{
    context::Context,
    model::Caller,
    store::{Change, Event, Id, feed},
};

/// Other managers' changes are noticed within this time.
const POLL: Duration = Duration::from_secs(1);
/// The least time between two looks of one reader.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);
/// The most events read, or given places, at once.
const BATCH: i64 = 256;
/// How often somebody with nothing to hear of gets a fresh token.
const BOOKMARK: Duration = Duration::from_secs(5);

/// Where a reader of the feed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Of which feed.
    pub feed: Id,
    /// The last place that was read.
    pub last: i64,
}

/// What a reader is told.
#[derive(Clone, Debug)]
pub struct News {
    /// What happened, and its vfolder as it is now. None: only where to go on.
    pub event: Option<(Event, Shown)>,
    /// Where to go on.
    pub position: Position,
}

/// Gives every event its place, until told to stop. Every manager does; who comes second finds nothing to do.
pub async fn place_events(ctx: Context, stop: CancellationToken) {
    loop {
        if let Err(refusal) = place_all(&ctx).await {
            tracing::warn!(error = %refusal, "events have not got their places; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = ctx.store.hub().events() => {}
            () = time::sleep(ctx.settings.operations.tick) => {}
        }
    }
}

async fn place_all(ctx: &Context) -> Result<(), Refusal> {
    while feed::has_unplaced(&mut ctx.store.read("feed.look").await?).await? {
        let mut tx = ctx.store.begin("feed.place").await?;
        let placed = feed::place(&mut tx, BATCH).await;
        tx.finish(placed).await?;
    }
    Ok(())
}

/// Where to begin: where an earlier stream ended, or now.
pub async fn begin(ctx: &Context, resume: Option<Position>) -> Result<Position, Refusal> {
    let now = feed::get(&mut ctx.store.read("feed.begin").await?).await?;
    let Some(position) = resume else {
        return Ok(Position {
            feed: now.id,
            last: now.last,
        });
    };
    // Beyond the last place: the database was put back to an earlier time.
    if position.feed != now.id || position.last > now.last || position.last < now.horizon {
        return Err(expired());
    }
    Ok(position)
}

fn expired() -> Refusal {
    Refusal::new(
        Reason::FeedExpired,
        "what this token stands for is gone: list the vfolders, and begin anew without a token",
    )
}

/// First where it begins, then every event from there on that the caller may see. Ends when the caller's token expires.
pub fn watch(
    ctx: Context,
    caller: Caller,
    from: Position,
) -> impl Stream<Item = Result<News, Refusal>> + Send {
    // One message ahead: a slow reader holds back the reading, and nothing is lost, since the tables are the source.
    let (out, news) = mpsc::channel(1);
    tokio::spawn(async move {
        let ended = tokio::select! {
            () = out.closed() => return,
            refusal = ctx.stopped() => Err(refusal),
            refusal = caller.expiry() => Err(refusal),
            ended = tell(&ctx, &caller, from, &out) => ended,
        };
        if let Err(refusal) = ended {
            // An error means that the reader is gone.
            let _ = out.send(Err(refusal)).await;
        }
    });
    ReceiverStream::new(news)
}

async fn tell(
    ctx: &Context,
    caller: &Caller,
    from: Position,
    out: &mpsc::Sender<Result<News, Refusal>>,
) -> Result<(), Refusal> {
    let mut hub = ctx.store.hub().listen();
    let visible = visible_to(caller);
    let mut position = from;
    let mut told = from;
    let send = async |news: News| out.send(Ok(news)).await.is_ok();
    let bookmark = |position| News {
        event: None,
        position,
    };
    if !send(bookmark(from)).await {
        return Ok(());
    }
    let mut last_sent = Instant::now();
    loop {
        let mut look = ctx.store.read("feed.read").await?;
        let (found, last) = feed::after(&mut look, position.last, visible.as_ref(), BATCH).await?;
        // Read after the events: had any been removed before they were read, the horizon says so.
        let now = feed::get(&mut look).await?;
        if now.id != position.feed || now.horizon > position.last {
            return Err(expired());
        }
        let (events, rows): (Vec<Event>, Vec<_>) = found.into_iter().unzip();
        let shown = show(&mut look, rows).await?;
        drop(look);
        let more = last > position.last;
        position.last = last;
        for (event, vfolder) in events.into_iter().zip(shown) {
            let here = Position {
                last: event.position.unwrap_or(told.last),
                ..position
            };
            told = here;
            last_sent = Instant::now();
            let news = News {
                event: Some((event, vfolder)),
                position: here,
            };
            if !send(news).await {
                return Ok(());
            }
        }
        // Who sees nothing of what others do gets on all the same.
        if told != position && last_sent.elapsed() >= BOOKMARK {
            told = position;
            last_sent = Instant::now();
            if !send(bookmark(position)).await {
                return Ok(());
            }
        }
        if more {
            continue;
        }
        let pause = time::Instant::now() + WATCH_INTERVAL;
        // A timeout is a poll, not an error.
        let _ = time::timeout(POLL, hub.heard(Change::Placed)).await;
        // Many readers and many changes: each reader looks so often and no more.
        time::sleep_until(pause).await;
    }
}
