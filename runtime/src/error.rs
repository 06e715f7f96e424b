//! The one error type of the crate.

use std::path::Path;

/// What [`Error`] is about, for callers that react differently to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller asked for something that cannot be: an unknown engine, a text over the limit.
    InvalidArgument,
    /// A file could not be opened or read.
    Io,
    /// The bundle is damaged or contradicts itself.
    InvalidModel,
    /// The bundle, or a named engine, needs something that this build or machine does not have.
    Unsupported,
    /// The engine failed while it loaded or ran the graph.
    Engine,
    /// The system refused the memory for a copy of the weights. Smaller allocations that fail end
    /// the process, as in Rust at large.
    OutOfMemory,
}

/// Why an operation failed.
///
/// The message names the file, tensor or field, what was expected, what was found and what to do.
/// No verdict is not a safe verdict: treat text whose check failed as unchecked.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Repr>);

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("{message}")]
    Plain { kind: ErrorKind, message: String },
    #[error("{path}: cannot {action}: {source}")]
    Io {
        path: String,
        action: &'static str,
        source: std::io::Error,
    },
}

impl Error {
    /// Makes an error of the given kind; for implementers of [`Engine`](crate::Engine).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Repr::Plain { kind, message }))
    }

    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Repr::Plain { kind, .. } => kind,
            Repr::Io { .. } => ErrorKind::Io,
        }
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn model(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidModel, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        let path = path.display().to_string();
        Self(Box::new(Repr::Io {
            path,
            action,
            source,
        }))
    }
}
