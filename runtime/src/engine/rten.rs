//! The embedded engine: rten, in Rust, always there.

use std::num::NonZeroUsize;
use std::sync::Arc;

use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value};

use super::{Engine, TokenBatch, Weights, check_batch, take_logits};
use crate::bundle::WEIGHTS;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, INPUT, OUTPUT};

pub(super) const NAME: &str = "rten";

pub(super) fn available() -> std::result::Result<String, String> {
    Ok("embedded; runs on every CPU".to_owned())
}

/// A graph with its weights packed for this CPU; shared between the sessions of a model.
pub(crate) struct Loaded {
    // Declared before `_weights`, which it borrows from, and so dropped before it.
    model: Model,
    input: NodeId,
    output: NodeId,
    _weights: Arc<Weights>,
}

impl Loaded {
    fn new(onnx: &[u8], weights: Arc<Weights>) -> Result<Self> {
        let refused = |cause: &dyn std::fmt::Display| {
            Error::model(format!(
                "model.onnx: engine {NAME} cannot load it: {cause}; get the bundle again or try another engine"
            ))
        };
        let bytes: &[u8] = &weights;
        // SAFETY: `bytes` stays valid and unchanged as long as `weights` is alive. `Loaded` keeps `weights` until after `model`, the
        // only thing that holds on to the slice, is dropped, and `model` is private: what `run` returns owns its data.
        let bytes: &'static [u8] =
            unsafe { std::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) };
        let mut options = ModelOptions::with_all_ops();
        options
            .prepack_weights(true)
            .external_data_static(WEIGHTS, bytes);
        let model = options
            .load(onnx.to_vec())
            .map_err(|cause| refused(&cause))?;
        let input = model.node_id(INPUT).map_err(|cause| refused(&cause))?;
        let output = model.node_id(OUTPUT).map_err(|cause| refused(&cause))?;
        Ok(Self {
            model,
            input,
            output,
            _weights: weights,
        })
    }
}

struct Rten {
    loaded: Arc<Loaded>,
    pool: Arc<ThreadPool>,
}

pub(super) fn open(graph: &Graph, threads: NonZeroUsize) -> Result<Box<dyn Engine>> {
    let loaded = graph.shared_rten(|| Loaded::new(graph.onnx(), Arc::clone(graph.weights())))?;
    let pool = Arc::new(ThreadPool::with_num_threads(threads.get()));
    Ok(Box::new(Rten { loaded, pool }))
}

impl Engine for Rten {
    fn name(&self) -> &str {
        NAME
    }

    fn run(&mut self, batch: &TokenBatch<'_>, logits: &mut [f32]) -> Result<()> {
        check_batch(NAME, batch)?;
        let Loaded {
            model,
            input,
            output,
            ..
        } = &*self.loaded;
        // rten computes int64 as int32. An id that does not fit could not be a row of an embedding either.
        let ids = batch
            .ids
            .iter()
            .map(|id| i32::try_from(*id))
            .collect::<std::result::Result<Vec<_>, _>>();
        let ids = ids.map_err(|_| {
            Error::argument(format!(
                "engine {NAME}: a token id is larger than {}",
                i32::MAX
            ))
        })?;
        let ids = Value::from_shape([batch.rows, batch.tokens], ids)
            .map_err(|cause| failed("cannot take the tokens", cause))?;
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.pool)));
        let [found] = model
            .run_n(vec![(*input, ids.into())], [*output], Some(options))
            .map_err(|cause| failed("cannot run model.onnx", cause))?;
        let (shape, found) = found.into_shape_vec::<f32, 2>().map_err(|cause| {
            Error::model(format!(
                "model.onnx: {OUTPUT} is not a float32 matrix: {cause}"
            ))
        })?;
        take_logits(NAME, batch, &shape, &found, logits)
    }
}

fn failed(action: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Engine,
        format!("engine {NAME}: {action}: {cause}"),
    )
}
