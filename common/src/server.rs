//! Listening, in the clear on loopback, with TLS elsewhere.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tokio::net::TcpListener;
use tonic::transport::{
    Certificate, ClientTlsConfig, Identity, ServerTlsConfig, server::TcpIncoming,
};

/// HTTP/2: bytes of one stream that may be on their way or wait to be read. A transfer whose other end stands still holds
/// so many, and no more.
pub const STREAM_WINDOW: u32 = 1 << 20;
/// HTTP/2: the same of all streams of a connection. Out of reach, on purpose: were it near the sum of a few streams' windows,
/// as adaptive windows are, those who stand still would hold up everybody else on the connection. How many streams there
/// are is limited elsewhere (`[transfers]` of the storage-proxy).
pub const CONNECTION_WINDOW: u32 = 1 << 30;
/// HTTP/2: the largest frame that we take. Larger ones mean less work for each byte; 16 KiB is the default.
pub const FRAME_SIZE: u32 = 128 * 1024;
/// A TLS handshake takes no longer: until then nobody has shown who he is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A certificate, its key and the authorities that the other side's certificate must come from. PEM files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Our certificate chain.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// The authority whose certificates we accept. For a server: set, every client must show one (mTLS). A client needs
    /// it.
    pub ca_file: Option<PathBuf>,
}

/// Why a service can't listen or connect as configured.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Unencrypted beyond loopback.
    #[error(
        "listen = \"{0}\" is not loopback and not secured: set cert_file and key_file in [tls] (a storage-proxy needs ca_file too, so that only managers get in), or say insecure = true"
    )]
    Clear(SocketAddr),
    /// A file of `[tls]`.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// The socket.
    #[error("can't listen on {0}: {1}")]
    Bind(SocketAddr, io::Error),
    /// The file that tells the address.
    #[error("can't write the address to {0}: {1}")]
    Announce(PathBuf, io::Error),
}

/// Refuses to serve unencrypted beyond loopback unless told that this is meant.
pub fn check_clear(
    address: SocketAddr,
    tls: Option<&TlsFiles>,
    insecure: bool,
) -> Result<(), ListenError> {
    if address.ip().is_loopback() || tls.is_some() || insecure {
        Ok(())
    } else {
        Err(ListenError::Clear(address))
    }
}

/// Binds the socket. Port 0 takes a free one; the address returned has it.
pub async fn bind(address: SocketAddr) -> Result<(TcpIncoming, SocketAddr), ListenError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| ListenError::Bind(address, e))?;
    let bound = listener
        .local_addr()
        .map_err(|e| ListenError::Bind(address, e))?;
    Ok((TcpIncoming::from(listener).with_nodelay(Some(true)), bound))
}

/// Writes the bound address to a file, whole or not at all, for whoever started us with port 0.
pub fn announce(file: &Path, address: SocketAddr) -> Result<(), ListenError> {
    let failed = |e| ListenError::Announce(file.to_owned(), e);
    let part = file.with_extension("part");
    fs::write(&part, address.to_string()).map_err(failed)?;
    fs::rename(&part, file).map_err(failed)
}

/// TLS as a server.
pub fn server_tls(files: &TlsFiles) -> Result<ServerTlsConfig, ListenError> {
    let tls = ServerTlsConfig::new().timeout(HANDSHAKE);
    let mut tls = tls.identity(identity(files)?);
    if let Some(ca) = &files.ca_file {
        tls = tls.client_ca_root(Certificate::from_pem(read(ca)?));
    }
    Ok(tls)
}

/// TLS as a client that shows its certificate.
pub fn client_tls(files: &TlsFiles) -> Result<ClientTlsConfig, ListenError> {
    let mut tls = ClientTlsConfig::new().identity(identity(files)?);
    if let Some(ca) = &files.ca_file {
        tls = tls.ca_certificate(Certificate::from_pem(read(ca)?));
    }
    Ok(tls)
}

fn identity(files: &TlsFiles) -> Result<Identity, ListenError> {
    Ok(Identity::from_pem(
        read(&files.cert_file)?,
        read(&files.key_file)?,
    ))
}

fn read(file: &Path) -> Result<Vec<u8>, ListenError> {
    fs::read(file).map_err(|e| ListenError::File(file.to_owned(), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_clear_only_loopback_is_served_unless_told() {
        let loopback: SocketAddr = ([127, 0, 0, 1], 1).into();
        let anywhere: SocketAddr = ([0, 0, 0, 0], 1).into();
        assert!(check_clear(loopback, None, false).is_ok());
        assert!(check_clear(anywhere, None, true).is_ok());
        assert!(matches!(
            check_clear(anywhere, None, false),
            Err(ListenError::Clear(_))
        ));
    }
}
