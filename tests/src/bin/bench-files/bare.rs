//! What tonic itself can do: a server that streams a buffer, and forgets what it gets or writes it to a file as it comes,
//! in a process of its own.

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    pin::Pin,
    process::{Child, Command},
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::http,
    server::Grpc,
    server::{ClientStreamingService, NamedService, ServerStreamingService},
    transport::Server,
};
use tonic_prost::ProstCodec;
use vfolder_common::server::{CONNECTION_WINDOW, FRAME_SIZE, STREAM_WINDOW};
use vfolder_proto::v1::{
    ReadFileRequest, ReadFileResponse, WriteFileRequest, WriteFileResponse, write_file_request::To,
};

use crate::Told;

/// The upload of whoever wants what he sends to be kept.
pub const KEPT: &str = "kept";

/// The server's process.
pub struct Peer {
    child: Child,
    address: String,
    kept: PathBuf,
}

impl Peer {
    /// Starts it; it keeps its address in `folder`.
    pub fn start(folder: &Path) -> Told<Self> {
        let address_file: PathBuf = folder.join("bare.addr");
        let us = env::current_exe().map_err(|e| e.to_string())?;
        let child = Command::new(us)
            .arg("bare")
            .arg(&address_file)
            .spawn()
            .map_err(|e| e.to_string())?;
        let mut peer = Self {
            child,
            address: String::new(),
            kept: kept_beside(&address_file),
        };
        let begun = Instant::now();
        while peer.address.is_empty() {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err("the bare server does not start".into());
            }
            thread::yield_now();
            peer.address = fs::read_to_string(&address_file).unwrap_or_default();
        }
        Ok(peer)
    }

    /// Removes what it has kept.
    pub fn clear(&self) -> Told<()> {
        match fs::remove_file(&self.kept) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kept_beside(address_file: &Path) -> PathBuf {
    address_file.with_extension("kept")
}

/// Serves until it is killed.
pub async fn serve(address_file: &Path) -> Told<()> {
    vfolder_tests::die_with_parent();
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let part = address_file.with_extension("part");
    fs::write(&part, address.to_string())
        .and_then(|()| fs::rename(&part, address_file))
        .map_err(|e| e.to_string())?;
    Server::builder()
        // As our services have them.
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_SIZE)
        .add_service(Bare {
            kept: kept_beside(address_file).into(),
        })
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .map_err(|e| e.to_string())
}

/// FileService's two streams, as generated code has them, around nothing.
#[derive(Clone)]
struct Bare {
    kept: Arc<Path>,
}

impl NamedService for Bare {
    const NAME: &'static str = "vfolder.v1.FileService";
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Messages = Pin<Box<dyn Stream<Item = Result<ReadFileResponse, Status>> + Send>>;

impl tower::Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Later<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let reads = request.uri().path().ends_with("/ReadFile");
        let own = self.clone();
        Box::pin(async move {
            Ok(if reads {
                Grpc::new(ProstCodec::default())
                    .server_streaming(own, request)
                    .await
            } else {
                Grpc::new(ProstCodec::default())
                    .client_streaming(own, request)
                    .await
            })
        })
    }
}

impl ServerStreamingService<ReadFileRequest> for Bare {
    type Response = ReadFileResponse;
    type ResponseStream = Messages;
    type Future = Later<Result<Response<Messages>, Status>>;

    fn call(&mut self, request: Request<ReadFileRequest>) -> Self::Future {
        let asked = request.into_inner();
        let chunk = usize::try_from(asked.chunk_size).unwrap_or(1).max(1);
        let data = Bytes::from(vec![0x5a; chunk]);
        let pieces = stream::unfold(asked.length, move |left| {
            let data = data.clone();
            async move {
                let length = usize::try_from(left).unwrap_or_default().min(data.len());
                let message = ReadFileResponse {
                    data: data.slice(..length),
                    ..ReadFileResponse::default()
                };
                (length > 0).then(|| (Ok(message), left - length as i64))
            }
        });
        Box::pin(async move { Ok(Response::new(Box::pin(pieces) as Messages)) })
    }
}

impl ClientStreamingService<WriteFileRequest> for Bare {
    type Response = WriteFileResponse;
    type Future = Later<Result<Response<WriteFileResponse>, Status>>;

    fn call(&mut self, request: Request<Streaming<WriteFileRequest>>) -> Self::Future {
        let path = Arc::clone(&self.kept);
        Box::pin(async move {
            let mut messages = request.into_inner();
            let (mut written, mut kept) = (0, None);
            while let Some(message) = messages.message().await? {
                if matches!(&message.to, Some(To::UploadId(id)) if id == KEPT) {
                    kept = Some(File::create(&path)?);
                }
                // At once, by this thread: nothing is faster, and nothing else is served meanwhile.
                if let Some(file) = &mut kept {
                    file.write_all(&message.data)?;
                }
                written += message.data.len() as i64;
            }
            Ok(Response::new(WriteFileResponse {
                written,
                ..WriteFileResponse::default()
            }))
        })
    }
}
