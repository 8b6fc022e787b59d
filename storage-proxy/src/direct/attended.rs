//! A connection that does not wait for ever.
//!
//! hyper has a time-out for the head of a request of HTTP/1.1, but waits for as long as it takes until it knows which
//! version the caller speaks, and until the caller takes what it is sent.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// What every connection of HTTP/2 begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long what a peer still sends is read and forgotten when all has been said.
const LINGER: Duration = Duration::from_secs(2);

/// How many times that is done before others have their turn.
const AT_ONCE: usize = 16;

/// The connection.
pub struct Attended<T> {
    inner: T,
    /// How much of the preface has come; nothing once it is known which version is spoken.
    preface: Option<usize>,
    /// Until that has to be known.
    begin: Pin<Box<Sleep>>,
    /// How long a write may stand still.
    idle: Duration,
    /// Since when a write stands still.
    stalled: bool,
    stall: Pin<Box<Sleep>>,
    /// Until when it is waited for the peer to hang up, too; nothing before all has been said.
    linger: Option<Pin<Box<Sleep>>>,
}

impl<T> Attended<T> {
    /// Whose first bytes come within `begin`, and whose writes never stand still for longer than `idle`.
    pub fn new(inner: T, begin: Duration, idle: Duration) -> Self {
        Self {
            inner,
            preface: Some(0),
            begin: Box::pin(sleep(begin)),
            idle,
            stalled: false,
            stall: Box::pin(sleep(idle)),
            linger: None,
        }
    }

    /// Hears what was read: as soon as it differs from the preface, or is all of it, the version is known.
    fn hear(&mut self, read: &[u8]) {
        let Some(known) = self.preface else { return };
        let rest = &PREFACE[known..];
        let same = read.len() < rest.len() && !read.is_empty() && rest.starts_with(read);
        self.preface = same.then_some(known + read.len());
    }

    /// Turns a write that has stood still for too long into an error.
    fn write_in_time<R>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if done.is_ready() {
            self.stalled = false;
            return done;
        }
        if !self.stalled {
            self.stalled = true;
            self.stall.as_mut().reset(Instant::now() + self.idle);
        }
        ready!(self.stall.as_mut().poll(cx));
        Poll::Ready(Err(too_late("the peer takes nothing")))
    }
}

fn too_late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<T: AsyncRead + Unpin> AsyncRead for Attended<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let done = Pin::new(&mut this.inner).poll_read(cx, buf);
        if this.preface.is_some() {
            if done.is_ready() {
                this.hear(&buf.filled()[before..]);
            } else {
                ready!(this.begin.as_mut().poll(cx));
                return Poll::Ready(Err(too_late("the peer says nothing")));
            }
        }
        done
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Attended<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.write_in_time(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.write_in_time(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.inner).poll_flush(cx);
        self.write_in_time(cx, done)
    }

    /// Closes in two steps (RFC 9112 §9.6): a socket that is closed while bytes are on their way to it resets the
    /// connection, and the reset may overtake the answer that says why nobody wants them.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            let done = Pin::new(&mut this.inner).poll_shutdown(cx);
            ready!(this.write_in_time(cx, done))?;
            this.linger = Some(Box::pin(sleep(LINGER)));
        }
        let over = this.linger.as_mut().map(|linger| linger.as_mut().poll(cx));
        if over.is_some_and(|over| over.is_ready()) {
            return Poll::Ready(Ok(()));
        }
        let mut forgotten = [0; 8 << 10];
        for _ in 0..AT_ONCE {
            let mut buffer = ReadBuf::new(&mut forgotten);
            let read = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn who_never_says_what_he_speaks_is_hung_up_on() {
        for begun in [&b""[..], b"P", &PREFACE[..23]] {
            let (ours, mut theirs) = duplex(64);
            theirs.write_all(begun).await.unwrap();
            let mut attended = Attended::new(ours, SHORT, LONG);
            let read = attended.read_to_end(&mut Vec::new()).await;
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
    }

    #[tokio::test]
    async fn once_it_is_clear_what_is_spoken_reading_is_up_to_hyper() {
        for begun in [&b"GET"[..], b"PRO", PREFACE] {
            let (ours, mut theirs) = duplex(64);
            theirs.write_all(begun).await.unwrap();
            let mut attended = Attended::new(ours, SHORT, LONG);
            let mut read = vec![0; begun.len()];
            attended.read_exact(&mut read).await.unwrap();
            let more = tokio::time::timeout(4 * SHORT, attended.read_u8()).await;
            assert!(more.is_err(), "{more:?}");
        }
    }

    #[tokio::test]
    async fn who_takes_nothing_is_hung_up_on() {
        let (ours, _theirs) = duplex(8);
        let mut attended = Attended::new(ours, LONG, SHORT);
        let written = attended.write_all(&[0; 64]).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
