//! Why a measurement could not be made.

use std::path::{Path, PathBuf};

/// A result whose error is [`EvalError`].
pub type Result<T> = std::result::Result<T, EvalError>;

/// Why a measurement could not be made. A benchmark is measured whole or not at all: no row is ever
/// left out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A file could not be opened, read or written.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A benchmark file is not in the layout of the authors' repository.
    #[error("{}: {place}: {message}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// The line, or the element of a JSON array counted from 0.
        place: String,
        /// The field, what was expected and what was found.
        message: String,
    },
    /// A figure could not be drawn.
    #[error("cannot draw the figure {figure:?}: {cause}")]
    Figure {
        /// The figure's title.
        figure: String,
        /// What the drawing library answered.
        cause: String,
    },
    /// The guard gave no usable verdict on a row.
    #[error("{benchmark} ({language}), row {row}: {cause}")]
    Guard {
        /// The benchmark's name.
        benchmark: &'static str,
        /// The benchmark's language.
        language: String,
        /// The row, counted from 0.
        row: usize,
        /// What went wrong.
        cause: String,
    },
}

impl EvalError {
    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        let path = path.to_owned();
        Self::Io {
            path,
            action,
            source,
        }
    }

    /// The guard failed on a row of a benchmark in a language.
    pub(crate) fn guard(
        (benchmark, language): (&'static str, &str),
        row: usize,
        cause: duoguard::Error,
    ) -> Self {
        Self::Guard {
            benchmark,
            language: language.to_owned(),
            row,
            cause: cause.to_string(),
        }
    }

    pub(crate) fn data(path: &Path, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Data {
            path: path.to_owned(),
            place: place.into(),
            message: message.into(),
        }
    }
}
