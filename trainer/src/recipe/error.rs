//! Why a recipe, or the file of sources that it refers to, was refused.

use std::path::{Path, PathBuf};

/// Why a recipe, or the file of sources that it refers to, was refused.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {reason}", path.display(), line.map_or(String::new(), |l| format!(":{l}")))]
pub struct RecipeError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, where one can be named.
    pub line: Option<usize>,
    /// Key, expected, found.
    pub reason: String,
}

impl RecipeError {
    /// An error of the file at `path`.
    pub(super) fn new(path: &Path, line: Option<usize>, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            reason: reason.into(),
        }
    }
}
