//! The GPU engine: our own compute shaders on Vulkan, Metal and DirectX 12.
//!
//! It does not interpret the ONNX graph: it runs the forward pass of the decoder family on the tensors of `weights.data`. Activations
//! and sums are f32 throughout; int8 weights are widened in the shaders.

mod adapter;
mod gpu;
mod network;
mod plan;
mod reference;
mod resident;
mod sample;
mod schedule;
mod self_test;
mod shaders;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;

use self::gpu::{Gpu, engine_error};
use self::network::Network;
use self::plan::{Plan, most_tokens};
pub(crate) use self::resident::Resident;
use super::{Engine, TokenBatch, check_batch, take_logits};
use crate::error::{Error, Result};
use crate::graph::Graph;

pub(super) const NAME: &str = "wgpu";

pub(super) fn available() -> std::result::Result<String, String> {
    adapter::best().map(|adapter| adapter::describe(&adapter.get_info()))
}

pub(super) fn open(graph: &Graph, _threads: NonZeroUsize) -> Result<Box<dyn Engine>> {
    Ok(Box::new(Wgpu {
        resident: resident(graph)?,
        graph: graph.clone(),
        plan: None,
    }))
}

/// The network on the GPU; shared by the sessions of a model, and made again when its device was lost.
fn resident(graph: &Graph) -> Result<Arc<Resident>> {
    graph.shared_wgpu(
        |resident| !resident.gpu.is_lost(),
        || {
            let adapter = adapter::best()
                .map_err(|reason| Error::unsupported(format!("engine {NAME}: {reason}")))?;
            let network = Network::read(graph.weights(), graph.norm_epsilon()?)?;
            Resident::new(Gpu::open(&adapter)?, &network)
        },
    )
}

struct Wgpu {
    graph: Graph,
    resident: Arc<Resident>,
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
        take_logits(
            NAME,
            batch,
            &[batch.rows, self.resident.dimensions.categories],
            &found,
            logits,
        )
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
                "a window of {} tokens; {} has room for {most} in a binding: use shorter windows or another engine",
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
