//! A bundle: the four files of a model, from a folder or from memory, verified.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::engine::Weights;
use crate::error::{Error, Result};
use crate::manifest::Manifest;

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const GRAPH: &str = "model.onnx";
pub(crate) const WEIGHTS: &str = "weights.data";
/// The files of a bundle.
pub const BUNDLE_FILES: [&str; 4] = [MANIFEST, TOKENIZER, GRAPH, WEIGHTS];
pub(crate) const HASHED_FILES: [&str; 3] = [TOKENIZER, GRAPH, WEIGHTS];

/// A bundle whose files are present, within their size limits and of the expected SHA-256.
#[derive(Debug)]
pub struct Bundle {
    manifest: Manifest,
    files: BTreeMap<&'static str, Vec<u8>>,
    weights: Arc<Weights>,
}

impl Bundle {
    /// Opens the bundle in the folder `path`.
    pub fn open(_path: impl AsRef<Path>) -> Result<Self> {
        Err(Error::unsupported("not written yet"))
    }

    /// Takes a bundle from (file name, contents) pairs; names other than [`BUNDLE_FILES`] are ignored.
    pub fn from_memory(_files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self> {
        Err(Error::unsupported("not written yet"))
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bytes of one of [`BUNDLE_FILES`]; empty for any other name.
    pub fn file(&self, name: &str) -> &[u8] {
        if name == WEIGHTS {
            &self.weights
        } else {
            self.files.get(name).map_or(&[], Vec::as_slice)
        }
    }
}
