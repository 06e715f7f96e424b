//! Runs a network one layer at a time, all sequences through a layer before the next is made.
//!
//! The tensors are those of the exported file, and the engine is `native`, so what is measured here
//! is what is written. No more than one layer's weights are in memory, which the fp32 weights of a
//! large network would fill.

use std::collections::BTreeMap;
use std::sync::Arc;

use duoguard::{LayerSession, NetworkLayer, TokenRows, Weights};

use crate::builder::Graph;
use crate::checkpoint::Checkpoint;
use crate::error::ExportError;
use crate::features;
use crate::graph::{self, EMBEDDING, Form};
use crate::linear::le_bytes;
use crate::onnx::DataType;
use crate::parallel;
use crate::scheme::{Plan, Precision, Quantize};
use crate::weights::{Layout, Tensor};

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
        let mut rows = Vec::new();
        for number in 0..checkpoint.config().layers {
            let layer = Layer::new(checkpoint, &graph, number, chunk)?;
            if number == 0 {
                rows = layer.embed(chunk)?;
            }
            match layer.is_last {
                false => rows = layer.run(&rows)?,
                true => logits.extend(layer.logits(&rows)?),
            }
        }
    }
    Ok(logits)
}

/// The outlier features of every projection, found on windows.
pub(crate) fn outliers(
    checkpoint: &Checkpoint,
    windows: &[Vec<u32>],
) -> Result<BTreeMap<String, Vec<usize>>, ExportError> {
    let plan = Plan::new(Quantize::None);
    let graph = graph::build(checkpoint, &plan, Form::Window)?;
    let config = checkpoint.config();
    let (mut rows, mut outliers) = (Vec::new(), BTreeMap::new());
    for number in 0..config.layers {
        let layer = Layer::new(checkpoint, &graph, number, windows)?;
        if number == 0 {
            rows = layer.embed(windows)?;
        }
        let mut inputs: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for found in layer.each(&rows, |session, rows| session.inputs(rows))? {
            for (matrix, rows) in found {
                inputs.entry(matrix).or_default().extend(rows);
            }
        }
        for name in graph::projections(config, number) {
            let matrix = format!("{name}.weight");
            let rows = inputs.remove(&matrix).unwrap_or_default();
            let tensor = graph.tensors.iter().find(|tensor| tensor.name == matrix);
            let tensor = tensor.expect("a projection has weights");
            let squares = squares_by_input(&(tensor.bytes)(), tensor.shape[1]);
            let shift = graph::shift(config, &name).unwrap_or(0.0);
            outliers.insert(name, features::choose(&rows, &squares, shift));
        }
        if !layer.is_last {
            rows = layer.run(&rows)?;
        }
    }
    Ok(outliers)
}

/// The sums of the squares of each input's weights, of a matrix [inputs, outputs] of floats.
fn squares_by_input(bytes: &[u8], outputs: usize) -> Vec<f64> {
    let of_input = bytes.chunks_exact(4 * outputs).map(|row| {
        let square = |x: &[u8; 4]| f64::from(f32::from_le_bytes(*x)).powi(2);
        row.as_chunks().0.iter().map(square).sum()
    });
    of_input.collect()
}

/// How much each projection, as the only one that is quantised, in a precision of int8, moves the
/// logits: the mean absolute difference over the windows, the largest first.
pub(crate) fn sensitivities(
    checkpoint: &Checkpoint,
    windows: &[Vec<u32>],
    (precision, outliers): (Precision, &BTreeMap<String, Vec<usize>>),
) -> Result<Vec<(String, f64)>, ExportError> {
    let mut float = Plan::new(Quantize::None);
    float.outliers.clone_from(outliers);
    let graph = graph::build(checkpoint, &float, Form::Window)?;
    let (mut names, mut logits) = (Vec::new(), Vec::new());
    // The windows in fp32, then those of each projection quantised so far.
    let mut rows = Vec::new();
    for number in 0..checkpoint.config().layers {
        let layer = Layer::new(checkpoint, &graph, number, windows)?;
        if number == 0 {
            rows = layer.embed(windows)?;
        }
        let exact = rows.clone();
        match layer.is_last {
            false => rows = layer.run(&rows)?,
            true => logits = layer.logits(&rows)?,
        }
        drop(layer);
        for name in graph::projections(checkpoint.config(), number) {
            let mut plan = float.clone();
            plan.exceptions.insert(name.clone(), precision);
            let graph = graph::build(checkpoint, &plan, Form::Window)?;
            let layer = Layer::new(checkpoint, &graph, number, windows)?;
            let exact = &exact[..windows.len()];
            match layer.is_last {
                false => rows.extend(layer.run(exact)?),
                true => logits.extend(layer.logits(exact)?),
            }
            names.push(name);
        }
    }
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

/// A layer of the graph, ready to run.
struct Layer {
    layer: NetworkLayer,
    is_last: bool,
    /// The ids that the layer knows, in order: the embedding has a row for each of them alone.
    ids: Vec<u32>,
}

impl Layer {
    /// Layer `number`; the first one embeds `windows`.
    fn new(
        checkpoint: &Checkpoint,
        graph: &Graph<'_>,
        number: usize,
        windows: &[Vec<u32>],
    ) -> Result<Self, ExportError> {
        let is_last = number + 1 == checkpoint.config().layers;
        let mut ids = match number {
            0 => windows.concat(),
            _ => vec![0],
        };
        ids.sort_unstable();
        ids.dedup();
        let source = checkpoint.embedding();
        let embedding = Tensor {
            name: EMBEDDING.to_owned(),
            kind: DataType::Float,
            shape: vec![ids.len(), checkpoint.config().hidden],
            bytes: Box::new(|| {
                let rows = ids.iter().map(|id| checkpoint.row(source, *id as usize));
                le_bytes(rows.flatten())
            }),
        };
        let own = format!("layers.{number}.");
        let others = graph.tensors.iter().filter(|tensor| {
            tensor.name != EMBEDDING
                && (!tensor.name.starts_with("layers.") || tensor.name.starts_with(&own))
        });
        let tensors: Vec<_> = [&embedding].into_iter().chain(others).collect();
        let mut file = Vec::new();
        let failed = |cause: &dyn std::fmt::Display| ExportError::Layer {
            message: format!("layer {number}: {cause}"),
        };
        let layout = Layout::new(&tensors);
        layout
            .write(&tensors, &mut file)
            .map_err(|cause| failed(&cause))?;
        drop(tensors);
        drop(embedding);
        let weights = Weights::from_bytes(&file).map_err(|cause| failed(&cause))?;
        drop(file);
        let (onnx, _) = graph.whole();
        let layer = NetworkLayer::new(&onnx, &Arc::new(weights), number, is_last)
            .map_err(|cause| failed(&cause))?;
        Ok(Self {
            layer,
            is_last,
            ids,
        })
    }

    fn embed(&self, windows: &[Vec<u32>]) -> Result<Vec<TokenRows>, ExportError> {
        self.each(windows, |session, window| {
            let row = |id: &u32| self.ids.partition_point(|known| known < id) as u32;
            session.embed(&window.iter().map(row).collect::<Vec<_>>())
        })
    }

    fn run(&self, rows: &[TokenRows]) -> Result<Vec<TokenRows>, ExportError> {
        self.each(rows, |session, rows| session.run(rows))
    }

    fn logits(&self, rows: &[TokenRows]) -> Result<Vec<Vec<f32>>, ExportError> {
        self.each(rows, |session, rows| session.logits(rows))
    }

    fn each<T: Sync, R: Send>(
        &self,
        items: &[T],
        run: impl Fn(&mut LayerSession, &T) -> duoguard::Result<R> + Sync,
    ) -> Result<Vec<R>, ExportError> {
        let failed = |cause: duoguard::Error| ExportError::Layer {
            message: cause.to_string(),
        };
        let session = || self.layer.session().map_err(failed);
        parallel::map(items, session, |session, item| {
            run(session, item).map_err(failed)
        })
    }
}
