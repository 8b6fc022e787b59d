//! The first message of a request: read, looked into, and passed on as it came.

use std::{
    io::Read as _,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tonic::body::Body;
use vfolder_common::error::{Reason, Refusal};

/// The length of a gRPC frame's header: a flag and a length.
const HEADER: usize = 5;
const ONE_MESSAGE: &str = "this RPC takes one message, and more bytes follow it";
/// What [`first`] can decompress; the services behind the gate accept the same.
pub const ACCEPTED: &str = "gzip,zstd,identity";

/// The first message of a stream, decompressed, and the stream with every byte of it still to come.
pub struct First {
    /// The message.
    pub message: Bytes,
    /// The stream.
    pub body: Body,
    /// What is wrong with it, as far as it has been read.
    pub wrong: Wrong,
}

/// What is wrong with a request whose body is on its way: set by the body before it breaks off, for whoever sends it on and
/// learns from the other side only that it broke off.
#[derive(Clone, Debug, Default)]
pub struct Wrong(Arc<OnceLock<Refusal>>);

impl Wrong {
    /// That, if something is.
    pub fn refusal(&self) -> Option<Refusal> {
        self.0.get().cloned()
    }
}

/// Reads the first message, of at most `limit` bytes before and after decompression.
///
/// More than one message is passed on only where the client may send several.
pub async fn first(
    mut body: Body,
    headers: &HeaderMap,
    limit: usize,
    several: bool,
) -> Result<First, Refusal> {
    let mut read = BytesMut::new();
    let (compressed, length) = loop {
        if let Some(header) = parse_header(&read, limit)? {
            if read.len() >= HEADER + header.1 {
                break header;
            }
            read.reserve(HEADER + header.1 - read.len());
        }
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    read.extend_from_slice(data);
                }
            }
            Some(Err(error)) => return Err(malformed(error.message())),
            None => return Err(malformed("the request ended before its first message did")),
        }
    };
    if !several && read.len() > HEADER + length {
        return Err(malformed(ONE_MESSAGE));
    }
    let read = read.freeze();
    let raw = read.slice(HEADER..HEADER + length);
    let message = if compressed {
        decompress(&raw, headers, limit)?
    } else {
        raw
    };
    let wrong = Wrong::default();
    Ok(First {
        message,
        body: Body::new(Replay {
            read,
            rest: body,
            several,
            wrong: wrong.clone(),
        }),
        wrong,
    })
}

fn parse_header(read: &[u8], limit: usize) -> Result<Option<(bool, usize)>, Refusal> {
    let Some(mut header) = read.get(..HEADER) else {
        return Ok(None);
    };
    let compressed = match header.get_u8() {
        0 => false,
        1 => true,
        flag => return Err(malformed(&format!("{flag} is no compression flag"))),
    };
    let length = usize::try_from(header.get_u32()).unwrap_or(usize::MAX);
    if length > limit {
        return Err(too_large(limit));
    }
    Ok(Some((compressed, length)))
}

fn decompress(raw: &[u8], headers: &HeaderMap, limit: usize) -> Result<Bytes, Refusal> {
    let encoding = headers.get("grpc-encoding").map(|v| v.as_bytes());
    // One byte more than allowed, to tell "as large" from "larger"; a bomb is not unpacked further.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut message = Vec::new();
    let unpacked = match encoding {
        Some(b"gzip") => flate2::read::GzDecoder::new(raw)
            .take(most)
            .read_to_end(&mut message),
        Some(b"zstd") => {
            zstd::Decoder::new(raw).and_then(|d| d.take(most).read_to_end(&mut message))
        }
        None | Some(b"identity") => {
            return Err(malformed(
                "a message is marked as compressed, but grpc-encoding names no compression",
            ));
        }
        Some(other) => {
            return Err(Refusal::new(
                Reason::CompressionUnsupported,
                format!(
                    "messages compressed with {:?} are not understood; use one of {ACCEPTED}",
                    String::from_utf8_lossy(other)
                ),
            ));
        }
    };
    unpacked.map_err(|e| malformed(&format!("the message doesn't decompress: {e}")))?;
    if message.len() > limit {
        return Err(too_large(limit));
    }
    Ok(message.into())
}

fn malformed(text: &str) -> Refusal {
    Refusal::new(Reason::MessageMalformed, text)
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(
        Reason::MessageTooLarge,
        format!("the message is larger than {limit} bytes"),
    )
    .with_metadata("limit_bytes", limit.to_string())
}

/// A body whose beginning was read: gives it out again, then the rest.
struct Replay {
    read: Bytes,
    rest: Body,
    several: bool,
    wrong: Wrong,
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if this.read.is_empty() {
            let next = Pin::new(&mut this.rest).poll_frame(cx);
            match &next {
                Poll::Ready(Some(Ok(frame)))
                    if !this.several && frame.data_ref().is_some_and(|d| !d.is_empty()) =>
                {
                    let refusal = this.wrong.0.get_or_init(|| malformed(ONE_MESSAGE));
                    Poll::Ready(Some(Err(refusal.clone().into())))
                }
                _ => next,
            }
        } else {
            let read = std::mem::take(&mut this.read);
            Poll::Ready(Some(Ok(Frame::data(read))))
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Write as _;

    use http::HeaderValue;
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
        let mut bytes = vec![flag];
        bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend(message);
        bytes
    }

    fn encoding(name: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-encoding"),
            HeaderValue::from_static(name),
        )])
    }

    fn whole(bytes: Vec<u8>) -> Body {
        Body::new(Full::new(Bytes::from(bytes)))
    }

    #[tokio::test]
    async fn every_byte_of_the_stream_goes_on_however_it_was_cut() {
        let mut bytes = frame(0, b"first");
        bytes.extend(frame(0, b"second"));
        for cut in 1..bytes.len() {
            let chunks: Vec<_> = bytes
                .chunks(cut)
                .map(|c| Ok::<_, tonic::Status>(Frame::data(Bytes::copy_from_slice(c))))
                .collect();
            let body = Body::new(StreamBody::new(futures_util::stream::iter(chunks)));
            let first = first(body, &HeaderMap::new(), 100, true).await.unwrap();
            assert_eq!(&first.message[..], b"first");
            let all = first.body.collect().await.unwrap().to_bytes();
            assert_eq!(&all[..], &bytes[..]);
        }
    }

    #[tokio::test]
    async fn a_bomb_is_not_unpacked_beyond_the_limit() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&vec![0; 10 << 20]).unwrap();
        let packed = frame(1, &gzip.finish().unwrap());
        assert!(packed.len() < 20_000);
        let refusal = first(whole(packed), &encoding("gzip"), 20_000, false)
            .await
            .err()
            .unwrap();
        assert_eq!(refusal.reason(), Reason::MessageTooLarge);
    }

    #[tokio::test]
    async fn messages_arrive_from_gzip_and_zstd() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"hello").unwrap();
        let zstd = zstd::encode_all(&b"hello"[..], 1).unwrap();
        for (name, packed) in [("gzip", gzip.finish().unwrap()), ("zstd", zstd)] {
            let body = whole(frame(1, &packed));
            let first = first(body, &encoding(name), 100, false).await.unwrap();
            assert_eq!(&first.message[..], b"hello");
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused_with_its_reason() {
        let none = HeaderMap::new();
        for (bytes, headers, reason) in [
            (vec![], none.clone(), Reason::MessageMalformed),
            (vec![0, 0, 0], none.clone(), Reason::MessageMalformed),
            (
                vec![0, 0, 0, 0, 9, 1],
                none.clone(),
                Reason::MessageMalformed,
            ),
            (frame(7, b"x"), none.clone(), Reason::MessageMalformed),
            (frame(1, b"x"), none.clone(), Reason::MessageMalformed),
            (frame(1, b"x"), encoding("gzip"), Reason::MessageMalformed),
            (
                frame(1, b"x"),
                encoding("br"),
                Reason::CompressionUnsupported,
            ),
            (frame(0, &[0; 101]), none.clone(), Reason::MessageTooLarge),
            (
                [frame(0, b"one"), frame(0, b"two")].concat(),
                none,
                Reason::MessageMalformed,
            ),
        ] {
            let refusal = first(whole(bytes), &headers, 100, false)
                .await
                .err()
                .unwrap();
            assert_eq!(refusal.reason(), reason);
        }
    }
}
