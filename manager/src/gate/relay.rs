//! A storage-proxy's response on its way to the client.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;
use tonic::Status;
use vfolder_common::body::Unbroken;

use super::message::Wrong;

/// A response body that ends with a status where the connection to the storage-proxy breaks, instead of breaking the
/// connection to the client.
#[derive(Debug)]
pub struct Relay<B> {
    body: Option<Unbroken<B>>,
    volume: String,
    wrong: Wrong,
}

impl<B> Relay<B> {
    /// What comes from the storage-proxy of `volume`, over HTTP/2, in answer to a request with which may be something `wrong`.
    pub fn new(body: B, volume: &str, wrong: Wrong) -> Self {
        Self {
            body: Some(Unbroken::http2(body)),
            volume: volume.to_owned(),
            wrong,
        }
    }
}

impl<B> http_body::Body for Relay<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        Pin::new(body).poll_frame(cx).map(|frame| match frame {
            Some(Err(error)) => {
                tracing::debug!(%error, volume = this.volume, "response broke off");
                this.body = None;
                let refusal = this.wrong.refusal().unwrap_or_else(|| {
                    let why = "the connection to its storage-proxy broke";
                    crate::storage::unavailable(&this.volume, why)
                });
                let mut trailers = http::HeaderMap::new();
                match Status::from(refusal).add_header(&mut trailers) {
                    Ok(()) => Some(Ok(Frame::trailers(trailers))),
                    Err(status) => Some(Err(status)),
                }
            }
            other => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::VecDeque;

    use http_body::Body as _;
    use http_body_util::BodyExt as _;
    use tonic::Code;

    use super::*;

    /// These frames, and then an end: the sender's own, or a stream's that was reset.
    struct Told {
        frames: VecDeque<Result<Frame<Bytes>, Status>>,
        ended: bool,
    }

    impl http_body::Body for Told {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.frames.pop_front())
        }

        fn is_end_stream(&self) -> bool {
            self.frames.is_empty() && self.ended
        }
    }

    /// The code in the trailers that end a response of one message and these further frames.
    async fn told(last: Option<Result<Frame<Bytes>, Status>>, ended: bool) -> Option<Code> {
        let message = Ok(Frame::data(Bytes::from_static(b"message")));
        let frames = [message].into_iter().chain(last).collect();
        let mut relay = Relay::new(Told { frames, ended }, "volume", Wrong::default());
        let first = relay.frame().await.unwrap().unwrap();
        assert_eq!(&first.into_data().unwrap()[..], b"message");
        let last = relay.frame().await?.unwrap();
        let trailers = last.into_trailers().unwrap();
        assert!(relay.is_end_stream() && relay.frame().await.is_none());
        Status::from_header_map(&trailers).map(|status| status.code())
    }

    #[tokio::test]
    async fn a_response_that_breaks_off_ends_as_unavailable_and_others_as_they_end() {
        let reset = Status::cancelled("by the storage-proxy");
        assert_eq!(told(Some(Err(reset)), false).await, Some(Code::Unavailable));
        assert_eq!(told(None, false).await, Some(Code::Unavailable));
        let mut trailers = http::HeaderMap::new();
        Status::data_loss("a hole")
            .add_header(&mut trailers)
            .unwrap();
        let trailers = Some(Ok(Frame::trailers(trailers)));
        assert_eq!(told(trailers, true).await, Some(Code::DataLoss));
        assert_eq!(told(None, true).await, None);
    }
}
