//! A model: a bundle made ready to run.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::bundle::files::TOKENIZER;
use crate::bundle::{Bundle, Manifest};
#[cfg(feature = "wgpu")]
use crate::engine::{self, ForwardCost};
use crate::engine::{AutoEngine, choose_auto};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::options::ModelOptions;
use crate::stream_graph::StreamGraph;
use crate::text::MAX_TEXT_BYTES;
use crate::text::normalize::views;
use crate::text::tokenize::{self, TextTokenizer};
use crate::text::window::{LastWindow, windows};
use crate::verdict::ViewKind;

/// A model, immutable and shared: clones are cheap and may be used from any thread at once.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    manifest: Manifest,
    tokenizer: TextTokenizer,
    graph: Graph,
    stream: Option<StreamGraph>,
}

impl Model {
    /// Opens the bundle in the folder `path`. See [`Bundle::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_bundle(Bundle::open(path)?)
    }

    /// Opens the bundle in the folder `path` as the options say. See [`Bundle::open_with`].
    pub fn open_with(path: impl AsRef<Path>, options: &ModelOptions) -> Result<Self> {
        Self::from_bundle(Bundle::open_with(path, options)?)
    }

    /// Makes a model of a bundle.
    pub fn from_bundle(bundle: Bundle) -> Result<Self> {
        let tokenizer = tokenize::open(
            bundle.file(TOKENIZER),
            bundle.manifest().architecture.vocabulary,
        )?;
        let graph = Graph::of_bundle(&bundle);
        graph.validate(Some(bundle.manifest().outputs()))?;
        let stream = StreamGraph::of_bundle(&bundle, &graph)?;
        Ok(Self {
            inner: Arc::new(Inner {
                manifest: bundle.into_manifest(),
                tokenizer,
                graph,
                stream,
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

    /// The token ids of a text of at most [`MAX_TEXT_BYTES`] bytes. No special tokens are added,
    /// and none are recognised in the text.
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>> {
        check_length(text, "tokenised")?;
        let _text = self.keeps_text(false);
        self.encode(text)
    }

    /// The token ids of a text of any length.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let vocabulary = self.manifest().architecture.vocabulary;
        self.inner.tokenizer.encode(text, vocabulary)
    }

    /// Says whether the text that is tokenised next may still be known when what this returns is
    /// dropped: the looks at a stream go on from it, and nobody else keeps a text.
    pub(crate) fn keeps_text(&self, keeps: bool) -> TextGuard<'_> {
        TextGuard((!keeps).then_some(self))
    }

    /// About how many tokens a text in UTF-8 takes, counted no further than `most`.
    pub(crate) fn count_tokens(&self, text: &[u8], most: usize) -> usize {
        self.inner.tokenizer.count(text, most)
    }

    /// The bytes of a text that a range of its tokens covers. They need not begin or end between
    /// characters.
    pub(crate) fn token_span(&self, text: &str, tokens: Range<usize>) -> Result<Range<usize>> {
        self.inner.tokenizer.span(text, tokens)
    }

    /// Whether two handles are of one opened model.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// How else a text of at most [`MAX_TEXT_BYTES`] bytes reads: without its disguises, and what
    /// it holds in encoded form. Empty for ordinary text. These are the views that
    /// [`Session::check`](crate::Session::check) scores besides the text itself.
    ///
    /// # Errors
    /// A longer text.
    pub fn views(&self, text: &str) -> Result<Vec<(ViewKind, String)>> {
        check_length(text, "read")?;
        let views = views(text, &|text, most| self.count_tokens(text, most));
        let normalized = views.normalized.iter().map(|v| (ViewKind::Normalized, v));
        let decoded = views.decoded.iter().map(|v| (ViewKind::Decoded, v));
        let all = normalized.chain(decoded);
        Ok(all
            .map(|(kind, view)| (kind, view.text().to_owned()))
            .collect())
    }

    /// The windows that cover the tokens of a text, each as the network takes it: with the model's
    /// prefix before it and its suffix behind it.
    pub fn windows(&self, tokens: &[u32]) -> Vec<Vec<u32>> {
        windows(tokens.len(), self.manifest().limits, LastWindow::Full)
            .map(|range| self.window(&tokens[range]).into_owned())
            .collect()
    }

    /// A window of a text's tokens as the network takes it.
    pub(crate) fn window<'a>(&self, tokens: &'a [u32]) -> Cow<'a, [u32]> {
        let manifest = self.manifest();
        match (&manifest.prefix_tokens[..], &manifest.suffix_tokens[..]) {
            ([], []) => Cow::Borrowed(tokens),
            (prefix, suffix) => Cow::Owned([prefix, tokens, suffix].concat()),
        }
    }

    /// What [`EngineChoice::Auto`](crate::EngineChoice::Auto) takes for this model, and why.
    ///
    /// Where there is a real GPU, the first call for a bundle, a machine and a number of threads
    /// measures both kinds of engine; what it finds is kept in `duoguard/engine-speed.json` among
    /// the user's caches. Nothing is written into the bundle's folder.
    pub fn auto_engine(&self, threads: NonZeroUsize) -> Result<AutoEngine> {
        choose_auto(self.graph(), threads)
    }

    /// What the engine `wgpu` asks of a GPU to check one window of `tokens` tokens; needs no GPU.
    #[cfg(feature = "wgpu")]
    pub fn forward_cost(&self, tokens: usize) -> Result<ForwardCost> {
        engine::forward_cost(self.graph(), 1, tokens)
    }

    /// The network.
    pub(crate) fn graph(&self) -> &Graph {
        &self.inner.graph
    }

    /// The graph for streams, if the bundle has one.
    pub(crate) fn stream_graph(&self) -> Option<&StreamGraph> {
        self.inner.stream.as_ref()
    }
}

/// Makes the tokenizer forget the latest text when it is dropped, if it holds its model.
pub(crate) struct TextGuard<'a>(Option<&'a Model>);

impl Drop for TextGuard<'_> {
    fn drop(&mut self) {
        if let Some(model) = self.0 {
            model.inner.tokenizer.forget_text();
        }
    }
}

fn check_length(text: &str, done: &str) -> Result<()> {
    match text.len() {
        0..=MAX_TEXT_BYTES => Ok(()),
        length => Err(Error::argument(format!(
            "text of {length} bytes; at most {MAX_TEXT_BYTES} are {done} in one call: take it in \
             parts"
        ))),
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.manifest().name)
            .finish_non_exhaustive()
    }
}
