//! The embedded engine: rten, in Rust, always there.

use std::num::NonZeroUsize;
use std::sync::Arc;

use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView, ValueView};
use rten_tensor::NdTensorView;

use super::batch::{TokenBatch, check_batch, take_logits};
use super::cache::{KeyValues, Past, StreamEngine};
use super::entry::{Device, Engine, EngineEntry};
use crate::bundle::Weights;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, INPUT, OUTPUT};
use crate::stream_graph::StreamGraph;

const NAME: &str = "rten";

pub(super) const ENTRY: EngineEntry = EngineEntry {
    name: NAME,
    device: Device::Cpu,
    available,
    open,
    open_stream: Some(open_stream),
};

fn available() -> std::result::Result<String, String> {
    Ok("embedded; runs on every CPU".to_owned())
}

/// A graph with its weights packed for this CPU; shared between the sessions of a model.
struct Loaded {
    // Declared before `_weights`, which it borrows from, and so dropped before it.
    model: Model,
    inputs: Vec<NodeId>,
    outputs: Vec<NodeId>,
    /// The graph's name in a bundle.
    file: &'static str,
    _weights: Arc<Weights>,
}

impl Loaded {
    /// Loads a graph with these inputs and outputs.
    fn shared(graph: &Graph, inputs: &[String], outputs: &[String]) -> Result<Arc<Self>> {
        let load = || {
            Self::new(graph, inputs, outputs).map_err(|cause| {
                Error::model(format!(
                    "{}: engine {NAME} cannot load it: {cause}; get the bundle again or try \
                     another engine",
                    graph.file()
                ))
            })
        };
        graph.shared(|_| true, load)
    }

    fn new(
        graph: &Graph,
        inputs: &[String],
        outputs: &[String],
    ) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let weights = Arc::clone(graph.weights());
        let bytes: &[u8] = &weights;
        // SAFETY: `bytes` stays valid and unchanged as long as `weights` is alive. `Loaded` keeps
        // `weights` until after `model`, the only thing that holds on to the slice, is dropped, and
        // `model` is private: what `run` returns owns its data.
        let bytes: &'static [u8] =
            unsafe { std::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) };
        let mut options = ModelOptions::with_all_ops();
        options
            .prepack_weights(true)
            .external_data_static(Weights::FILE, bytes);
        let model = options.load(graph.onnx().to_vec())?;
        let ids = |names: &[String]| names.iter().map(|name| model.node_id(name)).collect();
        let (inputs, outputs): (std::result::Result<_, _>, std::result::Result<_, _>) =
            (ids(inputs), ids(outputs));
        Ok(Self {
            inputs: inputs?,
            outputs: outputs?,
            model,
            file: graph.file(),
            _weights: weights,
        })
    }

    fn run(&self, inputs: Vec<ValueOrView<'_>>, pool: &Arc<ThreadPool>) -> Result<Vec<Value>> {
        let inputs = self.inputs.iter().copied().zip(inputs).collect();
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(pool)));
        self.model
            .run(inputs, &self.outputs, Some(options))
            .map_err(|cause| failed(&format!("cannot run {}", self.file), cause))
    }
}

struct Rten {
    loaded: Arc<Loaded>,
    pool: Arc<ThreadPool>,
}

fn open(graph: &Graph, threads: NonZeroUsize) -> Result<Box<dyn Engine>> {
    let (inputs, outputs) = ([INPUT.to_owned()], [OUTPUT.to_owned()]);
    Ok(Box::new(Rten {
        loaded: Loaded::shared(graph, &inputs, &outputs)?,
        pool: Arc::new(ThreadPool::with_num_threads(threads.get())),
    }))
}

fn open_stream(stream: &StreamGraph, threads: NonZeroUsize) -> Result<Box<dyn StreamEngine>> {
    let (inputs, outputs) = (stream.inputs(), stream.outputs());
    Ok(Box::new(Rten {
        loaded: Loaded::shared(&stream.graph, &inputs, &outputs)?,
        pool: Arc::new(ThreadPool::with_num_threads(threads.get())),
    }))
}

impl Engine for Rten {
    fn name(&self) -> &str {
        NAME
    }

    fn run(&mut self, batch: &TokenBatch<'_>, logits: &mut [f32]) -> Result<()> {
        check_batch(NAME, batch)?;
        let ids = token_ids([batch.rows, batch.tokens], batch.ids)?;
        let found = self.loaded.run(vec![ids.into()], &self.pool)?;
        take(
            self.loaded.file,
            batch.rows,
            found.into_iter().next(),
            logits,
        )
    }
}

impl StreamEngine for Rten {
    fn run(&mut self, past: Past<'_>, ids: &[u32], logits: &mut [f32]) -> Result<KeyValues> {
        check_batch(NAME, &TokenBatch::one(ids))?;
        let mut inputs: Vec<ValueOrView<'_>> = vec![token_ids([1, ids.len()], ids)?.into()];
        for (shape, part) in past.parts() {
            let part = NdTensorView::try_from_data(shape, part)
                .map_err(|cause| failed("cannot take the keys and values", cause))?;
            let part = part.slice((.., .., ..past.tokens()));
            inputs.push(ValueView::from(part).into());
        }
        let file = self.loaded.file;
        let mut found = self.loaded.run(inputs, &self.pool)?.into_iter();
        take(file, 1, found.next(), logits)?;
        let part = |value: Value| {
            let (shape, values) = value
                .into_shape_vec::<f32, 4>()
                .map_err(|cause| not_float(file, "a key or value", cause))?;
            Ok((shape.to_vec(), values))
        };
        let parts: Vec<_> = found.map(part).collect::<Result<_>>()?;
        past.followed_by(NAME, ids.len(), parts)
    }
}

/// rten computes int64 as int32. An id that does not fit could not be a row of an embedding either.
fn token_ids(shape: [usize; 2], ids: &[u32]) -> Result<Value> {
    let ids = ids.iter().map(|id| i32::try_from(*id));
    let ids = ids
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|_| {
            Error::argument(format!(
                "engine {NAME}: a token id is larger than {}",
                i32::MAX
            ))
        })?;
    Value::from_shape(shape, ids).map_err(|cause| failed("cannot take the tokens", cause))
}

fn take(file: &str, rows: usize, found: Option<Value>, logits: &mut [f32]) -> Result<()> {
    let none = || Error::model(format!("{file}: engine {NAME} gives no {OUTPUT}"));
    let (shape, found) = found
        .ok_or_else(none)?
        .into_shape_vec::<f32, 2>()
        .map_err(|cause| not_float(file, OUTPUT, cause))?;
    take_logits((NAME, file), rows, &shape, &found, logits)
}

fn not_float(file: &str, what: &str, cause: impl std::fmt::Display) -> Error {
    Error::model(format!(
        "{file}: {what} is not a float32 tensor of the expected rank: {cause}"
    ))
}

fn failed(action: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Engine,
        format!("engine {NAME}: {action}: {cause}"),
    )
}
