//! The one error type of the crate.

use std::path::{Path, PathBuf};

/// Why an export failed. Nothing of the bundle was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A file or folder could not be read, written or renamed.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The checkpoint is damaged, contradicts itself, or needs something that is not supported.
    #[error("{}: {message}", path.display())]
    Checkpoint {
        /// The file of the checkpoint.
        path: PathBuf,
        /// The field or tensor, what was expected and what was found.
        message: String,
    },
    /// A line of the calibration file cannot be used.
    #[error("{}:{line}: {message}", path.display())]
    Calibration {
        /// The calibration file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The exported graph does not compute what the checkpoint does.
    #[error(
        "the logits of {computed} differ from those of {expected} by {error:e}, more than the {tolerance:e} allowed (input of {tokens} tokens); the bundle would not be the checkpoint's model: report this, or export with --force"
    )]
    Parity {
        /// What was judged.
        computed: &'static str,
        /// What judged it.
        expected: &'static str,
        /// The largest absolute difference found.
        error: f64,
        /// The largest that is allowed.
        tolerance: f64,
        /// The length of the input with the largest difference.
        tokens: usize,
    },
    /// A layer of the network could not be run by itself, to be measured.
    #[error("cannot measure the network layer by layer: {message}; report this")]
    Layer {
        /// Which layer, and why.
        message: String,
    },
    /// Quantising changed the guard by more than the tolerance.
    #[error(
        "quantised as {scheme}, the guard changes by more than the tolerance: {}; choose another scheme (--quantize auto finds one), or write the bundle with its failed certificate with --force",
        violations.join("; ")
    )]
    Certificate {
        /// The scheme's name in the manifest.
        scheme: String,
        /// What changed by too much.
        violations: Vec<String>,
    },
    /// The place for the bundle is taken.
    #[error("{}: {message}", path.display())]
    Destination {
        /// The folder that was to become the bundle.
        path: PathBuf,
        /// Why it cannot, and what to do.
        message: String,
    },
    /// An option has an impossible value.
    #[error("{0}")]
    Option(String),
    /// The runtime refused the bundle or could not run it.
    #[error("the runtime cannot use the exported bundle: {0}")]
    Runtime(#[from] duoguard::Error),
}

impl ExportError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            path,
            action,
            source,
        }
    }

    pub(crate) fn checkpoint(path: &Path, message: impl Into<String>) -> Self {
        Self::Checkpoint {
            path: path.to_owned(),
            message: message.into(),
        }
    }
}
