//! Sockets, and TLS on them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::options::{Listen, ServeError, Tls};

/// A connection.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A socket that is listened on.
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    pub(crate) async fn bind(listen: &Listen) -> Result<Self, ServeError> {
        let failed = |place: String, cause: io::Error| {
            ServeError::new(format!("cannot listen on {place}: {cause}"))
        };
        match listen {
            Listen::Tcp(address) => {
                let bound = TcpListener::bind(address).await;
                Ok(Self::Tcp(
                    bound.map_err(|cause| failed(address.to_string(), cause))?,
                ))
            }
            #[cfg(unix)]
            Listen::Unix(path) => {
                remove_left_over(path)
                    .map_err(|cause| failed(path.display().to_string(), cause))?;
                let bound = UnixListener::bind(path);
                Ok(Self::Unix(bound.map_err(|cause| {
                    failed(path.display().to_string(), cause)
                })?))
            }
            #[cfg(not(unix))]
            Listen::Unix(path) => Err(failed(
                path.display().to_string(),
                io::ErrorKind::Unsupported.into(),
            )),
        }
    }

    /// Where it listens, as a client writes it.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map(|a| a.to_string())
                .unwrap_or_default(),
            #[cfg(unix)]
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|a| a.as_pathname());
                path.map(|path| format!("unix:{}", path.display()))
                    .unwrap_or_default()
            }
        }
    }

    /// Whether only this machine reaches it.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(listener) => listener.local_addr().is_ok_and(|a| a.ip().is_loopback()),
            #[cfg(unix)]
            Self::Unix(_) => true,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Connection>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Tokens are small, and each is to be seen at once.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Removes a socket on which nobody listens any more.
#[cfg(unix)]
fn remove_left_over(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|d| d.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(_) => std::fs::remove_file(path),
    }
}

/// What speaks TLS with a certificate.
pub(crate) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ServeError> {
    let failed = |path: &Path, what: &str, cause: &dyn std::fmt::Display| {
        ServeError::new(format!(
            "{}: expected {what} in PEM: {cause}",
            path.display()
        ))
    };
    let certificates = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| failed(&tls.certificate, "certificates", &cause))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|cause| failed(&tls.key, "a private key", &cause))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|cause| failed(&tls.certificate, "a certificate that fits its key", &cause))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
