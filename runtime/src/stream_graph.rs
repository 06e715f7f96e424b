//! The graph for streams: it goes on from the keys and values of the tokens before.

use crate::bundle::Bundle;
use crate::bundle::files::STREAM;
use crate::error::Result;
use crate::graph::Graph;
use crate::graph::contract::{INPUT, OUTPUT, check_columns, check_external, refused};
use crate::graph::onnx::{Outline, Port};

/// A graph with the inputs and outputs of [`Graph`], for one text, and two more of
/// either for each layer: the keys and the values of the tokens before, float32 `[1, heads, before,
/// size]`, and those of all tokens.
#[derive(Debug)]
pub(crate) struct StreamGraph {
    pub(crate) graph: Graph,
    pub(crate) shape: CacheShape,
}

/// How the keys and values of a network lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheShape {
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) size: usize,
}

impl StreamGraph {
    /// The graph `stream.onnx` of a bundle beside that for whole windows, if it has one. Checks the
    /// contract, as [`Graph::validate`] does.
    pub(crate) fn of_bundle(bundle: &Bundle, whole: &Graph) -> Result<Option<Self>> {
        let Some(onnx) = bundle.optional_file(STREAM) else {
            return Ok(None);
        };
        let manifest = bundle.manifest();
        let graph = whole.beside(STREAM, onnx.into());
        let Outline {
            inputs,
            outputs,
            external,
            ..
        } = graph.outline()?;
        let (layers, heads) = (manifest.architecture.layers, manifest.architecture.kv_heads);
        let size = inputs
            .get(1)
            .and_then(|port| *port.shape.last()?)
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| *size > 0);
        let Some(size) = size else {
            return Err(refused(
                STREAM,
                format!(
                    "the inputs are {inputs:?}; expected {INPUT} and keys and values of a fixed \
                     size"
                ),
            ));
        };
        let shape = CacheShape {
            layers,
            heads,
            size,
        };
        check_ports("inputs", &inputs, (INPUT, "past"), shape)?;
        check_ports("outputs", &outputs, (OUTPUT, "present"), shape)?;
        check_columns(STREAM, &outputs[0], manifest.outputs())?;
        check_external(STREAM, external, graph.weights().len() as u64)?;
        Ok(Some(Self { graph, shape }))
    }

    /// The names of its inputs.
    #[cfg_attr(
        not(feature = "onnxruntime"),
        allow(dead_code, reason = "native reads tensors instead")
    )]
    pub(crate) fn inputs(&self) -> Vec<String> {
        names((INPUT, "past"), self.shape.layers).collect()
    }

    /// The names of its outputs, in the order of the inputs.
    #[cfg_attr(
        not(feature = "onnxruntime"),
        allow(dead_code, reason = "native reads tensors instead")
    )]
    pub(crate) fn outputs(&self) -> Vec<String> {
        names((OUTPUT, "present"), self.shape.layers).collect()
    }
}

fn names(
    (first, time): (&'static str, &'static str),
    layers: usize,
) -> impl Iterator<Item = String> {
    let of_layer =
        move |layer| ["key", "value"].map(|part| format!("layers.{layer}.{time}_{part}"));
    std::iter::once(first.to_owned()).chain((0..layers).flat_map(of_layer))
}

fn check_ports(
    what: &str,
    found: &[Port],
    expected: (&'static str, &'static str),
    shape: CacheShape,
) -> Result<()> {
    let (first, time) = expected;
    // A manifest may claim any number of layers; no more names are made than there are ports.
    let count = shape.layers.checked_mul(2).and_then(|n| n.checked_add(1));
    if count != Some(found.len()) {
        return Err(refused(
            STREAM,
            format!(
                "it has {} {what}; expected {first}, and {time}_key and {time}_value of the {} \
                 layers that manifest.json says",
                found.len(),
                shape.layers
            ),
        ));
    }
    for (index, (port, name)) in found.iter().zip(names(expected, shape.layers)).enumerate() {
        if port.name != name {
            return Err(refused(
                STREAM,
                format!(
                    "number {index} of the {what} is {:?}; expected {name:?}",
                    port.name
                ),
            ));
        }
        let (heads, size) = (Some(shape.heads as u64), Some(shape.size as u64));
        let fits = matches!(port.shape[..], [_, h, _, s] if h == heads && s == size);
        if index > 0 && !fits {
            return Err(refused(
                STREAM,
                format!(
                    "{name} has the shape {:?}; expected [1, {}, any number of tokens, {}], with \
                     the kv_heads of manifest.json",
                    port.shape, shape.heads, shape.size
                ),
            ));
        }
    }
    Ok(())
}
