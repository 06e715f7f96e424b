//! The tensors of `weights.data` by their names, each taken once.

use std::collections::BTreeSet;

use safetensors::{Dtype, SafeTensors};

use super::matrix::{BLOCK, Dimensions, Format, Formats, Matrix, Outliers, Shift, floats};
use crate::bundle::Weights;
use crate::error::Error;

/// A layer that is alone in its file, with what no layer has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnlyLayer {
    /// Its number in the network.
    pub(crate) number: usize,
    /// Whether no other follows it in the network.
    pub(crate) is_last: bool,
}

/// The tensors that are not taken yet.
pub(super) struct Tensors<'a> {
    file: SafeTensors<'a>,
    pub(super) untaken: BTreeSet<String>,
    /// The formats that the engine knows.
    formats: Formats,
    only: Option<OnlyLayer>,
}

impl<'a> Tensors<'a> {
    /// Those of a whole network, or with one layer of it.
    pub(super) fn read(bytes: &'a [u8], formats: Formats, only: Option<OnlyLayer>) -> Read<Self> {
        let file =
            SafeTensors::deserialize(bytes).map_err(|cause| What::Damaged(cause.to_string()))?;
        // The format allows no gaps: what aligns tensors is a tensor itself.
        let names = file.names().into_iter();
        let untaken = names
            .filter(|name| !name.starts_with("padding."))
            .map(str::to_owned)
            .collect();
        Ok(Self {
            file,
            untaken,
            formats,
            only,
        })
    }

    /// The shape of a matrix, inputs by outputs, however it is stored.
    pub(super) fn shape(&self, name: &str) -> Read<(usize, usize)> {
        let view = self
            .file
            .tensor(name)
            .map_err(|_| unsupported(format!("tensor {name} is missing")))?;
        match view.shape() {
            [rows, columns] => Ok((*rows, *columns)),
            [columns, blocks, _] => Ok((blocks.saturating_mul(BLOCK), *columns)),
            shape => Err(unsupported(format!(
                "tensor {name} has the shape {shape:?}; expected a matrix"
            ))),
        }
    }

    pub(super) fn embedding(&mut self, d: &Dimensions) -> Read<Matrix<'a>> {
        let (formats, shape) = (self.formats.embedding, [d.vocabulary, d.hidden]);
        let (format, bytes) = self.numbers(
            "embedding.weight",
            formats,
            &shape,
            &[d.vocabulary, d.hidden / 2],
        )?;
        let scale = match format {
            Format::F32 => None,
            Format::Int8 => Some(self.floats("embedding.scale", d.vocabulary)?),
            Format::Blocks => {
                whole_blocks("embedding.weight", d.hidden)?;
                let scales = d.vocabulary * (d.hidden / BLOCK);
                Some(self.floats("embedding.scale", scales)?)
            }
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
            outliers: None,
        })
    }

    /// A matrix and its scales, with the bias of its own name if there is one.
    pub(super) fn matrix(&mut self, name: &str, inputs: usize, outputs: usize) -> Read<Matrix<'a>> {
        let weight = format!("{name}.weight");
        let in_blocks = [outputs, inputs / BLOCK, BLOCK / 2];
        let (format, bytes) = self.numbers(
            &weight,
            self.formats.matrices,
            &[inputs, outputs],
            &in_blocks,
        )?;
        let scales = match format {
            Format::F32 => None,
            Format::Int8 => Some(outputs),
            Format::Blocks => {
                whole_blocks(&weight, inputs)?;
                Some(outputs * (inputs / BLOCK))
            }
        };
        let scale = match scales {
            Some(scales) => Some(self.floats(&format!("{name}.scale"), scales)?),
            None => None,
        };
        let bias = format!("{name}.bias");
        let bias = match self.untaken.contains(&bias) {
            true => Some(self.floats(&bias, outputs)?),
            false => None,
        };
        Ok(Matrix {
            name: weight,
            format,
            inputs,
            stride: outputs,
            columns: 0..outputs,
            bytes,
            scale,
            bias,
            outliers: self.outliers(name, inputs, outputs)?,
        })
    }

    /// The outlier features of a matrix, if it has any.
    fn outliers(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Read<Option<Outliers<'a>>> {
        let list = format!("{name}.outliers");
        if !self.untaken.contains(&list) {
            return Ok(None);
        }
        let (dtype, shape, bytes) = self.take(&list)?;
        let (numbers, _) = bytes.as_chunks();
        let numbers: Vec<usize> = numbers
            .iter()
            .map(|bytes| usize::try_from(i32::from_le_bytes(*bytes)).unwrap_or(usize::MAX))
            .collect();
        let is_ascending = numbers.is_sorted_by(|a, b| a < b);
        let is_within = numbers.last().is_some_and(|last| *last < inputs);
        if dtype != Dtype::I32 || shape.len() != 1 || !is_ascending || !is_within {
            return Err(unsupported(format!(
                "tensor {list} is {dtype:?} of shape {shape:?}; expected a list of I32, ascending \
                 and less than {inputs}"
            )));
        }
        let shift = match self.untaken.contains(&format!("{name}.shift")) {
            false => None,
            true => {
                let term = floats(self.floats(&format!("{name}.shift"), 1)?)[0];
                let product = self.floats(&format!("{name}.shifted"), outputs)?;
                Some(Shift { term, product })
            }
        };
        Ok(Some(Outliers {
            inputs: numbers,
            shift,
        }))
    }

    /// Query, key and value side by side, or, if `splits` and anyway where the file has them apart,
    /// the query by itself, then key and value.
    pub(super) fn attention_input(
        &mut self,
        d: &Dimensions,
        layer: usize,
        splits: bool,
    ) -> Read<Vec<Matrix<'a>>> {
        let [query, rest, all] = ["q", "kv", "qkv"].map(|name| self.in_layer(layer, name));
        let kv = 2 * d.kv_width();
        if !self.untaken.contains(&format!("{all}.weight")) {
            let query = self.matrix(&query, d.hidden, d.hidden)?;
            return Ok(vec![query, self.matrix(&rest, d.hidden, kv)?]);
        }
        let packed = self.matrix(&all, d.hidden, d.hidden + kv)?;
        Ok(match splits {
            true => vec![
                packed.part(0..d.hidden),
                packed.part(d.hidden..d.hidden + kv),
            ],
            false => vec![packed],
        })
    }

    /// The number in the network of the file's first layer.
    pub(super) fn first_layer(&self) -> usize {
        self.only.map_or(0, |only| only.number)
    }

    /// The name of a tensor of a layer, counted from the file's first.
    pub(super) fn in_layer(&self, layer: usize, name: &str) -> String {
        format!("layers.{}.{name}", self.first_layer() + layer)
    }

    /// Whether a layer, counted from the file's first, is the network's last: only what is judged
    /// goes through it.
    pub(super) fn is_last(&self, d: &Dimensions, layer: usize) -> bool {
        self.only.map_or(layer + 1 == d.layers, |only| only.is_last)
    }

    /// How many layers have a tensor of this name.
    pub(super) fn layers(&self, name: &str) -> usize {
        let has = |layer: &usize| self.untaken.contains(&self.in_layer(*layer, name));
        (0..).take_while(has).count()
    }

    /// Refuses a file that holds tensors which nothing took.
    pub(super) fn all_taken(&self) -> Read<()> {
        match self.untaken.first() {
            Some(name) => Err(unsupported(format!(
                "tensor {name} is none that it knows what to do with"
            ))),
            None => Ok(()),
        }
    }

    /// The bytes of a vector of floats, whatever the shape that it is written with.
    pub(super) fn floats(&mut self, name: &str, length: usize) -> Read<&'a [u8]> {
        let (dtype, shape, bytes) = self.take(name)?;
        if dtype != Dtype::F32 || shape.iter().product::<usize>() != length {
            return Err(unsupported(format!(
                "tensor {name} is {dtype:?} of shape {shape:?}; expected {length} values of F32"
            )));
        }
        Ok(bytes)
    }

    /// The bytes of a matrix in one of some formats; its shape depends on which.
    fn numbers(
        &mut self,
        name: &str,
        formats: &[Format],
        expected: &[usize],
        in_blocks: &[usize],
    ) -> Read<(Format, &'a [u8])> {
        let (dtype, shape, bytes) = self.take(name)?;
        let format = match dtype {
            Dtype::F32 => Some(Format::F32),
            Dtype::I8 => Some(Format::Int8),
            Dtype::U8 => Some(Format::Blocks),
            _ => None,
        };
        let Some(format) = format.filter(|format| formats.contains(format)) else {
            let known: Vec<_> = formats.iter().map(|format| format.dtype()).collect();
            return Err(unsupported(format!(
                "tensor {name} is stored as {dtype:?}; expected {}: export the model as int8, or \
                 use another engine",
                known.join(" or ")
            )));
        };
        let expected = match format {
            Format::Blocks => in_blocks,
            Format::F32 | Format::Int8 => expected,
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

fn whole_blocks(name: &str, inputs: usize) -> Read<()> {
    match inputs.is_multiple_of(BLOCK) {
        true => Ok(()),
        false => Err(unsupported(format!(
            "tensor {name} has {inputs} values in a row; expected a multiple of {BLOCK}, the \
             values of a block"
        ))),
    }
}

/// Why a network was not read.
pub(super) enum What {
    /// The file is none of tensors.
    Damaged(String),
    /// The tensors are none of a network that is known.
    Unknown(String),
}

pub(super) type Read<T> = std::result::Result<T, What>;

pub(super) fn unsupported(what: String) -> What {
    What::Unknown(what)
}

impl What {
    /// As an error of an engine that runs networks of a kind.
    pub(super) fn error(self, engine: &'static str, kind: &str) -> Error {
        let file = Weights::FILE;
        match self {
            Self::Damaged(cause) => Error::model(format!(
                "{file}: damaged header: {cause}; get the bundle again"
            )),
            Self::Unknown(what) => Error::unsupported(format!(
                "{file}: {what}: engine {engine} runs {kind} networks as `duoguard export` writes \
                 them; use another engine for this bundle"
            )),
        }
    }
}
