//! The decoder as it lies in `weights.data`: its shape and its tensors, read by their names; for
//! engines that have a forward pass of their own.
//!
//! Everything that a forward pass needs follows from the tensors, except one number, the epsilon of
//! the norms, which is taken from the graph. A tensor that is not known belongs to a network that
//! is not known, and is refused.

#[cfg(any(test, feature = "wgpu"))]
pub(crate) mod reference;
#[cfg(any(test, feature = "wgpu"))]
pub(crate) mod sample;

use std::collections::BTreeSet;
use std::ops::Range;

use safetensors::{Dtype, SafeTensors};

use crate::bundle::Weights;
use crate::error::{Error, Result};
use crate::graph::Graph;

/// A head is rotated in two halves; engines take either in steps of four values.
pub(crate) const HEAD_SIZE_MULTIPLE: usize = 8;
/// The largest head that engines have room for in registers.
pub(crate) const MAX_HEAD_SIZE: usize = 128;

/// How the numbers of a matrix are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// 32-bit floats.
    F32,
    /// 8-bit integers with a scale per output.
    Int8,
}

/// How int8 weights are multiplied by activations.
#[cfg(any(test, feature = "wgpu"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Products {
    /// Weights are widened to f32.
    F32,
    /// Activations are rounded to int8 with a scale for every row (a token's); sums are exact.
    Int8,
}

#[cfg(any(test, feature = "wgpu"))]
impl Products {
    /// The most inputs whose products surely fit in an i32 together.
    pub(crate) const MAX_INT8_INPUTS: usize = i32::MAX as usize / (128 * 127);
}

#[cfg(any(test, feature = "wgpu"))]
impl Matrix<'_> {
    /// How it is multiplied by, where int8 matrices are to be multiplied as `wanted`.
    pub(crate) fn products(&self, wanted: Products) -> Products {
        match self.format {
            Format::Int8 if self.inputs <= Products::MAX_INT8_INPUTS => wanted,
            Format::Int8 | Format::F32 => Products::F32,
        }
    }
}

/// The shape of a decoder network.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dimensions {
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
    pub(crate) intermediate: usize,
    pub(crate) vocabulary: usize,
    pub(crate) max_position: usize,
    pub(crate) categories: usize,
    pub(crate) epsilon: f32,
}

impl Dimensions {
    /// Width of all keys, or of all values, of a token.
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_size
    }
}

/// Columns of a matrix [inputs, outputs] of the file, with a scale and a bias for each.
#[derive(Clone, Debug)]
pub(crate) struct Matrix<'a> {
    /// The name of its tensor.
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) inputs: usize,
    /// Columns of the tensor, of which `columns` are meant.
    pub(crate) stride: usize,
    pub(crate) columns: Range<usize>,
    pub(crate) bytes: &'a [u8],
    /// Little-endian floats, one for each of `columns`; absent for floats.
    pub(crate) scale: Option<&'a [u8]>,
    /// As `scale`; absent if there is none.
    pub(crate) bias: Option<&'a [u8]>,
}

impl Matrix<'_> {
    fn part(&self, columns: Range<usize>) -> Self {
        let floats = |bytes: &'_ [u8]| -> Range<usize> {
            debug_assert!(bytes.len() >= columns.end * 4);
            columns.start * 4..columns.end * 4
        };
        Self {
            columns: self.columns.start + columns.start..self.columns.start + columns.end,
            scale: self.scale.map(|bytes| &bytes[floats(bytes)]),
            bias: self.bias.map(|bytes| &bytes[floats(bytes)]),
            ..self.clone()
        }
    }
}

/// The tensors of a layer.
#[derive(Debug)]
pub(crate) struct Layer<'a> {
    pub(crate) input_norm: &'a [u8],
    /// Query, key and value side by side; or, in the last layer, the query by itself, then key and
    /// value.
    pub(crate) attention_input: Vec<Matrix<'a>>,
    pub(crate) attention_output: Matrix<'a>,
    pub(crate) post_attention_norm: &'a [u8],
    /// Gate and up, side by side.
    pub(crate) gate_up: Matrix<'a>,
    pub(crate) down: Matrix<'a>,
}

/// A network, borrowed from the bytes of `weights.data`.
#[derive(Debug)]
pub(crate) struct Network<'a> {
    pub(crate) dimensions: Dimensions,
    /// [vocabulary, hidden], with a scale for each row.
    pub(crate) embedding: Matrix<'a>,
    pub(crate) cosines: &'a [u8],
    pub(crate) sines: &'a [u8],
    pub(crate) layers: Vec<Layer<'a>>,
    pub(crate) norm: &'a [u8],
    pub(crate) score: Matrix<'a>,
}

impl<'a> Network<'a> {
    /// Reads the tensors of a safetensors file for an engine, which errors name. `epsilon` is that
    /// of every norm.
    pub(crate) fn read(engine: &'static str, weights: &'a [u8], epsilon: f32) -> Result<Self> {
        Self::read_tensors(weights, epsilon).map_err(|what| {
            let file = Weights::FILE;
            match what {
                What::Damaged(cause) => Error::model(format!(
                    "{file}: damaged header: {cause}; get the bundle again"
                )),
                What::Unknown(what) => Error::unsupported(format!(
                    "{file}: {what}: engine {engine} runs decoder networks as `duoguard export` \
                     writes them; use another engine for this bundle"
                )),
            }
        })
    }

    fn read_tensors(weights: &'a [u8], epsilon: f32) -> Read<Self> {
        let tensors = Tensors::read(weights)?;
        let (vocabulary, hidden) = tensors.shape("embedding.weight")?;
        let (max_position, half) = tensors.shape("rotary.cos")?;
        let (_, categories) = tensors.shape("score.weight")?;
        let head_size = 2 * half;
        if head_size == 0
            || !head_size.is_multiple_of(HEAD_SIZE_MULTIPLE)
            || head_size > MAX_HEAD_SIZE
        {
            return Err(unsupported(format!(
                "the head size is {head_size}; expected a multiple of {HEAD_SIZE_MULTIPLE} of at \
                 most {MAX_HEAD_SIZE}"
            )));
        }
        let layers = tensors.layers();
        if layers == 0 {
            return Err(unsupported(
                "there is no layers.0.input_norm.weight".to_owned(),
            ));
        }
        let (_, gate_up) = tensors.shape("layers.0.gate_up.weight")?;
        let outputs = match tensors.shape("layers.0.qkv.weight") {
            Ok((_, outputs)) => outputs,
            Err(_) => hidden + tensors.shape("layers.0.kv.weight")?.1,
        };
        let dimensions = Dimensions {
            layers,
            hidden,
            heads: hidden / head_size,
            kv_heads: outputs.saturating_sub(hidden) / (2 * head_size),
            head_size,
            intermediate: gate_up / 2,
            vocabulary,
            max_position,
            categories,
            epsilon,
        };
        check(&dimensions)?;
        tensors.network(dimensions)
    }
}

fn check(d: &Dimensions) -> Read<()> {
    let sizes = [
        ("hidden size", d.hidden),
        ("heads", d.heads),
        ("kv heads", d.kv_heads),
        ("intermediate size", d.intermediate),
        ("vocabulary", d.vocabulary),
        ("longest sequence", d.max_position),
        ("categories", d.categories),
    ];
    // Products of two such sizes fit in the 32 bits that shaders count with, divided by the four
    // values of a quad.
    if let Some((name, size)) = sizes.iter().find(|(_, size)| *size == 0 || *size > 1 << 20) {
        return Err(unsupported(format!(
            "the {name} would be {size}; expected 1 to {}",
            1 << 20
        )));
    }
    if d.heads * d.head_size != d.hidden || !d.heads.is_multiple_of(d.kv_heads) {
        return Err(unsupported(format!(
            "hidden size {}, head size {} and {} kv heads do not fit together",
            d.hidden, d.head_size, d.kv_heads
        )));
    }
    Ok(())
}

/// The tensors that are not taken yet.
struct Tensors<'a> {
    file: SafeTensors<'a>,
    untaken: BTreeSet<String>,
}

impl<'a> Tensors<'a> {
    fn read(bytes: &'a [u8]) -> Read<Self> {
        let file =
            SafeTensors::deserialize(bytes).map_err(|cause| What::Damaged(cause.to_string()))?;
        // The format allows no gaps: what aligns tensors is a tensor itself.
        let names = file.names().into_iter();
        let untaken = names
            .filter(|name| !name.starts_with("padding."))
            .map(str::to_owned)
            .collect();
        Ok(Self { file, untaken })
    }

    fn layers(&self) -> usize {
        let has = |layer: &usize| {
            self.untaken
                .contains(&format!("layers.{layer}.input_norm.weight"))
        };
        (0..).take_while(has).count()
    }

    /// The shape of a matrix.
    fn shape(&self, name: &str) -> Read<(usize, usize)> {
        let view = self
            .file
            .tensor(name)
            .map_err(|_| unsupported(format!("tensor {name} is missing")))?;
        match view.shape() {
            [rows, columns] => Ok((*rows, *columns)),
            shape => Err(unsupported(format!(
                "tensor {name} has the shape {shape:?}; expected a matrix"
            ))),
        }
    }

    fn network(mut self, d: Dimensions) -> Read<Network<'a>> {
        let layers = (0..d.layers)
            .map(|layer| self.layer(&d, layer))
            .collect::<Read<_>>()?;
        let network = Network {
            embedding: self.embedding(&d)?,
            cosines: self.floats("rotary.cos", d.max_position * d.head_size / 2)?,
            sines: self.floats("rotary.sin", d.max_position * d.head_size / 2)?,
            layers,
            norm: self.floats("norm.weight", d.hidden)?,
            score: self.matrix("score", d.hidden, d.categories)?,
            dimensions: d,
        };
        match self.untaken.first() {
            Some(name) => Err(unsupported(format!(
                "tensor {name} is none that it knows what to do with"
            ))),
            None => Ok(network),
        }
    }

    fn layer(&mut self, d: &Dimensions, layer: usize) -> Read<Layer<'a>> {
        let own = |name: &str| format!("layers.{layer}.{name}");
        let kv = 2 * d.kv_width();
        let is_last = layer + 1 == d.layers;
        let attention_input = if self.untaken.contains(&own("qkv.weight")) {
            let packed = self.matrix(&own("qkv"), d.hidden, d.hidden + kv)?;
            match is_last {
                true => vec![
                    packed.part(0..d.hidden),
                    packed.part(d.hidden..d.hidden + kv),
                ],
                false => vec![packed],
            }
        } else {
            vec![
                self.matrix(&own("q"), d.hidden, d.hidden)?,
                self.matrix(&own("kv"), d.hidden, kv)?,
            ]
        };
        Ok(Layer {
            input_norm: self.floats(&own("input_norm.weight"), d.hidden)?,
            attention_input,
            attention_output: self.matrix(&own("attention_output"), d.hidden, d.hidden)?,
            post_attention_norm: self.floats(&own("post_attention_norm.weight"), d.hidden)?,
            gate_up: self.matrix(&own("gate_up"), d.hidden, 2 * d.intermediate)?,
            down: self.matrix(&own("down"), d.intermediate, d.hidden)?,
        })
    }

    fn embedding(&mut self, d: &Dimensions) -> Read<Matrix<'a>> {
        let (format, bytes) = self.numbers("embedding.weight", &[d.vocabulary, d.hidden])?;
        let scale = match format {
            Format::Int8 => Some(self.floats("embedding.scale", d.vocabulary)?),
            Format::F32 => None,
        };
        Ok(Matrix {
            name: "embedding.weight".to_owned(),
            format,
            inputs: d.vocabulary,
            stride: d.hidden,
            columns: 0..d.hidden,
            bytes,
            scale,
            bias: None,
        })
    }

    fn matrix(&mut self, name: &str, inputs: usize, outputs: usize) -> Read<Matrix<'a>> {
        let (format, bytes) = self.numbers(&format!("{name}.weight"), &[inputs, outputs])?;
        let scale = match format {
            Format::Int8 => Some(self.floats(&format!("{name}.scale"), outputs)?),
            Format::F32 => None,
        };
        let bias = format!("{name}.bias");
        let bias = match self.untaken.contains(&bias) {
            true => Some(self.floats(&bias, outputs)?),
            false => None,
        };
        Ok(Matrix {
            name: format!("{name}.weight"),
            format,
            inputs,
            stride: outputs,
            columns: 0..outputs,
            bytes,
            scale,
            bias,
        })
    }

    /// The bytes of a vector of floats, whatever the shape that it is written with.
    fn floats(&mut self, name: &str, length: usize) -> Read<&'a [u8]> {
        let (dtype, shape, bytes) = self.take(name)?;
        if dtype != Dtype::F32 || shape.iter().product::<usize>() != length {
            return Err(unsupported(format!(
                "tensor {name} is {dtype:?} of shape {shape:?}; expected {length} values of F32"
            )));
        }
        Ok(bytes)
    }

    fn numbers(&mut self, name: &str, expected: &[usize]) -> Read<(Format, &'a [u8])> {
        let (dtype, shape, bytes) = self.take(name)?;
        let format = match dtype {
            Dtype::F32 => Format::F32,
            Dtype::I8 => Format::Int8,
            _ => {
                return Err(unsupported(format!(
                    "tensor {name} is stored as {dtype:?}; expected F32 or I8: export the model \
                     as int8, or use another engine"
                )));
            }
        };
        if shape != expected {
            return Err(unsupported(format!(
                "tensor {name} has the shape {shape:?}; expected {expected:?}"
            )));
        }
        Ok((format, bytes))
    }

    fn take(&mut self, name: &str) -> Read<(Dtype, Vec<usize>, &'a [u8])> {
        self.untaken.remove(name);
        let view = self
            .file
            .tensor(name)
            .map_err(|_| unsupported(format!("tensor {name} is missing")))?;
        Ok((view.dtype(), view.shape().to_vec(), view.data()))
    }
}

/// Why a network was not read.
enum What {
    /// The file is none of tensors.
    Damaged(String),
    /// The tensors are none of a network that is known.
    Unknown(String),
}

type Read<T> = std::result::Result<T, What>;

fn unsupported(what: String) -> What {
    What::Unknown(what)
}

/// The networks whose tensors have the names and the meaning that are known here;
/// `architecture.model_type` of the manifest.
const MODEL_TYPES: [&str; 2] = ["qwen2", "llama"];

/// Refuses, for an engine, a bundle whose tensors may mean something else than their names say. A
/// graph without a manifest is judged by its tensors alone.
pub(crate) fn check_origin(engine: &str, graph: &Graph) -> Result<()> {
    match graph.origin() {
        Some(origin) => check_field(
            engine,
            "architecture.model_type",
            &origin.model_type,
            &MODEL_TYPES,
        ),
        None => Ok(()),
    }
}

/// Refuses, for an engine, a value of a field of the manifest that is not among those it knows.
pub(crate) fn check_field(engine: &str, field: &str, found: &str, known: &[&str]) -> Result<()> {
    match known.contains(&found) {
        true => Ok(()),
        false => Err(Error::unsupported(format!(
            "manifest.json: {field} is {found:?}; engine {engine} knows {}: use another engine for \
             this bundle, or export the model again \
             as one of these",
            known.join(", ")
        ))),
    }
}

/// The floats of little-endian bytes.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    let floats = bytes.chunks_exact(4);
    floats
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect()
}
