//! One storage-proxy: its channel, and whether it has proven itself.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use uuid::Uuid;
use vfolder_common::{
    error::{Reason, Refusal},
    server::{CONNECTION_WINDOW, FRAME_SIZE, STREAM_WINDOW},
    token::{SERVICE_HEADER, SharedSecret, TokenError},
};
use vfolder_proto::storage::{HandshakeRequest, storage_service_client::StorageServiceClient};

/// Of a response, as it is counted in HTTP/2. Theirs stay below 8 KiB; more than this breaks the connection, with all that
/// is under way on it.
const HEADERS: u32 = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A storage-proxy that is stopped or cut off is noticed within the sum of these.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// For calls that do no work on a tree.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a call to a storage-proxy failed.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It doesn't answer. The call may have been carried out.
    #[error("the storage-proxy at {address} does not answer: {message}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// Why.
        message: String,
    },
    /// Something answers that doesn't know the shared secret.
    #[error("what answers at {address} is not our storage-proxy: {message}")]
    Impostor {
        /// Where it is.
        address: String,
        /// Why.
        message: String,
    },
    /// It answers that it won't.
    #[error("{}", .0.message())]
    Refused(Box<Status>),
}

impl From<TokenError> for ProxyError {
    fn from(error: TokenError) -> Self {
        Self::Refused(Box::new(Status::internal(error.to_string())))
    }
}

/// A storage-proxy.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    channel: Channel,
    secret: SharedSecret,
    proven: AtomicBool,
    losses: AtomicU64,
}

impl Proxy {
    /// Connects when first used.
    pub fn new(
        address: &str,
        secret: SharedSecret,
        tls: Option<ClientTlsConfig>,
    ) -> Result<Self, tonic::transport::Error> {
        let mut endpoint = Endpoint::from_shared(address.to_owned())?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME_SIZE)
            .http2_max_header_list_size(HEADERS)
            .tcp_nodelay(true);
        if let Some(tls) = tls {
            endpoint = endpoint.tls_config(tls)?;
        }
        Ok(Self {
            address: address.to_owned(),
            channel: endpoint.connect_lazy(),
            secret,
            proven: AtomicBool::new(false),
            losses: AtomicU64::new(0),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How often it was lost after it had proven itself.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// The secret shared with it.
    #[must_use]
    pub fn secret(&self) -> &SharedSecret {
        &self.secret
    }

    /// The channel, once what answers there has proven that it knows the secret.
    pub async fn channel(&self) -> Result<Channel, ProxyError> {
        if !self.proven.load(Ordering::Acquire) {
            let nonce = Uuid::new_v4().to_string();
            let request = self.request(
                HandshakeRequest {
                    nonce: nonce.clone(),
                },
                Some(CALL_TIMEOUT),
            )?;
            let answer = StorageServiceClient::new(self.channel.clone())
                .handshake(request)
                .await
                .map_err(|s| self.failed(s))?
                .into_inner();
            self.secret
                .verify_proof(&answer.proof, &nonce)
                .map_err(|e| ProxyError::Impostor {
                    address: self.address.clone(),
                    message: e.to_string(),
                })?;
            self.proven.store(true, Ordering::Release);
            tracing::info!(
                address = self.address,
                instance = answer.instance_id,
                "storage-proxy connected"
            );
        }
        Ok(self.channel.clone())
    }

    /// A client on that channel.
    pub(super) async fn client(&self) -> Result<StorageServiceClient<Channel>, ProxyError> {
        Ok(StorageServiceClient::new(self.channel().await?))
    }

    /// A request that says who we are.
    pub(super) fn request<T>(
        &self,
        message: T,
        timeout: Option<Duration>,
    ) -> Result<Request<T>, ProxyError> {
        let mut request = Request::new(message);
        let token: MetadataValue<Ascii> = self
            .secret
            .sign_service_token()?
            .parse()
            .map_err(|_| TokenError::Invalid("not ASCII".into()))?;
        request.metadata_mut().insert(SERVICE_HEADER, token);
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        Ok(request)
    }

    /// What a status from a call means. After a call that failed for want of an answer, whoever answers next has to prove
    /// itself again. (Between calls the channel may redial without our knowing; beyond loopback it is TLS that makes sure
    /// who answers.)
    pub fn failed(&self, status: Status) -> ProxyError {
        match status.code() {
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded
                if Reason::of(&status).is_none() =>
            {
                self.lost();
                ProxyError::Unreachable {
                    address: self.address.clone(),
                    message: status.message().to_owned(),
                }
            }
            _ => ProxyError::Refused(Box::new(status)),
        }
    }

    /// The connection broke.
    pub fn lost(&self) {
        if self.proven.swap(false, Ordering::AcqRel) {
            self.losses.fetch_add(1, Ordering::AcqRel);
            tracing::warn!(address = self.address, "storage-proxy lost");
        }
    }
}

/// The refusal for a volume whose storage-proxy doesn't answer.
#[must_use]
pub fn unavailable(volume: &str, why: &str) -> Refusal {
    Refusal::new(
        Reason::VolumeUnavailable,
        format!("volume \"{volume}\" is not available now ({why}); try again later"),
    )
    .with_metadata("volume", volume)
    .with_retry(Duration::from_secs(2))
    .with_resource("vfolder.v1.Volume", volume, why)
}

impl ProxyError {
    /// As a client is told.
    #[must_use]
    pub fn into_refusal(self, volume: &str) -> Refusal {
        match self {
            Self::Unreachable { .. } => {
                tracing::debug!(volume, error = %self, "storage-proxy not reached");
                unavailable(volume, "its storage-proxy does not answer")
            }
            Self::Impostor { .. } => {
                tracing::error!(volume, error = %self, "storage-proxy not trusted");
                unavailable(volume, "its storage-proxy could not be verified")
            }
            Self::Refused(status) => match Reason::of(&status) {
                Some(Reason::VolumeUnavailable | Reason::VolumeNotFound) => {
                    unavailable(volume, status.message())
                }
                // What the user can do something about.
                Some(
                    reason @ (Reason::VolumeFull
                    | Reason::VolumeReadOnly
                    | Reason::QuotaExceeded
                    | Reason::SourceMissing
                    | Reason::TreeUnsupported
                    | Reason::IoError),
                ) => Refusal::new(reason, status.message()),
                // What only the operator can: a secret or clock that differs, a version that doesn't fit.
                _ => {
                    tracing::error!(volume, code = ?status.code(), message = status.message(), "the storage-proxy refuses the manager");
                    unavailable(
                        volume,
                        "its storage-proxy refuses the manager; its operator has to look at the logs",
                    )
                }
            },
        }
    }
}
