//! Streams that break off.
//!
//! tonic takes a call that its client cancels for one whose stream has ended, and hyper a stream that is reset with
//! NO_ERROR: what has come of a file would be taken for the whole file. With [`Unbroken`] both are errors, like a
//! connection that is lost.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use crate::error::{Reason, Refusal};

/// A body that ends only where its sender has ended it.
#[derive(Debug)]
pub struct Unbroken<B> {
    body: B,
    /// Whether the body knows by itself that it has ended; one of HTTP/1 tells of any other end as an error.
    knows: bool,
}

impl<B> Unbroken<B> {
    /// The body of a message of HTTP/2.
    pub fn http2(body: B) -> Self {
        Self { body, knows: true }
    }
}

/// `request`, with such a body.
pub fn unbroken<B>(request: Request<B>) -> Request<Unbroken<B>> {
    let knows = request.version() == Version::HTTP_2;
    request.map(|body| Unbroken { body, knows })
}

impl<B> Body for Unbroken<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map(|frame| match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => Some(Err(broken(&error.into().to_string()))),
            None if self.knows && !self.body.is_end_stream() => Some(Err(broken("it was reset"))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Of another code than the one that tonic takes for an end.
fn broken(why: &str) -> Status {
    let text = format!("the stream broke off before its end: {why}");
    Refusal::new(Reason::MessageMalformed, text).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::{collections::VecDeque, future::poll_fn};

    use tonic::Code;

    use super::*;

    /// Says this, and at its end whether its sender has ended it.
    struct Told(VecDeque<Result<&'static [u8], Status>>, bool);

    impl Body for Told {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            let next = self.0.pop_front();
            Poll::Ready(next.map(|next| next.map(|data| Frame::data(Bytes::from_static(data)))))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty() && self.1
        }
    }

    /// What comes after the first frame of a request.
    async fn after_data(version: Version, last: Option<Status>, ended: bool) -> Option<Code> {
        let told = [Ok(&b"data"[..])].into_iter().chain(last.map(Err));
        let request = Request::builder().version(version);
        let request = request.body(Told(told.collect(), ended)).unwrap();
        let mut body = unbroken(request).into_body();
        let first = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert_eq!(&first.unwrap().unwrap().into_data().unwrap()[..], b"data");
        let last = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        last.map(|frame| frame.unwrap_err().code())
    }

    #[tokio::test]
    async fn only_what_its_sender_has_ended_ends() {
        let broken = Some(Code::InvalidArgument);
        let cancelled = || Some(Status::cancelled("by the client"));
        for version in [Version::HTTP_2, Version::HTTP_11] {
            assert_eq!(after_data(version, cancelled(), false).await, broken);
            assert_eq!(after_data(version, None, true).await, None);
        }
        assert_eq!(after_data(Version::HTTP_2, None, false).await, broken);
        assert_eq!(after_data(Version::HTTP_11, None, false).await, None);
    }
}
