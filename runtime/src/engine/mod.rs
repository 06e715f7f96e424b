//! What computes: the engines, in one table.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use memmap2::{Mmap, MmapMut};

use crate::error::{Error, Result};

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

/// Something that runs a graph. Used by one thread at a time.
pub trait Engine: Send {
    /// The engine's name in the table of engines.
    fn name(&self) -> &str;
    /// Computes the logits of every row: `rows * categories` values, row after row.
    fn run(&mut self, batch: &TokenBatch<'_>, logits: &mut [f32]) -> Result<()>;
}

/// Which engine a session uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The first available one, in the order of [`engines`].
    #[default]
    Auto,
    /// The named one, or an error.
    Named(String),
}

impl FromStr for EngineChoice {
    type Err = Infallible;

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

/// All engines that this build knows, with their state on this machine.
pub fn engines() -> Vec<EngineInfo> {
    Vec::new()
}

/// The bytes of `weights.data`: a mapped file, or memory with the alignment of one.
#[derive(Debug)]
pub struct Weights(Mmap);

impl Weights {
    /// Copies bytes into memory that is aligned as engines need it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let failed = |cause| {
            Error::argument(format!(
                "weights.data: cannot allocate {} bytes: {cause}",
                bytes.len()
            ))
        };
        // An empty map is an error on some systems.
        let mut map = MmapMut::map_anon(bytes.len().max(1)).map_err(failed)?;
        map[..bytes.len()].copy_from_slice(bytes);
        Ok(Self(map.make_read_only().map_err(failed)?))
    }
}

impl Deref for Weights {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A graph and its weights, not yet part of a bundle.
#[derive(Clone, Debug)]
pub struct Graph {
    onnx: Arc<[u8]>,
    weights: Arc<Weights>,
}

impl Graph {
    /// Takes an ONNX model and the bytes of the `weights.data` that it refers to.
    pub fn new(onnx: &[u8], weights: &[u8]) -> Result<Self> {
        Ok(Self {
            onnx: onnx.into(),
            weights: Arc::new(Weights::from_bytes(weights)?),
        })
    }

    /// Opens the graph on the named engine.
    pub fn open_engine(&self, name: &str, threads: NonZeroUsize) -> Result<Box<dyn Engine>> {
        open_engine(name, &self.onnx, &self.weights, threads)
    }
}

/// Opens a graph on the named engine.
///
/// [`Model::session`](crate::Model::session) does this for a bundle. Exporters use it to run a graph before it is certified and
/// becomes part of one; nothing about the graph or the weights is verified here beyond what the engine itself verifies.
pub fn open_engine(
    name: &str,
    _onnx: &[u8],
    _weights: &Arc<Weights>,
    _threads: NonZeroUsize,
) -> Result<Box<dyn Engine>> {
    Err(Error::unsupported(format!(
        "engine {name}: not written yet"
    )))
}
