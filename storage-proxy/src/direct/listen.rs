//! Listening, connection by connection.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{Request, StatusCode, header};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt as _, service_fn};
use vfolder_common::server::{CONNECTION_WINDOW, FRAME_SIZE, ListenError, STREAM_WINDOW};

use super::{
    DirectSection,
    attended::Attended,
    busy::{Answer, Busy},
    tls,
};

/// When to try again to accept where it failed for want of descriptors or memory.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// So many times as long as a transfer may stand still: the transfer has been ended by then, and its caller could have heard.
const STALLS: u32 = 2;
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
    /// Its certificate or key.
    #[error("[direct.tls]: {0}")]
    Tls(io::Error),
    /// Grants would travel in the clear to where the URL says, and find nobody who speaks so.
    #[error(
        "direct.url = \"{0}\" is not https, but [direct.tls] is set: say https://, or, if something before us ends TLS and speaks in the clear to us, leave [direct.tls] away"
    )]
    Url(String),
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
        if let Some(url) = &section.url
            && section.tls.is_some()
            && !url.starts_with("https://")
        {
            return Err(DirectError::Url(url.clone()));
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
            begin: self.section.header_timeout,
            idle: self.idle,
            app,
            stop: stop.clone(),
        };
        let mut running = JoinSet::new();
        loop {
            let next = accept(&self.listener, &places);
            tokio::select! {
                (stream, place) = next => {
                    let (connections, tls) = (connections.clone(), self.tls.clone());
                    running.spawn(async move {
                        connections.begin(stream, tls).await;
                        drop(place);
                    });
                }
                Some(_) = running.join_next() => {}
                () = stop.cancelled() => break,
            }
        }
        drop(self.listener);
        while running.join_next().await.is_some() {}
    }
}

/// How connections are served.
#[derive(Clone)]
struct Connections {
    builder: auto::Builder<TokioExecutor>,
    begin: Duration,
    idle: Duration,
    app: Router,
    stop: CancellationToken,
}

impl Connections {
    async fn begin(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let Some(tls) = tls else {
            return self.serve(stream).await;
        };
        match timeout(self.begin, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    /// Until the peer hangs up, or nothing has been under way for a while, or we stop.
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (busy, app) = (Busy::new(), self.app);
        let counting = busy.clone();
        let service = service_fn(move |request| {
            let under_way = is_work(&request).then(|| counting.begin());
            let answer = app.clone().oneshot(request);
            async move {
                let mut answer = answer.await?;
                if let StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED = answer.status() {
                    // axum has counted their empty bodies, which RFC 9110 §8.6 forbids to tell.
                    answer.headers_mut().remove(header::CONTENT_LENGTH);
                }
                Ok::<_, Infallible>(match under_way {
                    Some(under_way) => answer.map(|body| Body::new(Answer::new(body, under_way))),
                    None => answer,
                })
            }
        });
        let io = TokioIo::new(Attended::new(stream, self.begin, self.idle));
        let mut connection = pin!(
            self.builder
                .serve_connection(io, TowerToHyperService::new(service))
        );
        let stalled = busy.stalled_for(self.idle * STALLS);
        let ending = async {
            let stopped = tokio::select! {
                ended = connection.as_mut() => return ended,
                () = self.stop.cancelled() => true,
                () = busy.idle_for(self.idle) => false,
            };
            connection.as_mut().graceful_shutdown();
            if stopped {
                return connection.await;
            }
            // What is not counted as under way would keep it open: it has no claim to the place.
            match timeout(self.idle, connection).await {
                Ok(ended) => ended,
                Err(_) => Ok(()),
            }
        };
        let ended = tokio::select! {
            ended = ending => ended,
            () = stalled => Err("nobody takes an answer".into()),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a direct connection broke off");
        }
    }
}

/// Whether a request keeps its connection open. Those that need no grant don't: Health/Watch never ends.
fn is_work<T>(request: &Request<T>) -> bool {
    let path = request.uri().path();
    !path.starts_with("/grpc.health.") && !path.starts_with("/grpc.reflection.")
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
