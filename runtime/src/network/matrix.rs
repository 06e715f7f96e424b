//! Matrices as they lie in `weights.data`, and the sizes of a network.

use std::ops::Range;

/// How the numbers of a matrix are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// 32-bit floats.
    F32,
    /// 8-bit integers with a scale per output.
    Int8,
    /// 4-bit integers with a scale for every [`BLOCK`] inputs of an output.
    Blocks,
}

impl Format {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::F32, Self::Int8, Self::Blocks];

    /// How `weights.data` calls the type of its elements.
    pub(super) fn dtype(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::Int8 => "I8",
            Self::Blocks => "U8",
        }
    }
}

/// The formats that an engine knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Formats {
    /// Of matrices that rows are multiplied by.
    pub(crate) matrices: &'static [Format],
    /// Of the embedding, from which rows are taken.
    pub(crate) embedding: &'static [Format],
}

impl Formats {
    /// All formats everywhere.
    pub(crate) const ALL: Self = Self {
        matrices: &Format::ALL,
        embedding: &Format::ALL,
    };
}

/// Values that share a scale, in a matrix of 4-bit integers.
pub(crate) const BLOCK: usize = 32;

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
            Format::Int8 | Format::Blocks if self.inputs <= Products::MAX_INT8_INPUTS => wanted,
            Format::Int8 | Format::F32 | Format::Blocks => Products::F32,
        }
    }
}

/// The shape of a network.
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

/// Columns of a matrix [inputs, outputs] of the file, with a scale and a bias for each. In blocks
/// it lies `[outputs, inputs / 32, 16]`, two inputs in a byte, the first in the low half; 8 is
/// zero.
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
    /// Little-endian floats, one for each of `columns`, or as many as a column has blocks; absent
    /// for floats.
    pub(crate) scale: Option<&'a [u8]>,
    /// As `scale`; absent if there is none.
    pub(crate) bias: Option<&'a [u8]>,
    /// Absent if all inputs are rounded alike, or none.
    pub(crate) outliers: Option<Outliers<'a>>,
}

/// Outlier features of a matrix: inputs that are rounded to 16 bits, with a scale of their own,
/// where all others are rounded to 8. After LLM.int8 (arXiv 2208.07339).
#[derive(Clone, Debug)]
pub(crate) struct Outliers<'a> {
    /// Which of the inputs they are: ascending, at least one.
    pub(crate) inputs: Vec<usize>,
    /// Absent if the others are of both signs.
    pub(crate) shift: Option<Shift<'a>>,
}

/// What is added to inputs before they are rounded, so that none is negative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shift<'a> {
    pub(crate) term: f32,
    /// What that adds to each output: little-endian floats, one for each of the columns.
    pub(crate) product: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// Some of its columns.
    pub(super) fn part(&self, columns: Range<usize>) -> Self {
        let all = self.columns.len();
        let part = |bytes: &'a [u8]| -> &'a [u8] {
            let width = bytes.len() / all;
            &bytes[columns.start * width..columns.end * width]
        };
        Self {
            columns: self.columns.start + columns.start..self.columns.start + columns.end,
            scale: self.scale.map(part),
            bias: self.bias.map(part),
            outliers: self.outliers.as_ref().map(|outliers| Outliers {
                shift: outliers.shift.map(|shift| Shift {
                    product: part(shift.product),
                    ..shift
                }),
                ..outliers.clone()
            }),
            ..self.clone()
        }
    }
}

/// The floats of little-endian bytes.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    let floats = bytes.chunks_exact(4);
    floats
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect()
}
