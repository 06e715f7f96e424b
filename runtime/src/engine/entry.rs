//! An engine: what it does, and its row in the table.

use std::num::NonZeroUsize;

use super::batch::TokenBatch;
use super::cache::StreamEngine;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::stream_graph::StreamGraph;

/// Something that runs a graph. Used by one thread at a time.
pub trait Engine: Send {
    /// The engine's name in the table of engines.
    fn name(&self) -> &str;

    /// Computes the logits of every row: `rows * categories` values, row after row.
    ///
    /// `logits` must have exactly that length; it is an error, and not a truncation, if the graph's
    /// output has another.
    fn run(&mut self, batch: &TokenBatch<'_>, logits: &mut [f32]) -> Result<()>;

    /// Computes what the classifier reads of every row, `rows * hidden` values, row after row: the
    /// judged token's state after the last layer, or the mean of all, before any norm or pooler
    /// that belongs to the classifier.
    fn pooled(&mut self, _batch: &TokenBatch<'_>) -> Result<Vec<f32>> {
        let name = self.name();
        Err(Error::unsupported(format!(
            "engine {name}: it computes logits alone; engine native gives pooled states"
        )))
    }

    /// How many rows of `tokens` tokens it is best given at once: at least 1. More than 1 only
    /// where each row's logits are, to the last bit, those that it has alone; a verdict would
    /// otherwise depend on what else is in the text, and a stream's on how it was cut.
    fn rows_at_once(&self, _tokens: usize) -> usize {
        1
    }
}

/// Opens a graph for streams.
pub(super) type OpenStream = fn(&StreamGraph, NonZeroUsize) -> Result<Box<dyn StreamEngine>>;

/// A row of the table: all that the rest of the crate knows about an engine.
pub(super) struct EngineEntry {
    pub(super) name: &'static str,
    pub(super) device: Device,
    /// What was found on this machine, or why it cannot be used and how to get it.
    pub(super) available: fn() -> std::result::Result<String, String>,
    /// Whether it can run the graph of a bundle, or why not; quick, and nothing is kept.
    pub(super) knows: fn(&Graph) -> Result<()>,
    pub(super) open: fn(&Graph, NonZeroUsize) -> Result<Box<dyn Engine>>,
    /// Opens a graph for streams; `None` if the engine cannot go on from earlier keys and values.
    pub(super) open_stream: Option<OpenStream>,
}

/// What an engine computes on.
#[derive(Clone, Copy)]
pub(super) enum Device {
    Cpu,
    /// A GPU. [`EngineChoice::Auto`](super::EngineChoice::Auto) takes such an engine only where it
    /// was measured to be faster than the first one for CPUs.
    #[cfg_attr(
        not(feature = "wgpu"),
        allow(dead_code, reason = "no other engine is for GPUs")
    )]
    Gpu {
        /// The GPU and its driver, if it is a real one and not a program that plays one; or why
        /// there is none to take. Quick on a machine that has none.
        real: fn() -> std::result::Result<String, String>,
    },
}
