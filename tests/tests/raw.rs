//! Requests that no generated client would send: any bytes, to any path, with any headers.

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use tonic::{Status, body::Body, transport::Channel};
use tower::{Service as _, ServiceExt as _};

/// gRPC over HTTP/2: a flag (1: compressed) and the length, before each message.
pub fn frame(flag: u8, message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(flag);
    framed.put_u32(u32::try_from(message.len()).expect("it is short"));
    framed.put_slice(message);
    framed.freeze()
}

/// A request in the making.
pub struct Raw {
    channel: Channel,
    request: http::request::Builder,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub http: http::StatusCode,
    /// The response's headers.
    pub headers: http::HeaderMap,
    /// The response's messages, framed.
    pub body: Bytes,
    /// The gRPC status; unset where there was none, as behind an HTTP error.
    pub status: Option<Status>,
}

impl Raw {
    /// A POST to "/package.Service/Method".
    pub fn new(channel: Channel, method: &str) -> Self {
        let request =
            http::Request::post(format!("http://service/{method}")).header("te", "trailers");
        Self { channel, request }.with("content-type", "application/grpc")
    }

    /// With a header; one of that name replaces it.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Some(headers) = self.request.headers_mut() {
            headers.insert(name, value.parse().expect("a header can hold it"));
        }
        self
    }

    /// With credentials.
    pub fn bearer(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// Sends it with this body, and reads the whole answer.
    pub async fn send(self, body: Bytes) -> Answer {
        self.send_body(Body::new(Full::new(body))).await
    }

    /// The same with a body that comes bit by bit.
    pub async fn send_body(mut self, body: Body) -> Answer {
        let request = self.request.body(body).expect("it is a request");
        let channel = self.channel.ready().await.expect("the channel is ready");
        let (head, body) = channel
            .call(request)
            .await
            .expect("there is an answer")
            .into_parts();
        let collected = body.collect().await;
        let (body, trailers) = match collected {
            Ok(collected) => {
                let trailers = collected.trailers().cloned().unwrap_or_default();
                (collected.to_bytes(), trailers)
            }
            Err(_) => (Bytes::new(), http::HeaderMap::new()),
        };
        let status =
            Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(&trailers));
        Answer {
            http: head.status,
            headers: head.headers,
            body,
            status,
        }
    }
}

impl Answer {
    /// As a generated client would have it.
    pub fn into_result(self) -> Result<Bytes, Status> {
        match self.status {
            Some(status) if status.code() == tonic::Code::Ok => Ok(self.body),
            Some(status) => Err(status),
            None => panic!("no gRPC status: {self:?}"),
        }
    }
}
