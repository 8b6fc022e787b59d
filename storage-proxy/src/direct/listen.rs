//! Listening, connection by connection.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use vfolder_common::server::{CONNECTION_WINDOW, FRAME_SIZE, ListenError, STREAM_WINDOW};

use super::{DirectSection, attended::Attended, tls};

/// When to try again to accept where it failed for want of descriptors or memory.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long a peer of HTTP/2 may take to say that it is there.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why it can't listen as configured.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    /// Unencrypted beyond loopback.
    #[error(
        "direct.listen = \"{0}\" is not loopback and not secured: set cert_file and key_file in [direct.tls], or say insecure = true in [direct]"
    )]
    Clear(SocketAddr),
    /// Grants would travel in the clear to where the URL says.
    #[error("[direct.tls]: {0}")]
    Tls(io::Error),
    /// The socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// The socket, bound and not yet served.
pub struct Direct {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    section: DirectSection,
    idle: Duration,
    url: String,
}

impl Direct {
    /// Binds the socket. `idle`: how long somebody may take nothing of what he is sent.
    ///
    /// # Errors
    /// See [`DirectError`].
    pub async fn bind(section: DirectSection, idle: Duration) -> Result<Self, DirectError> {
        let address = section.listen;
        if !address.ip().is_loopback() && section.tls.is_none() && !section.insecure {
            return Err(DirectError::Clear(address));
        }
        let tls = section.tls.as_ref().map(tls::acceptor).transpose();
        let tls = tls.map_err(DirectError::Tls)?;
        let bound = |error| ListenError::Bind(address, error);
        let listener = TcpListener::bind(address).await.map_err(bound)?;
        let address = listener.local_addr().map_err(bound)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = section.url.clone();
        let url = url.unwrap_or_else(|| format!("{scheme}://{address}"));
        tracing::info!(%address, url, "listening for bearers of grants");
        Ok(Self {
            listener,
            tls,
            section,
            idle,
            url,
        })
    }

    /// What callers are told.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Serves `app` until `stop`, and then until what is under way has ended, or whoever waits loses patience.
    pub async fn serve(self, app: Router, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.section.max_connections));
        let connections = Connections {
            builder: builder(&self.section),
            graceful: GracefulShutdown::new(),
            service: TowerToHyperService::new(app),
            begin: self.section.header_timeout,
            idle: self.idle,
            tls: self.tls,
        };
        let mut running = JoinSet::new();
        loop {
            let next = accept(&self.listener, &places);
            tokio::select! {
                (stream, place) = next => connections.serve(stream, place, &mut running),
                Some(_) = running.join_next() => {}
                () = stop.cancelled() => break,
            }
        }
        drop(self.listener);
        connections.graceful.shutdown().await;
    }
}

/// How connections are served.
struct Connections {
    builder: auto::Builder<TokioExecutor>,
    graceful: GracefulShutdown,
    service: TowerToHyperService<Router>,
    begin: Duration,
    idle: Duration,
    tls: Option<TlsAcceptor>,
}

impl Connections {
    /// Dropping `running` ends it.
    fn serve(&self, stream: TcpStream, place: OwnedSemaphorePermit, running: &mut JoinSet<()>) {
        let (builder, watcher) = (self.builder.clone(), self.graceful.watcher());
        let (service, tls) = (self.service.clone(), self.tls.clone());
        let (begin, idle) = (self.begin, self.idle);
        running.spawn(async move {
            let _place = place;
            let served = match tls {
                None => {
                    let io = TokioIo::new(Attended::new(stream, begin, idle));
                    let connection = builder.serve_connection(io, service).into_owned();
                    watcher.watch(connection).await
                }
                Some(tls) => {
                    let stream = match timeout(begin, tls.accept(stream)).await {
                        Ok(Ok(stream)) => stream,
                        Ok(Err(error)) => {
                            tracing::debug!(%error, "TLS handshake failed");
                            return;
                        }
                        Err(_) => return,
                    };
                    let io = TokioIo::new(Attended::new(stream, begin, idle));
                    let connection = builder.serve_connection(io, service).into_owned();
                    watcher.watch(connection).await
                }
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a direct connection broke off");
            }
        });
    }
}

fn builder(section: &DirectSection) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let header_bytes = usize::try_from(section.max_header_bytes).unwrap_or(usize::MAX);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(section.header_timeout)
        .max_buf_size(header_bytes)
        // Who has said all he has to say still gets his answer.
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(section.max_streams)
        .max_header_list_size(section.max_header_bytes)
        .keep_alive_interval(section.keepalive)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_SIZE);
    builder
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY");
                }
                return (stream, place);
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a direct connection");
                drop(place);
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}
