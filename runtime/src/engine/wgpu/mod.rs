//! The GPU engine: our own compute shaders on Vulkan, Metal and DirectX 12.
//!
//! It does not interpret the ONNX graph: it runs the forward pass of decoders and encoders on the
//! tensors of `weights.data`. Activations are f32 and int8 weights are widened in the shaders,
//! except where the bundle's scheme rounds activations to int8 and the GPU multiplies int8
//! natively: there, linear layers do so too ([`products`]).

mod adapter;
mod cost;
mod gpu;
mod known;
mod listing;
mod made_up;
mod plan;
mod products;
mod resident;
mod schedule;
mod self_test;
mod shaders;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;

pub use self::cost::ForwardCost;
pub(crate) use self::cost::forward_cost;
use self::gpu::{Gpu, engine_error};
use self::known::Known;
pub use self::listing::{GpuAdapter, gpu_adapters};
use self::plan::{Plan, most_tokens};
use self::resident::Resident;
use super::batch::{TokenBatch, check_batch, take_logits};
use super::entry::{Device, Engine, EngineEntry};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::network::labels::{against_others, kept_labels};
use crate::network::{DECODERS_AND_ENCODERS, check_field, check_origin};

const NAME: &str = "wgpu";

pub(super) const ENTRY: EngineEntry = EngineEntry {
    name: NAME,
    device: Device::Gpu { real: real_gpu },
    available,
    knows: check,
    open,
    open_stream: None,
};

/// The tokens that windows are put together to. Measured: docs/wgpu.md.
const TOKENS_AT_ONCE: usize = 4096;

fn available() -> std::result::Result<String, String> {
    adapter::best().map(|adapter| adapter::describe(&adapter.get_info()))
}

fn open(graph: &Graph, _threads: NonZeroUsize) -> Result<Box<dyn Engine>> {
    let resident = resident(graph)?;
    Ok(Box::new(Wgpu {
        kept_labels: kept_labels(graph, resident.dimensions.categories)?,
        resident,
        graph: graph.clone(),
        plan: None,
    }))
}

/// The real GPU that `auto` may take, or why it may take none.
fn real_gpu() -> std::result::Result<String, String> {
    adapter::real_gpu().map(|adapter| adapter::describe(&adapter.get_info()))
}

/// The network on the GPU; shared by the sessions of a model, and made again when its device was
/// lost.
fn resident(graph: &Graph) -> Result<Arc<Resident>> {
    graph.shared(
        |resident: &Resident| !resident.gpu.is_lost(),
        || {
            let adapter = adapter::best()
                .map_err(|reason| Error::unsupported(format!("engine {NAME}: {reason}")))?;
            check(graph)?;
            let products = products::choose(graph.origin(), &adapter)?;
            Resident::new(Gpu::open(&adapter)?, &Known::of(graph)?, products)
        },
    )
}

/// Refuses a bundle whose tensors the shaders do not compute. A graph without a manifest, or one
/// that says nothing of its scheme, is judged by its tensors alone.
fn check(graph: &Graph) -> Result<()> {
    check_origin(NAME, graph, DECODERS_AND_ENCODERS)?;
    match graph.origin().and_then(|origin| origin.scheme.as_deref()) {
        Some(scheme) => {
            let known = products::SCHEMES.map(|known| known.name);
            check_field(NAME, "quantization.scheme", scheme, &known)
        }
        None => Ok(()),
    }
}

struct Wgpu {
    graph: Graph,
    resident: Arc<Resident>,
    /// The labels that are categories, where labels exclude each other.
    kept_labels: Option<Vec<usize>>,
    plan: Option<Plan>,
}

impl Engine for Wgpu {
    fn name(&self) -> &str {
        NAME
    }

    fn run(&mut self, batch: &TokenBatch<'_>, logits: &mut [f32]) -> Result<()> {
        check_batch(NAME, batch)?;
        if self.resident.gpu.is_lost() {
            self.plan = None;
            self.resident = resident(&self.graph)?;
        }
        self.check(batch)?;
        let mut found = Vec::with_capacity(logits.len());
        let rows = most_tokens(&self.resident) / batch.tokens;
        for ids in batch.ids.chunks(rows * batch.tokens) {
            let part = TokenBatch {
                ids,
                rows: ids.len() / batch.tokens,
                tokens: batch.tokens,
            };
            found.extend(self.run_part(&part)?);
        }
        let mut labels = self.resident.dimensions.categories;
        if let Some(kept) = &self.kept_labels {
            let rows = found.chunks_exact(labels);
            found = rows
                .flat_map(|row| kept.iter().map(|label| against_others(row, *label)))
                .collect();
            labels = kept.len();
        }
        take_logits(
            (NAME, self.graph.file()),
            batch.rows,
            &[batch.rows, labels],
            &found,
            logits,
        )
    }

    /// Many rows cost little more than one where one leaves most of a GPU idle. Each gives what it
    /// gives alone: see [`schedule::Linear::tiling`].
    fn rows_at_once(&self, tokens: usize) -> usize {
        (TOKENS_AT_ONCE / tokens.max(1)).max(1)
    }
}

impl Wgpu {
    /// Checks what shaders would trust.
    fn check(&self, batch: &TokenBatch<'_>) -> Result<()> {
        let d = &self.resident.dimensions;
        if let Some(id) = batch.ids.iter().find(|id| **id as usize >= d.vocabulary) {
            return Err(engine_error(&format!(
                "token id {id}; expected less than {}, the rows of the embedding",
                d.vocabulary
            )));
        }
        if batch.tokens > d.max_position {
            return Err(engine_error(&format!(
                "a window of {} tokens; expected at most {}",
                batch.tokens, d.max_position
            )));
        }
        let most = most_tokens(&self.resident);
        if batch.tokens > most {
            return Err(engine_error(&format!(
                "a window of {} tokens; {} has room for {most} in a binding: use shorter windows \
                 or another engine",
                batch.tokens, self.resident.gpu.info.name
            )));
        }
        Ok(())
    }

    fn run_part(&mut self, batch: &TokenBatch<'_>) -> Result<Vec<f32>> {
        let plan = match self.plan.take().filter(|plan| plan.fits(batch)) {
            Some(plan) => plan,
            None => Plan::new(Arc::clone(&self.resident), batch)?,
        };
        // A plan that fails is not kept: its buffers may be in an unknown state.
        let mut plan = plan;
        let logits = plan.run(batch)?;
        self.plan = Some(plan);
        Ok(logits)
    }
}
