//! A graph and its weights, and the contract that every engine relies on.

pub(crate) mod contract;
pub(crate) mod onnx;
mod slots;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

pub(crate) use self::contract::{INPUT, OUTPUT};
use self::contract::{check_columns, check_external, refused};
use self::onnx::Outline;
use self::slots::Slots;
use crate::bundle::files::{GRAPH, WEIGHTS};
use crate::bundle::{Bundle, Weights};
use crate::error::{Error, Result};

/// An ONNX graph with the weights that it points into; a bundle without the rest.
///
/// The graph has one input `input_ids`, int64 `[batch, tokens]`, and one output `logits`, float32
/// `[batch, categories]`. Its weights are ONNX external data in `weights.data`. Clones share
/// everything.
#[derive(Clone)]
pub struct Graph {
    file: &'static str,
    onnx: Arc<[u8]>,
    weights: Arc<Weights>,
    origin: Option<Arc<Origin>>,
    slots: Arc<Slots>,
}

/// What engines may want to know of the bundle that a graph is part of.
#[cfg_attr(
    not(feature = "wgpu"),
    allow(dead_code, reason = "other engines read the graph instead")
)]
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The SHA-256 of graph and weights.
    pub(crate) files: String,
    /// `architecture.model_type` of the manifest.
    pub(crate) model_type: String,
    /// `quantization.scheme` of the manifest.
    pub(crate) scheme: Option<String>,
    /// `architecture.max_position` of the manifest: the longest sequence, in tokens.
    pub(crate) max_position: usize,
    /// How many logits there are: categories, then languages.
    pub(crate) categories: usize,
}

impl Graph {
    /// Takes an ONNX model and the bytes of the `weights.data` that it refers to, and checks that
    /// they keep the contract.
    pub fn new(onnx: &[u8], weights: &[u8]) -> Result<Self> {
        let graph = Self::from_parts(onnx.into(), Arc::new(Weights::from_bytes(weights)?));
        graph.validate(None)?;
        Ok(graph)
    }

    /// The graph `model.onnx` of a bundle that was verified.
    pub(crate) fn of_bundle(bundle: &Bundle) -> Self {
        let manifest = bundle.manifest();
        let hashes = [GRAPH, WEIGHTS].map(|name| manifest.files.get(name).map_or("", |hash| hash));
        let scheme = manifest.quantization.get("scheme");
        let origin = Origin {
            files: hashes.concat(),
            model_type: manifest.architecture.model_type.clone(),
            scheme: scheme.and_then(|scheme| scheme.as_str().map(str::to_owned)),
            max_position: manifest.architecture.max_position,
            categories: manifest.outputs(),
        };
        Self::from_parts(bundle.file(GRAPH).into(), Arc::clone(bundle.weights()))
            .with_origin(origin)
    }

    pub(crate) fn from_parts(onnx: Arc<[u8]>, weights: Arc<Weights>) -> Self {
        Self {
            file: GRAPH,
            onnx,
            weights,
            origin: None,
            slots: Arc::default(),
        }
    }

    /// The same graph as part of a bundle.
    pub(crate) fn with_origin(self, origin: Origin) -> Self {
        Self {
            origin: Some(Arc::new(origin)),
            ..self
        }
    }

    /// Another graph of the same bundle, which computes the same of the same tensors: what engines
    /// keep of these is shared.
    pub(crate) fn beside(&self, file: &'static str, onnx: Arc<[u8]>) -> Self {
        Self {
            file,
            onnx,
            ..self.clone()
        }
    }

    /// The same graph, of which no engine keeps anything yet.
    pub(crate) fn apart(&self) -> Self {
        Self {
            slots: Arc::default(),
            ..self.clone()
        }
    }

    /// What is known of the bundle that it is part of; `None` for a graph alone.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_deref()
    }

    /// Its name in a bundle.
    pub(crate) fn file(&self) -> &'static str {
        self.file
    }

    /// The ONNX model, as it lies in the file.
    #[cfg_attr(
        not(feature = "onnxruntime"),
        allow(dead_code, reason = "native reads tensors instead")
    )]
    pub(crate) fn onnx(&self) -> &[u8] {
        &self.onnx
    }

    /// The bytes that it refers to as [`Weights::FILE`].
    pub(crate) fn weights(&self) -> &Arc<Weights> {
        &self.weights
    }

    /// What an engine keeps of the graph: made by the first session that asks, shared by the
    /// others, and made again if it is not usable any more. Each type has a place of its own, so
    /// that engines know nothing of each other.
    pub(crate) fn shared<T: Any + Send + Sync>(
        &self,
        is_usable: impl FnOnce(&T) -> bool,
        load: impl FnOnce() -> Result<T>,
    ) -> Result<Arc<T>> {
        self.slots.get_or_load(is_usable, load)
    }

    /// What the network's norms add to the mean square: the one number of a decoder that is not
    /// among its tensors.
    pub(crate) fn norm_epsilon(&self) -> Result<f32> {
        let outline = self.outline()?;
        match outline.epsilons[..] {
            [first, ref rest @ ..] if rest.iter().all(|other| *other == first) && first >= 0.0 => {
                Ok(first)
            }
            ref found => Err(Error::unsupported(format!(
                "{}: its norms have the epsilons {found:?}; expected one, the same everywhere: use \
                 another engine for this bundle",
                self.file
            ))),
        }
    }

    /// What the graph needs and gives.
    pub(crate) fn outline(&self) -> Result<Outline> {
        onnx::outline(&self.onnx).map_err(|what| refused(self.file, format!("damaged: {what}")))
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
        } = self.outline()?;
        match &inputs[..] {
            [input] if input.name == INPUT => {}
            _ => {
                return Err(refused(
                    self.file,
                    format!("the inputs are {inputs:?}; expected {INPUT} alone"),
                ));
            }
        }
        match &outputs[..] {
            [output] if output.name == OUTPUT => {
                if let Some(expected) = categories {
                    check_columns(self.file, output, expected)?;
                }
            }
            _ => {
                return Err(refused(
                    self.file,
                    format!("the outputs are {outputs:?}; expected {OUTPUT} alone"),
                ));
            }
        }
        check_external(self.file, external, self.weights.len() as u64)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("onnx_bytes", &self.onnx.len())
            .field("weights_bytes", &self.weights.len())
            .finish_non_exhaustive()
    }
}
