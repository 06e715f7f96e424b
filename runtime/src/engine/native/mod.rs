//! Our own engine for CPUs: the forward pass of decoders and encoders, in int8 where the graph is.
//!
//! In reading order: [`mod@resident`] is a network as [`packed`] packs it, into a [`store`];
//! [`forward`] says what is computed, out of [`embedding`], [`steps`], [`placing`], [`attention`]
//! and [`judge`]; [`kernels`] says with which instructions. It does not interpret the ONNX graph:
//! it reads the tensors of `weights.data`, and from the graph which products are of integers.
//!
//! Its promise: a row's logits do not depend on what runs beside it, on the number of threads, on
//! how a stream was cut, or on the kernel, to the last bit. Sums of products are of integers, and
//! so exact; activations are scaled by the token; every sum of floats has an order of its own,
//! without fused operations.

mod activation;
mod arena;
mod attention;
mod embedding;
mod forward;
mod interleaving;
mod judge;
mod kernels;
mod known;
mod layer;
mod outliers;
mod packed;
mod parts;
mod placing;
mod products;
mod resident;
mod rounding;
mod steps;
mod store;
mod streams;
mod team;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;

use self::arena::{Arena, Shape};
use self::forward::{Cache, Forward, NoCache};
use self::kernels::Chosen;
use self::known::Known;
pub use self::layer::{LayerSession, NetworkLayer, TokenRows};
use self::resident::Resident;
use super::batch::{TokenBatch, check_batch, take_logits};
use super::entry::{Device, Engine, EngineEntry};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;

const NAME: &str = "native";

pub(super) const ENTRY: EngineEntry = EngineEntry {
    name: NAME,
    device: Device::Cpu,
    available,
    knows,
    open,
    open_stream: Some(streams::open),
};

/// The tokens that windows are put together to: enough to fill the blocks in which a layer is
/// computed. Measured: docs/log/2026-11-28-native-engine.md.
const TOKENS_AT_ONCE: usize = 256;
/// The multiply-adds of a pass, all layers of all tokens counted, from which on it is worth another
/// thread: some 0.2 ms of it. See docs/log/2026-11-29-native-proofs.md.
const PRODUCTS_OF_A_THREAD: usize = 32 << 20;

fn available() -> std::result::Result<String, String> {
    let kernel = kernels::choose()?;
    Ok(format!(
        "embedded; runs decoders and encoders with {}",
        kernel.name()
    ))
}

fn knows(graph: &Graph) -> Result<()> {
    Known::of(graph, None).map(drop)
}

/// The network of a graph, packed once for all its sessions.
fn resident(graph: &Graph) -> Result<Arc<Resident>> {
    graph.shared(|_| true, || Known::of(graph, None)?.pack(graph))
}

fn open(graph: &Graph, threads: NonZeroUsize) -> Result<Box<dyn Engine>> {
    Ok(Box::new(Native::new(graph, threads)?))
}

/// A session.
struct Native {
    network: Arc<Resident>,
    kernel: Chosen,
    arena: Arena,
    /// The graph's name in a bundle.
    file: &'static str,
}

impl Native {
    fn new(graph: &Graph, threads: NonZeroUsize) -> Result<Self> {
        Self::of(resident(graph)?, graph.file(), threads)
    }

    fn of(network: Arc<Resident>, file: &'static str, threads: NonZeroUsize) -> Result<Self> {
        let kernel = kernels::choose()
            .map_err(|reason| Error::unsupported(format!("engine {NAME}: {reason}")))?;
        Ok(Self {
            arena: Arena::new(&network, threads.get()),
            network,
            kernel,
            file,
        })
    }

    /// Checks what the forward pass trusts, of a sequence of `length` tokens.
    fn check(&self, ids: &[u32], length: usize) -> Result<()> {
        let d = &self.network.dimensions;
        if let Some(id) = ids.iter().find(|id| **id as usize >= d.vocabulary) {
            return Err(engine_error(format!(
                "token id {id}; expected less than {}, the rows of the embedding",
                d.vocabulary
            )));
        }
        if length > d.max_position {
            return Err(engine_error(format!(
                "a window of {length} tokens; expected at most {}",
                d.max_position
            )));
        }
        Ok(())
    }

    /// Runs a batch after earlier tokens, which `cache` has.
    fn forward(
        &mut self,
        batch: &TokenBatch<'_>,
        past: usize,
        cache: &mut impl Cache,
        logits: &mut [f32],
    ) -> Result<()> {
        self.check(batch.ids, past + batch.tokens)?;
        let outputs = self.network.head.outputs();
        if logits.len() != batch.rows * outputs {
            let found = vec![0.0; batch.rows * outputs];
            let shape = [batch.rows, outputs];
            return take_logits((NAME, self.file), batch.rows, &shape, &found, logits);
        }
        let (forward, arena) = self.pass(batch, past);
        forward.run(batch.ids, arena, cache, logits);
        Ok(())
    }

    /// A forward pass, on as many threads as it is worth; and the memory for it.
    fn pass(&mut self, batch: &TokenBatch<'_>, past: usize) -> (Forward<'_>, &mut Arena) {
        let shape = Shape {
            rows: batch.rows,
            past,
            tokens: batch.tokens,
        };
        let products = shape.all() * self.network.products_of_row();
        let forward = Forward {
            network: &self.network,
            kernel: self.kernel,
            shape,
            threads: (products / PRODUCTS_OF_A_THREAD).max(1),
            inputs: None,
        };
        (forward, &mut self.arena)
    }
}

impl Engine for Native {
    fn name(&self) -> &str {
        NAME
    }

    fn run(&mut self, batch: &TokenBatch<'_>, logits: &mut [f32]) -> Result<()> {
        check_batch(NAME, batch)?;
        self.forward(batch, 0, &mut NoCache, logits)
    }

    fn pooled(&mut self, batch: &TokenBatch<'_>) -> Result<Vec<f32>> {
        check_batch(NAME, batch)?;
        self.check(batch.ids, batch.tokens)?;
        let (forward, arena) = self.pass(batch, 0);
        Ok(forward.pooled(batch.ids, arena))
    }

    /// Short rows leave the last tile of a product half empty, and short batches leave threads
    /// idle; each row gives what it gives alone.
    fn rows_at_once(&self, tokens: usize) -> usize {
        (TOKENS_AT_ONCE / tokens.max(1)).max(1)
    }
}

fn engine_error(what: String) -> Error {
    Error::new(ErrorKind::Engine, format!("engine {NAME}: {what}"))
}
