//! What computes: engines, and which of them a session gets.
//!
//! In reading order: [`entry`] says what an engine is, [`batch`] and [`cache`] what it is given,
//! [`table`] lists all engines, and [`auto`] chooses one, by measurements that [`speed`] remembers.
//!
//! Each engine is a file or a folder beside these, and a row of the table. To add one: write the
//! file, with a constant `ENTRY`, declare it below, and put `ENTRY` into the table. The rest of the
//! crate reaches an engine by its row; what people may ask about GPUs is exported besides.

mod auto;
mod batch;
mod cache;
mod entry;
#[cfg(test)]
mod fake;
mod native;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod speed;
mod table;
#[cfg(feature = "wgpu")]
mod wgpu;

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;

pub use self::auto::AutoEngine;
pub(crate) use self::auto::choose as choose_auto;
pub use self::batch::TokenBatch;
pub(crate) use self::cache::{KeyValues, StreamEngine};
pub use self::entry::Engine;
pub use self::native::{LayerSession, NetworkLayer, TokenRows};
use self::table::find;
pub use self::table::{EngineInfo, engine_info, engine_names, engines};
#[cfg(feature = "wgpu")]
pub(crate) use self::wgpu::forward_cost;
#[cfg(feature = "wgpu")]
pub use self::wgpu::{ForwardCost, GpuAdapter, gpu_adapters};
use crate::bundle::Weights;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::stream_graph::StreamGraph;

/// The most threads that one session may ask for: more than any machine has use for, and a typing
/// error beyond it starts none.
pub const MAX_THREADS: usize = 1024;

/// Which engine a session uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The first one that is available and knows the model's network, in the order of [`engines`];
    /// but the GPU's only where a real GPU was measured to be faster, and then that one.
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

impl Graph {
    /// Opens the graph on the named engine.
    pub fn open_engine(&self, name: &str, threads: NonZeroUsize) -> Result<Box<dyn Engine>> {
        open(self, &EngineChoice::Named(name.to_owned()), threads)
    }
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
    let Some(entry) = find(name) else {
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

/// The name of an engine that can go on from earlier keys and values; `None` of another.
pub(crate) fn name_with_streams(name: &str) -> Option<&'static str> {
    let entry = find(name).filter(|entry| entry.open_stream.is_some());
    entry.map(|entry| entry.name)
}

/// Opens a validated graph for streams on the named engine, which a session already uses.
pub(crate) fn open_stream(
    name: &str,
    graph: &StreamGraph,
    threads: NonZeroUsize,
) -> Result<Box<dyn StreamEngine>> {
    match find(name).and_then(|entry| entry.open_stream) {
        Some(open) => open(graph, threads),
        None => Err(no_streams(name)),
    }
}

/// What an engine says that cannot go on from earlier keys and values.
pub(crate) fn no_streams(name: &str) -> Error {
    Error::unsupported(format!(
        "engine {name}: it cannot go on from earlier keys and values; score whole windows on it"
    ))
}
