//! A graph and its weights, and the contract that every engine relies on.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

mod stream;

pub(crate) use self::stream::{CacheShape, StreamGraph};
use crate::bundle::{GRAPH, WEIGHTS};
use crate::engine::{self, Engine, EngineChoice, LoadedRten, Weights};
use crate::error::{Error, Result};
use crate::onnx::{self, External, Outline, Port};

/// The graph's only input: int64, `[batch, tokens]`.
pub(crate) const INPUT: &str = "input_ids";
/// The graph's only output: float32, `[batch, categories]`.
pub(crate) const OUTPUT: &str = "logits";

/// An ONNX graph with the weights that it points into; a bundle without the rest.
///
/// The graph has one input `input_ids`, int64 `[batch, tokens]`, and one output `logits`, float32
/// `[batch, categories]`. Its weights are ONNX external data in `weights.data`. Clones share
/// everything.
#[derive(Clone)]
pub struct Graph {
    onnx: Arc<[u8]>,
    weights: Arc<Weights>,
    #[cfg_attr(not(feature = "wgpu"), allow(dead_code))]
    origin: Option<Arc<Origin>>,
    rten: Shared<LoadedRten>,
    #[cfg(feature = "wgpu")]
    wgpu: Shared<crate::engine::ResidentWgpu>,
}

/// What engines may want to know of the bundle that a graph is part of.
#[cfg_attr(not(feature = "wgpu"), allow(dead_code))]
#[derive(Debug)]
pub(crate) struct Origin {
    /// The bundle's folder; `None` if it was opened from memory.
    pub(crate) folder: Option<PathBuf>,
    /// The SHA-256 of graph and weights.
    pub(crate) files: String,
    /// `architecture.model_type` of the manifest.
    pub(crate) model_type: String,
    /// `quantization.scheme` of the manifest.
    pub(crate) scheme: Option<String>,
}

/// Something that the first session that needs it makes, and the others share.
type Shared<T> = Arc<Mutex<Option<Arc<T>>>>;

impl Graph {
    /// Takes an ONNX model and the bytes of the `weights.data` that it refers to, and checks that
    /// they keep the contract.
    pub fn new(onnx: &[u8], weights: &[u8]) -> Result<Self> {
        let graph = Self::from_parts(onnx.into(), Arc::new(Weights::from_bytes(weights)?));
        graph.validate(None)?;
        Ok(graph)
    }

    /// Opens the graph on the named engine.
    pub fn open_engine(&self, name: &str, threads: NonZeroUsize) -> Result<Box<dyn Engine>> {
        self.open(&EngineChoice::Named(name.to_owned()), threads)
    }

    pub(crate) fn open(
        &self,
        choice: &EngineChoice,
        threads: NonZeroUsize,
    ) -> Result<Box<dyn Engine>> {
        engine::open(self, choice, threads)
    }

    pub(crate) fn from_parts(onnx: Arc<[u8]>, weights: Arc<Weights>) -> Self {
        Self {
            onnx,
            weights,
            origin: None,
            rten: Arc::default(),
            #[cfg(feature = "wgpu")]
            wgpu: Arc::default(),
        }
    }

    /// The same graph as part of a bundle.
    pub(crate) fn of_bundle(self, origin: Origin) -> Self {
        Self {
            origin: Some(Arc::new(origin)),
            ..self
        }
    }

    #[cfg(feature = "wgpu")]
    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_deref()
    }

    pub(crate) fn onnx(&self) -> &[u8] {
        &self.onnx
    }

    pub(crate) fn weights(&self) -> &Arc<Weights> {
        &self.weights
    }

    /// The graph as `rten` keeps it, loaded by the first session that asks.
    pub(crate) fn shared_rten(
        &self,
        load: impl FnOnce() -> Result<LoadedRten>,
    ) -> Result<Arc<LoadedRten>> {
        shared(&self.rten, |_| true, load)
    }

    /// The network as `wgpu` keeps it, loaded by the first session that asks, and again if it is
    /// not usable any more.
    #[cfg(feature = "wgpu")]
    pub(crate) fn shared_wgpu(
        &self,
        is_usable: impl FnOnce(&crate::engine::ResidentWgpu) -> bool,
        load: impl FnOnce() -> Result<crate::engine::ResidentWgpu>,
    ) -> Result<Arc<crate::engine::ResidentWgpu>> {
        shared(&self.wgpu, is_usable, load)
    }

    /// What the network's norms add to the mean square: the one number of a decoder that is not
    /// among its tensors.
    #[cfg(feature = "wgpu")]
    pub(crate) fn norm_epsilon(&self) -> Result<f32> {
        let outline = self.outline(GRAPH)?;
        match outline.epsilons[..] {
            [first, ref rest @ ..] if rest.iter().all(|other| *other == first) && first >= 0.0 => {
                Ok(first)
            }
            ref found => Err(Error::unsupported(format!(
                "model.onnx: its norms have the epsilons {found:?}; expected one, the same everywhere: use another engine for this bundle"
            ))),
        }
    }

    /// What the graph needs and gives; `file` is its name in a bundle.
    fn outline(&self, file: &str) -> Result<Outline> {
        onnx::outline(&self.onnx).map_err(|what| refused(file, format!("damaged: {what}")))
    }

    /// Checks the contract on the bytes, before an engine sees them: engines differ in what they
    /// let pass. ONNX Runtime, for one, would read external data from any file that the graph
    /// names.
    pub(crate) fn validate(&self, categories: Option<usize>) -> Result<()> {
        let Outline {
            inputs,
            outputs,
            external,
            ..
        } = self.outline(GRAPH)?;
        match &inputs[..] {
            [input] if input.name == INPUT => {}
            _ => {
                return Err(refused(
                    GRAPH,
                    format!("the inputs are {inputs:?}; expected {INPUT} alone"),
                ));
            }
        }
        match &outputs[..] {
            [output] if output.name == OUTPUT => {
                if let Some(expected) = categories {
                    check_columns(GRAPH, output, expected)?;
                }
            }
            _ => {
                return Err(refused(
                    GRAPH,
                    format!("the outputs are {outputs:?}; expected {OUTPUT} alone"),
                ));
            }
        }
        check_external(GRAPH, external, self.weights.len() as u64)
    }
}

fn refused(file: &str, what: String) -> Error {
    Error::model(format!(
        "{file}: {what}; get the bundle again or export the model again"
    ))
}

fn check_columns(file: &str, output: &Port, expected: usize) -> Result<()> {
    match output.shape.last() {
        Some(Some(found)) if *found != expected as u64 => Err(refused(
            file,
            format!("{OUTPUT} has {found} columns, but manifest.json lists {expected} categories"),
        )),
        _ => Ok(()),
    }
}

/// Checks that tensors outside the graph lie in `weights.data`, whose size is given.
fn check_external(file: &str, external: Vec<External>, size: u64) -> Result<()> {
    for tensor in external {
        if tensor.location != WEIGHTS {
            return Err(refused(
                file,
                format!(
                    "tensor {:?} is stored in {:?}; expected {WEIGHTS}",
                    tensor.name, tensor.location
                ),
            ));
        }
        // ONNX Runtime reads as much as the shape needs, whatever the length says.
        let length = match (tensor.length, tensor.needed) {
            (Some(length), Some(needed)) if length == needed => length,
            (length, needed) => {
                let size = |size: Option<u64>| {
                    size.map_or("an unknown number of".to_owned(), |size| size.to_string())
                };
                return Err(refused(
                    file,
                    format!(
                        "tensor {:?} is stored in {} bytes, but its shape and type need {} bytes",
                        tensor.name,
                        size(length),
                        size(needed)
                    ),
                ));
            }
        };
        let end = tensor.offset.checked_add(length);
        if end.is_none_or(|end| end > size) {
            return Err(refused(
                file,
                format!(
                    "tensor {:?} is stored at {} with length {length}, beyond the end of {WEIGHTS} at {size}",
                    tensor.name, tensor.offset
                ),
            ));
        }
    }
    Ok(())
}

fn shared<T>(
    slot: &Mutex<Option<Arc<T>>>,
    is_usable: impl FnOnce(&T) -> bool,
    load: impl FnOnce() -> Result<T>,
) -> Result<Arc<T>> {
    // Nothing under the lock leaves the slot half-written, so a poisoned lock is as good as any.
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = slot.take().filter(|loaded| is_usable(loaded)) {
        return Ok(Arc::clone(slot.insert(loaded)));
    }
    Ok(Arc::clone(slot.insert(Arc::new(load()?))))
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("onnx_bytes", &self.onnx.len())
            .field("weights_bytes", &self.weights.len())
            .finish_non_exhaustive()
    }
}
