//! Whether anything is under way on a connection: one of HTTP/2 that is only kept open would take a place for ever.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::{sync::watch, time::timeout};

/// How many requests are under way on a connection.
#[derive(Clone, Debug)]
pub struct Busy(Arc<watch::Sender<usize>>);

/// One of them, until this is dropped.
#[derive(Debug)]
pub struct Request(Busy);

impl Busy {
    /// None.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// One more.
    pub fn begin(&self) -> Request {
        self.0.send_modify(|now| *now += 1);
        Request(self.clone())
    }

    /// Returns once there has been none for so long.
    pub async fn idle_for(&self, time: Duration) {
        let mut now = self.0.subscribe();
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
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.0.send_modify(|now| *now -= 1);
    }
}

/// The body of an answer: its request is under way until all of it is sent, or nobody wants it any more.
#[derive(Debug)]
pub struct Answer {
    body: Body,
    _request: Request,
}

impl Answer {
    /// The body of this request's answer.
    pub fn new(body: Body, request: Request) -> Self {
        Self {
            body,
            _request: request,
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
