//! What is under way on a connection: one that is only kept open would take a place for ever, and so would one whose answers
//! nobody takes.
//!
//! In HTTP/2 a caller can hold up a single answer by its window, and hyper does not ask for more of it, nor lets go of it,
//! until he takes some: nothing that we could tell the answer would be heard. So it is the connection that ends.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

/// The requests under way on a connection.
#[derive(Clone, Debug)]
pub struct Busy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    count: watch::Sender<usize>,
    given: Mutex<Given>,
}

/// Since when those answers of which some was given out have not been asked for more.
#[derive(Debug, Default)]
struct Given {
    last: u64,
    since: HashMap<u64, Instant>,
}

/// One of them, until this is dropped.
#[derive(Debug)]
pub struct Request {
    busy: Busy,
    number: u64,
}

impl Busy {
    /// None.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            count: watch::Sender::new(0),
            given: Mutex::default(),
        }))
    }

    /// One more.
    pub fn begin(&self) -> Request {
        self.0.count.send_modify(|now| *now += 1);
        let mut given = self.given();
        given.last += 1;
        Request {
            number: given.last,
            busy: self.clone(),
        }
    }

    /// Returns once there has been none for so long.
    pub async fn idle_for(&self, time: Duration) {
        let mut now = self.0.count.subscribe();
        loop {
            let none = *now.borrow_and_update() == 0;
            // We hold the sender: it does not go.
            let changed = now.changed();
            if !none {
                let _ = changed.await;
            } else if timeout(time, changed).await.is_err() {
                return;
            }
        }
    }

    /// Returns once the caller has taken nothing more of an answer for so long.
    pub async fn stalled_for(&self, time: Duration) {
        loop {
            let now = Instant::now();
            let oldest = self.given().since.values().min().copied();
            let due = oldest.unwrap_or(now) + time;
            if due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.0.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Request {
    /// Something was given out, or it is waited for what comes next.
    fn gave(&self, some: bool) {
        let mut given = self.busy.given();
        if some {
            given.since.insert(self.number, Instant::now());
        } else {
            given.since.remove(&self.number);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.gave(false);
        self.busy.0.count.send_modify(|now| *now -= 1);
    }
}

/// The body of an answer: its request is under way until all of it is sent, or nobody wants it any more.
#[derive(Debug)]
pub struct Answer {
    body: Body,
    request: Request,
}

impl Answer {
    /// The body of this request's answer.
    pub fn new(body: Body, request: Request) -> Self {
        Self { body, request }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.request.gave(matches!(polled, Poll::Ready(Some(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
