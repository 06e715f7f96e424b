//! A model: a bundle made ready to run.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use tokenizers::Tokenizer;

use crate::bundle::{Bundle, TOKENIZER};
use crate::engine::{AutoEngine, Graph, choose_auto};
use crate::error::Result;
use crate::manifest::Manifest;
use crate::session::{Session, SessionOptions};
use crate::text::tokenize;
use crate::text::window::windows;

/// A model, immutable and shared: clones are cheap and may be used from any thread at once.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    manifest: Manifest,
    tokenizer: Tokenizer,
    graph: Graph,
}

impl Model {
    /// Opens the bundle in the folder `path`. See [`Bundle::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_bundle(Bundle::open(path)?)
    }

    /// Makes a model of a bundle.
    pub fn from_bundle(bundle: Bundle) -> Result<Self> {
        let tokenizer = tokenize::open(
            bundle.file(TOKENIZER),
            bundle.manifest().architecture.vocabulary,
        )?;
        let (manifest, graph) = bundle.into_parts();
        graph.validate(Some(manifest.categories.len()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                manifest,
                tokenizer,
                graph,
            }),
        })
    }

    /// The bundle's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    /// The names of the categories, in the order of [`Verdict::scores`](crate::Verdict::scores).
    pub fn categories(&self) -> &[String] {
        &self.inner.manifest.categories
    }

    /// The token ids of a text. No special tokens are added, and none are recognised in the text.
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>> {
        tokenize::encode(
            &self.inner.tokenizer,
            text,
            self.manifest().architecture.vocabulary,
        )
    }

    /// The windows that cover the tokens of a text, each as the network takes it: with the model's prefix before it.
    pub fn windows(&self, tokens: &[u32]) -> Vec<Vec<u32>> {
        let manifest = self.manifest();
        windows(tokens.len(), manifest.limits)
            .map(|range| [&manifest.prefix_tokens[..], &tokens[range]].concat())
            .collect()
    }

    /// What [`EngineChoice::Auto`](crate::EngineChoice::Auto) takes for this model, and why.
    ///
    /// Where there is a real GPU, the first call for a bundle, a machine and a number of threads measures both kinds of engine; what it
    /// finds is kept in `engine-speed.json` beside the bundle, or in the folder `duoguard` of the user's caches if that is read-only.
    pub fn auto_engine(&self, threads: NonZeroUsize) -> Result<AutoEngine> {
        choose_auto(&self.inner.graph, threads)
    }

    /// What the engine `wgpu` asks of a GPU to check one window of `tokens` tokens; needs no GPU.
    #[cfg(feature = "wgpu")]
    pub fn forward_cost(&self, tokens: usize) -> Result<crate::ForwardCost> {
        crate::engine::forward_cost(&self.inner.graph, 1, tokens)
    }

    /// Opens the model on an engine.
    ///
    /// Sessions of one model share its weights as far as the engine can: `rten` sessions share everything that they do not
    /// change, `onnxruntime` sessions have a copy each.
    pub fn session(&self, options: &SessionOptions) -> Result<Session> {
        let engine = self.inner.graph.open(&options.engine, options.threads)?;
        Session::new(self.clone(), engine)
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.manifest().name)
            .finish_non_exhaustive()
    }
}
