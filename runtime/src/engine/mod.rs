//! What computes: the engines, in one table.

mod auto;
mod cache;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod rten;
#[cfg(feature = "wgpu")]
mod speed;
mod weights;
#[cfg(feature = "wgpu")]
mod wgpu;

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;

pub use self::auto::AutoEngine;
pub(crate) use self::auto::choose as choose_auto;
pub(crate) use self::cache::{KeyValues, Past, StreamEngine};
pub(crate) use self::rten::Loaded as LoadedRten;
pub use self::weights::Weights;
#[cfg(feature = "wgpu")]
pub use self::wgpu::{ForwardCost, GpuAdapter, gpu_adapters};
#[cfg(feature = "wgpu")]
pub(crate) use self::wgpu::{Resident as ResidentWgpu, forward_cost};
use crate::error::{Error, ErrorKind, Result};
pub use crate::graph::Graph;
use crate::graph::StreamGraph;

/// The most threads that one session may ask for: more than any machine has use for, and a typing
/// error beyond it starts none.
pub const MAX_THREADS: usize = 1024;

/// Token ids for one run: a rectangle, never padded.
#[derive(Clone, Copy, Debug)]
pub struct TokenBatch<'a> {
    /// The ids, row after row; `rows * tokens` of them.
    pub ids: &'a [u32],
    /// Number of sequences.
    pub rows: usize,
    /// Length of every sequence.
    pub tokens: usize,
}

impl<'a> TokenBatch<'a> {
    /// One sequence.
    pub fn one(ids: &'a [u32]) -> Self {
        Self {
            ids,
            rows: 1,
            tokens: ids.len(),
        }
    }
}

/// Something that runs a graph. Used by one thread at a time.
pub trait Engine: Send {
    /// The engine's name in the table of engines.
    fn name(&self) -> &str;

    /// Computes the logits of every row: `rows * categories` values, row after row.
    ///
    /// `logits` must have exactly that length; it is an error, and not a truncation, if the graph's
    /// output has another.
    fn run(&mut self, batch: &TokenBatch<'_>, logits: &mut [f32]) -> Result<()>;

    /// How many rows of `tokens` tokens it is best given at once: at least 1. More than 1 only
    /// where each row's logits are, to the last bit, those that it has alone; a verdict would
    /// otherwise depend on what else is in the text, and a stream's on how it was cut.
    fn rows_at_once(&self, _tokens: usize) -> usize {
        1
    }
}

/// Which engine a session uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The first available one, in the order of [`engines`]; but the GPU's only where a real GPU
    /// was measured to be faster, and then that one.
    /// [`Model::auto_engine`](crate::Model::auto_engine) says why,
    /// [`Session::engine`](crate::Session::engine) which it is.
    #[default]
    Auto,
    /// The named one, or an error; never another in its place.
    Named(String),
}

impl FromStr for EngineChoice {
    type Err = Infallible;

    /// `auto` is [`EngineChoice::Auto`]; anything else is a name, which opening a session checks.
    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            name => Self::Named(name.to_owned()),
        })
    }
}

/// One engine, as found on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// The name that [`EngineChoice::Named`] takes.
    pub name: String,
    /// Whether a session can be opened on it.
    pub available: bool,
    /// What was found, or why not and how to get it.
    pub detail: String,
}

type OpenStream = fn(&StreamGraph, NonZeroUsize) -> Result<Box<dyn StreamEngine>>;

/// A row of the table: all that the rest of the crate knows about an engine.
struct EngineEntry {
    name: &'static str,
    /// What was found on this machine, or why it cannot be used and how to get it.
    available: fn() -> std::result::Result<String, String>,
    open: fn(&Graph, NonZeroUsize) -> Result<Box<dyn Engine>>,
    /// Opens a graph for streams; `None` if the engine cannot go on from earlier keys and values.
    open_stream: Option<OpenStream>,
}

/// All engines, in the order in which [`EngineChoice::Auto`] tries them.
const ENGINES: &[EngineEntry] = &[
    EngineEntry {
        name: rten::NAME,
        available: rten::available,
        open: rten::open,
        open_stream: Some(rten::open_stream),
    },
    #[cfg(feature = "onnxruntime")]
    EngineEntry {
        name: onnxruntime::NAME,
        available: onnxruntime::available,
        open: onnxruntime::open,
        open_stream: Some(onnxruntime::open_stream),
    },
    #[cfg(feature = "wgpu")]
    EngineEntry {
        name: wgpu::NAME,
        available: wgpu::available,
        open: wgpu::open,
        open_stream: None,
    },
];

/// The names of all engines that this build knows, in the order of [`engines`]; unlike there, none
/// is looked for.
pub fn engine_names() -> impl ExactSizeIterator<Item = &'static str> {
    ENGINES.iter().map(|entry| entry.name)
}

/// All engines that this build knows, with their state on this machine, in the order in which
/// [`EngineChoice::Auto`] tries them.
pub fn engines() -> Vec<EngineInfo> {
    engine_names().filter_map(engine_info).collect()
}

/// One engine's state on this machine; `None` if this build does not know the name.
pub fn engine_info(name: &str) -> Option<EngineInfo> {
    let entry = ENGINES.iter().find(|entry| entry.name == name)?;
    let found = (entry.available)();
    Some(EngineInfo {
        name: entry.name.to_owned(),
        available: found.is_ok(),
        detail: found.unwrap_or_else(|reason| reason),
    })
}

/// Opens a graph on the named engine, whose name may not be `auto`.
///
/// [`Model::session`](crate::Model::session) does this for a bundle. Exporters use it to run a
/// graph before it is certified and becomes part of one. The graph is checked as a bundle's would
/// be, except that there is no manifest to compare it with.
pub fn open_engine(
    name: &str,
    onnx: &[u8],
    weights: &Arc<Weights>,
    threads: NonZeroUsize,
) -> Result<Box<dyn Engine>> {
    let graph = Graph::from_parts(onnx.into(), Arc::clone(weights));
    graph.validate(None)?;
    open(&graph, &EngineChoice::Named(name.to_owned()), threads)
}

/// Opens a validated graph on the engine that was chosen.
pub(crate) fn open(
    graph: &Graph,
    choice: &EngineChoice,
    threads: NonZeroUsize,
) -> Result<Box<dyn Engine>> {
    if threads.get() > MAX_THREADS {
        return Err(Error::argument(format!(
            "{threads} threads; expected at most {MAX_THREADS}"
        )));
    }
    let name = match choice {
        EngineChoice::Auto => auto::choose(graph, threads)?.name,
        EngineChoice::Named(name) => name,
    };
    let Some(entry) = ENGINES.iter().find(|entry| entry.name == name) else {
        let names: Vec<_> = engine_names().collect();
        return Err(Error::argument(format!(
            "unknown engine {name:?}; expected auto or one of: {}",
            names.join(", ")
        )));
    };
    (entry.available)()
        .map_err(|reason| Error::unsupported(format!("engine {}: {reason}", entry.name)))?;
    (entry.open)(graph, threads)
}

/// Whether an engine can go on from earlier keys and values.
pub(crate) fn has_streams(name: &str) -> bool {
    ENGINES
        .iter()
        .any(|entry| entry.name == name && entry.open_stream.is_some())
}

/// Opens a validated graph for streams on the named engine, which a session already uses.
pub(crate) fn open_stream(
    name: &str,
    graph: &StreamGraph,
    threads: NonZeroUsize,
) -> Result<Box<dyn StreamEngine>> {
    let entry = ENGINES.iter().find(|entry| entry.name == name);
    match entry.and_then(|entry| entry.open_stream) {
        Some(open) => open(graph, threads),
        None => Err(Error::unsupported(format!(
            "engine {name}: it cannot go on from earlier keys and values; score whole windows on it"
        ))),
    }
}

/// Checks a batch before it reaches an engine that would trust it.
fn check_batch(engine: &str, batch: &TokenBatch<'_>) -> Result<()> {
    let TokenBatch { ids, rows, tokens } = *batch;
    if ids.is_empty() || rows.checked_mul(tokens) != Some(ids.len()) {
        return Err(Error::argument(format!(
            "engine {engine}: a batch of {rows} x {tokens} tokens with {} ids; expected at least one token and as many ids as \
             rows x tokens",
            ids.len()
        )));
    }
    Ok(())
}

/// Copies an engine's output out, if it has the shape that was asked for. `file` is the graph.
fn take_logits(
    (engine, file): (&str, &str),
    rows: usize,
    shape: &[usize],
    found: &[f32],
    logits: &mut [f32],
) -> Result<()> {
    if !matches!(shape, [found, _] if *found == rows) || found.len() != logits.len() {
        return Err(Error::new(
            ErrorKind::InvalidModel,
            format!(
                "{file}: engine {engine} gives logits of shape {shape:?}; expected [{rows}, {}], a row a text and a column a category \
                 of manifest.json",
                logits.len() / rows.max(1)
            ),
        ));
    }
    logits.copy_from_slice(found);
    Ok(())
}
