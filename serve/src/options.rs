//! How a server is set up.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::policy::PolicyOverrides;

/// Why a server cannot start, or a policy cannot be taken. The message names the file or the
/// option, what was expected, what was found and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServeError(String);

impl ServeError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl From<duoguard::Error> for ServeError {
    fn from(error: duoguard::Error) -> Self {
        Self(error.to_string())
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP port; 0 takes a free one.
    Tcp(SocketAddr),
    /// A unix socket. A socket that is left from before is replaced; any other file is not.
    Unix(PathBuf),
}

/// A certificate and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those between it and its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What one client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Texts in one request.
    pub texts: usize,
    /// Tokens of one text.
    pub tokens: usize,
    /// Texts that wait or are worked on; beyond them the answer is 429.
    pub queue: usize,
    /// How long a text may wait and be worked on, and how long a body may take to come.
    pub timeout: Duration,
    /// How long a connection may take to send a request's head, which is also how long it may
    /// stay idle.
    pub head_timeout: Duration,
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// How long requests in flight may take to finish when the server is asked to stop.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            texts: 128,
            tokens: 1 << 15,
            queue: 256,
            timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(30),
            connections: 4096,
            shutdown: Duration::from_secs(30),
        }
    }
}

/// A server behind the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamOptions {
    /// Its URL, with or without `/v1` at the end.
    pub url: String,
    /// A file with the key that it is sent in place of the client's.
    pub key: Option<PathBuf>,
    /// How long it may take until its answer begins.
    pub timeout: Duration,
}

/// All of a server's options.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where it listens.
    pub listen: Listen,
    /// TLS, if it speaks it.
    pub tls: Option<Tls>,
    /// A file with the hashes of the API keys; without, everybody may ask.
    pub keys: Option<PathBuf>,
    /// The policy's file; without, the model's own thresholds hold and what is unsafe is blocked.
    pub policy: Option<PathBuf>,
    /// What holds in spite of the policy's file.
    pub overrides: PolicyOverrides,
    /// The server behind the proxy, if it is one.
    pub upstream: Option<UpstreamOptions>,
    /// Worker threads, each with a session of its own.
    pub workers: NonZeroUsize,
    /// What one client may ask for.
    pub limits: Limits,
}

impl Default for ServeOptions {
    /// On 127.0.0.1:8477, a worker for each core.
    fn default() -> Self {
        Self {
            listen: Listen::Tcp((Ipv4Addr::LOCALHOST, 8477).into()),
            tls: None,
            keys: None,
            policy: None,
            overrides: PolicyOverrides::default(),
            upstream: None,
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            limits: Limits::default(),
        }
    }
}
