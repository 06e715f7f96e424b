//! The decoder as it lies in `weights.data`: its shape and its tensors, read by their names.
//!
//! Everything that a forward pass needs follows from the tensors, except one number, the epsilon of
//! the norms, which is taken from the graph. A tensor that this engine does not know belongs to a
//! network that it does not know, and is refused.

use std::collections::BTreeSet;
use std::ops::Range;

use safetensors::{Dtype, SafeTensors};

use super::shaders::{Format, HEAD_SIZE_MULTIPLE, MAX_HEAD_SIZE, Products};
use crate::bundle::Weights;
use crate::error::{Error, Result};

/// The shape of a decoder network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dimensions {
    pub(super) layers: usize,
    pub(super) hidden: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_size: usize,
    pub(super) intermediate: usize,
    pub(super) vocabulary: usize,
    pub(super) max_position: usize,
    pub(super) categories: usize,
    pub(super) epsilon: f32,
}

impl Dimensions {
    /// Width of all keys, or of all values, of a token.
    pub(super) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_size
    }
}

/// Columns of a matrix [inputs, outputs] of the file, with a scale and a bias for each.
#[derive(Clone, Debug)]
pub(super) struct Matrix<'a> {
    pub(super) format: Format,
    pub(super) inputs: usize,
    /// Columns of the tensor, of which `columns` are meant.
    pub(super) stride: usize,
    pub(super) columns: Range<usize>,
    pub(super) bytes: &'a [u8],
    /// Little-endian floats, one for each of `columns`; absent for floats.
    pub(super) scale: Option<&'a [u8]>,
    /// As `scale`; absent if there is none.
    pub(super) bias: Option<&'a [u8]>,
}

impl Matrix<'_> {
    /// How it is multiplied by, where int8 matrices are to be multiplied as `wanted`.
    pub(super) fn products(&self, wanted: Products) -> Products {
        match self.format {
            Format::Int8 if self.inputs <= Products::MAX_INT8_INPUTS => wanted,
            Format::Int8 | Format::F32 => Products::F32,
        }
    }

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
pub(super) struct Layer<'a> {
    pub(super) input_norm: &'a [u8],
    /// Query, key and value side by side; or, in the last layer, the query by itself, then key and
    /// value.
    pub(super) attention_input: Vec<Matrix<'a>>,
    pub(super) attention_output: Matrix<'a>,
    pub(super) post_attention_norm: &'a [u8],
    /// Gate and up, side by side.
    pub(super) gate_up: Matrix<'a>,
    pub(super) down: Matrix<'a>,
}

/// A network, borrowed from the bytes of `weights.data`.
#[derive(Debug)]
pub(super) struct Network<'a> {
    pub(super) dimensions: Dimensions,
    /// [vocabulary, hidden], with a scale for each row.
    pub(super) embedding: Matrix<'a>,
    pub(super) cosines: &'a [u8],
    pub(super) sines: &'a [u8],
    pub(super) layers: Vec<Layer<'a>>,
    pub(super) norm: &'a [u8],
    pub(super) score: Matrix<'a>,
}

impl<'a> Network<'a> {
    /// Reads the tensors of a safetensors file. `epsilon` is that of every norm.
    pub(super) fn read(weights: &'a [u8], epsilon: f32) -> Result<Self> {
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

fn check(d: &Dimensions) -> Result<()> {
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
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|cause| {
            Error::model(format!(
                "{}: damaged header: {cause}; get the bundle again",
                Weights::FILE
            ))
        })?;
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
    fn shape(&self, name: &str) -> Result<(usize, usize)> {
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

    fn network(mut self, d: Dimensions) -> Result<Network<'a>> {
        let layers = (0..d.layers)
            .map(|layer| self.layer(&d, layer))
            .collect::<Result<_>>()?;
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

    fn layer(&mut self, d: &Dimensions, layer: usize) -> Result<Layer<'a>> {
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

    fn embedding(&mut self, d: &Dimensions) -> Result<Matrix<'a>> {
        let (format, bytes) = self.numbers("embedding.weight", &[d.vocabulary, d.hidden])?;
        let scale = match format {
            Format::Int8 => Some(self.floats("embedding.scale", d.vocabulary)?),
            Format::F32 => None,
        };
        Ok(Matrix {
            format,
            inputs: d.vocabulary,
            stride: d.hidden,
            columns: 0..d.hidden,
            bytes,
            scale,
            bias: None,
        })
    }

    fn matrix(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Matrix<'a>> {
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
    fn floats(&mut self, name: &str, length: usize) -> Result<&'a [u8]> {
        let (dtype, shape, bytes) = self.take(name)?;
        if dtype != Dtype::F32 || shape.iter().product::<usize>() != length {
            return Err(unsupported(format!(
                "tensor {name} is {dtype:?} of shape {shape:?}; expected {length} values of F32"
            )));
        }
        Ok(bytes)
    }

    fn numbers(&mut self, name: &str, expected: &[usize]) -> Result<(Format, &'a [u8])> {
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

    fn take(&mut self, name: &str) -> Result<(Dtype, Vec<usize>, &'a [u8])> {
        self.untaken.remove(name);
        let view = self
            .file
            .tensor(name)
            .map_err(|_| unsupported(format!("tensor {name} is missing")))?;
        Ok((view.dtype(), view.shape().to_vec(), view.data()))
    }
}

fn unsupported(what: String) -> Error {
    Error::unsupported(format!(
        "{}: {what}: engine {} runs decoder networks as `duoguard export` writes them; use \
         another engine for this bundle",
        Weights::FILE,
        super::NAME
    ))
}

/// The floats of little-endian bytes.
pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    let floats = bytes.chunks_exact(4);
    floats
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect()
}
