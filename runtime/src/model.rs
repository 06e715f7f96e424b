//! A model: a bundle made ready to run.

use std::path::Path;
use std::sync::Arc;

use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::session::{Session, SessionOptions};

/// A model, immutable and shared: clones are cheap and may be used from any thread at once.
#[derive(Clone, Debug)]
pub struct Model {
    inner: Arc<Bundle>,
}

impl Model {
    /// Opens the bundle in the folder `path`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_bundle(Bundle::open(path)?)
    }

    /// Makes a model of a bundle.
    pub fn from_bundle(bundle: Bundle) -> Result<Self> {
        Ok(Self {
            inner: Arc::new(bundle),
        })
    }

    /// The bundle's manifest.
    pub fn manifest(&self) -> &Manifest {
        self.inner.manifest()
    }

    /// The names of the categories, in the order of [`Verdict::scores`](crate::Verdict::scores).
    pub fn categories(&self) -> &[String] {
        &self.manifest().categories
    }

    /// The token ids of a text; no special tokens are added.
    pub fn tokenize(&self, _text: &str) -> Result<Vec<u32>> {
        Err(Error::unsupported("not written yet"))
    }

    /// Opens the model on an engine.
    pub fn session(&self, _options: &SessionOptions) -> Result<Session> {
        Err(Error::unsupported("not written yet"))
    }
}
