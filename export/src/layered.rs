//! Runs a network one layer at a time, all sequences through a layer before the next is made.
//!
//! The nodes are those of the exported graph, cut at its stages, so what is measured here is what
//! is written. No more than one layer's weights are in memory, which the fp32 weights of a large
//! network would fill.

use std::collections::BTreeMap;
use std::sync::Arc;

use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value};

use crate::builder::Stage;
use crate::checkpoint::Checkpoint;
use crate::error::ExportError;
use crate::graph::{self, EMBEDDED, Form, LAST_POSITION, LAST_POSITIONS, LENGTHS, TOKENS};
use crate::parallel;
use crate::scheme::{Plan, Precision, Quantize};
use crate::weights::FILE;

/// Tokens that are on their way through the layers at a time.
const TOKENS_AT_A_TIME: usize = 16_384;

/// The fp32 logits of windows of token ids.
pub(crate) fn logits(
    checkpoint: &Checkpoint,
    windows: &[Vec<u32>],
) -> Result<Vec<Vec<f32>>, ExportError> {
    let plan = Plan::new(Quantize::None);
    let graph = graph::build(checkpoint, &plan, Form::Window)?;
    let mut logits = Vec::new();
    let mut rest = windows;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = |window: &&Vec<u32>| {
            tokens += window.len();
            tokens <= TOKENS_AT_A_TIME
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (chunk, later) = rest.split_at(count);
        rest = later;
        let mut sequences: Vec<_> = chunk.iter().map(|ids| start(checkpoint, ids)).collect();
        for stage in 1..graph.stages() {
            let layer = Layer::new(&graph, stage)?;
            sequences = layer.run(&sequences)?;
        }
        for sequence in sequences {
            logits.push(finish(sequence)?);
        }
    }
    Ok(logits)
}

/// How much each projection, as the only one that is quantised to int8 with a scale per tensor,
/// moves the logits: the mean absolute difference over the windows, the largest first.
pub(crate) fn sensitivities(
    checkpoint: &Checkpoint,
    windows: &[Vec<u32>],
) -> Result<Vec<(String, f64)>, ExportError> {
    let float = Plan::new(Quantize::None);
    let graph = graph::build(checkpoint, &float, Form::Window)?;
    let mut names = Vec::new();
    // The windows in fp32, then those of each projection quantised so far.
    let mut sequences: Vec<_> = windows.iter().map(|ids| start(checkpoint, ids)).collect();
    for stage in 1..graph.stages() {
        let mut changed = Vec::new();
        for name in graph::projections(checkpoint.config(), stage - 1) {
            let mut plan = float.clone();
            plan.exceptions.insert(name.clone(), Precision::Int8Tensor);
            let graph = graph::build(checkpoint, &plan, Form::Window)?;
            let layer = Layer::new(&graph, stage)?;
            changed.extend(layer.run(&sequences[..windows.len()])?);
            names.push(name);
        }
        sequences = Layer::new(&graph, stage)?.run(&sequences)?;
        sequences.append(&mut changed);
    }
    let logits: Result<Vec<_>, _> = sequences.into_iter().map(finish).collect();
    let logits = logits?;
    let (exact, changed) = logits.split_at(windows.len());
    let moved = |logits: &[Vec<f32>]| {
        let pairs = logits.iter().flatten().zip(exact.iter().flatten());
        let differences: Vec<f64> = pairs.map(|(a, b)| f64::from((a - b).abs())).collect();
        differences.iter().sum::<f64>() / differences.len().max(1) as f64
    };
    let moved = changed.chunks_exact(windows.len().max(1)).map(moved);
    let mut moved: Vec<_> = names.into_iter().zip(moved).collect();
    moved.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(moved)
}

/// The values of one sequence that stand between two layers.
type Sequence = BTreeMap<String, Value>;

fn start(checkpoint: &Checkpoint, ids: &[u32]) -> Sequence {
    let width = checkpoint.config().hidden;
    let rows: Vec<f32> = ids
        .iter()
        .flat_map(|id| checkpoint.row(checkpoint.embedding(), *id as usize))
        .collect();
    let count = ids.len() as i32;
    let integers = |shape: &[usize], value: i32| {
        Value::from_shape(shape, vec![value]).expect("one value fits a shape of ones")
    };
    let embedded = Value::from_shape([1, ids.len(), width], rows);
    Sequence::from([
        (EMBEDDED.to_owned(), embedded.expect("a row for every id")),
        (TOKENS.to_owned(), integers(&[], count)),
        (LAST_POSITIONS.to_owned(), integers(&[1], count - 1)),
        (LAST_POSITION.to_owned(), integers(&[1], count - 1)),
    ])
}

fn finish(mut sequence: Sequence) -> Result<Vec<f32>, ExportError> {
    let logits = sequence
        .remove("logits")
        .ok_or_else(|| ExportError::Layer {
            message: "the last layer has no logits".to_owned(),
        })?;
    let (_, logits) = logits
        .into_shape_vec::<f32, 2>()
        .map_err(|cause| ExportError::Layer {
            message: cause.to_string(),
        })?;
    Ok(logits)
}

/// A stage of the graph, ready to run.
struct Layer {
    model: Model,
    inputs: Vec<(String, NodeId)>,
    outputs: Vec<(String, NodeId)>,
}

impl Layer {
    fn new(graph: &crate::builder::Graph<'_>, stage: usize) -> Result<Self, ExportError> {
        let failed = |cause: &dyn std::fmt::Display| ExportError::Layer {
            message: format!("stage {stage} of the graph: {cause}"),
        };
        let Stage {
            onnx,
            weights,
            inputs,
            outputs,
        } = graph
            .stage(stage, &LENGTHS)
            .map_err(|cause| failed(&cause))?;
        let model = ModelOptions::with_all_ops()
            .prepack_weights(true)
            .external_data(FILE, weights)
            .load(onnx)
            .map_err(|cause| failed(&cause))?;
        let find = |names: Vec<String>| {
            let find = |name: String| {
                let id = model.node_id(&name).map_err(|cause| failed(&cause))?;
                Ok((name, id))
            };
            names
                .into_iter()
                .map(find)
                .collect::<Result<Vec<_>, ExportError>>()
        };
        let (inputs, outputs) = (find(inputs)?, find(outputs)?);
        Ok(Self {
            model,
            inputs,
            outputs,
        })
    }

    fn run(&self, sequences: &[Sequence]) -> Result<Vec<Sequence>, ExportError> {
        // rten would otherwise spread every small product over all threads.
        let pool = || Ok(Arc::new(ThreadPool::with_num_threads(1)));
        parallel::map(sequences, pool, |pool, sequence| {
            self.run_one(pool, sequence)
        })
    }

    fn run_one(
        &self,
        pool: &Arc<ThreadPool>,
        sequence: &Sequence,
    ) -> Result<Sequence, ExportError> {
        let failed = |message: String| ExportError::Layer { message };
        let input = |(name, id): &(String, NodeId)| {
            let value = sequence.get(name);
            let value = value.ok_or_else(|| failed(format!("no earlier layer makes {name}")))?;
            Ok((*id, value.as_view().into()))
        };
        let inputs: Result<Vec<_>, ExportError> = self.inputs.iter().map(input).collect();
        let outputs: Vec<NodeId> = self.outputs.iter().map(|(_, id)| *id).collect();
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(pool)));
        let values = self
            .model
            .run(inputs?, &outputs, Some(options))
            .map_err(|cause| failed(cause.to_string()))?;
        let names = self.outputs.iter().map(|(name, _)| name.clone());
        let mut next: Sequence = names.zip(values).collect();
        for name in LENGTHS {
            next.insert(name.to_owned(), sequence[name].clone());
        }
        Ok(next)
    }
}
