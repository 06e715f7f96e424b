//! What a forward pass does, step by step: the same list is executed, counted and printed.
//!
//! A matrix that is too large for one binding is split by its outputs into parts, each of which is
//! a dispatch of its own.

mod encoder;

use std::ops::Range;

use super::shaders::{Format, Mode, Products, Shader, Sight, Tiling};
use crate::network::{Dimensions, Matrix, Network};

/// The buffers that hold what flows through the network. Each has a row for every token, but for
/// `Query`, `Pooled` and `Logits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Slot {
    /// The token ids.
    Ids,
    /// The residual stream, [rows, hidden].
    Residual,
    /// Query, key and value side by side, [rows, hidden + 2 * kv width].
    Packed,
    /// The last layer's queries, [sequences, hidden]; later what an encoder's pooler gives.
    Query,
    /// The means of an encoder's sequences, [sequences, hidden].
    Pooled,
    /// What attention gives, [rows, hidden]; in the last layer [sequences, hidden].
    Mixed,
    /// What is inside the feed-forward block, [rows, intermediate]; in the last layer [sequences,
    /// intermediate].
    Inner,
    /// [sequences, categories].
    Logits,
}

impl Slot {
    pub(super) const ALL: [Self; 8] = [
        Self::Ids,
        Self::Residual,
        Self::Packed,
        Self::Query,
        Self::Pooled,
        Self::Mixed,
        Self::Inner,
        Self::Logits,
    ];

    /// Bytes of a row. Rows begin on a quad, but for ids.
    pub(super) fn row_bytes(self, d: &Dimensions) -> usize {
        match self {
            Self::Ids => 4,
            Self::Residual | Self::Query | Self::Pooled | Self::Mixed => 4 * d.hidden,
            Self::Packed => 4 * (d.hidden + 2 * d.kv_width()),
            Self::Inner => 16 * quads(d.intermediate),
            Self::Logits => 16 * quads(d.categories),
        }
    }

    /// Whether it has a row for every sequence, not for every token.
    pub(super) fn is_per_sequence(self) -> bool {
        matches!(self, Self::Query | Self::Pooled | Self::Logits)
    }
}

/// Which tokens of every sequence count, in a buffer that has a row for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tokens {
    All = 0,
    Last = 1,
    First = 2,
}

/// A part of a matrix, as it is bound: ranges of its columns, each filled up to a quad, side by
/// side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) ranges: Vec<Range<usize>>,
}

impl Part {
    /// Quads of a row.
    pub(super) fn width(&self) -> usize {
        self.ranges.iter().map(|range| quads(range.len())).sum()
    }
}

/// A linear layer, one part of its matrix.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub(super) mode: Mode,
    pub(super) format: Format,
    /// Of `Format::Int8`; other formats have no choice.
    pub(super) products: Products,
    /// Which matrix, in the order of the network's.
    pub(super) matrix: usize,
    pub(super) part: Part,
    /// Which norm, in the order of the network's.
    pub(super) norm: Option<usize>,
    /// Inputs, before they are filled up to a quad.
    pub(super) inputs: usize,
    pub(super) x: Slot,
    pub(super) y: Slot,
    /// Quads before the first output in a row of `y`.
    pub(super) y_offset: usize,
    pub(super) x_tokens: Tokens,
    pub(super) y_tokens: Tokens,
}

impl Linear {
    /// Quads that are written to a row.
    pub(super) fn outputs(&self) -> usize {
        self.part.width() / self.mode.groups()
    }

    /// Whether it makes a row for every sequence, not for every token.
    pub(super) fn is_per_sequence(&self) -> bool {
        let picks = [self.x_tokens, self.y_tokens] != [Tokens::All; 2];
        picks || self.x.is_per_sequence()
    }

    /// The shader that computes it.
    pub(super) fn shader(&self, tiling: Tiling) -> Shader {
        match (self.format, self.products) {
            (Format::Int8, Products::Int8) => Shader::LinearDots(tiling, self.mode),
            (format, _) => Shader::Linear(tiling, format, self.mode),
        }
    }

    /// The way to divide the work on sequences of so many tokens among workgroups. Not tuned on any
    /// GPU yet: a single row of workgroups that streams the weights for few rows, and large tiles
    /// as soon as enough of them are left to keep a GPU busy.
    ///
    /// It is the way for a single sequence, however many there are: a row then goes through the
    /// same instructions alone and in company, and its logits are the same to the last bit.
    pub(super) fn tiling(&self, tokens: u32) -> Tiling {
        const ROW_BY_ROW: u32 = 4;
        const ENOUGH_WORKGROUPS: u32 = 128;
        let rows = if self.is_per_sequence() { 1 } else { tokens };
        let (x, y) = self.workgroups(Tiling::Rows64, rows);
        match rows {
            0..=ROW_BY_ROW => Tiling::Row,
            _ if x * y >= ENOUGH_WORKGROUPS => Tiling::Rows64,
            _ => Tiling::Rows16,
        }
    }

    pub(super) fn workgroups(&self, tiling: Tiling, rows: u32) -> (u32, u32) {
        let (tile_rows, tile_quads) = tiling.size(self.mode);
        (
            (self.outputs() as u32).div_ceil(tile_quads),
            rows.div_ceil(tile_rows),
        )
    }
}

/// A dispatch.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Gathers the rows of the embedding that lie in a range of ids; with those of the positions,
    /// where a network has them.
    Embed {
        format: Format,
        ids: Range<usize>,
        is_placed: bool,
    },
    /// Normalises the residual stream in place.
    Norm {
        /// Which norm, in the order of the network's.
        norm: usize,
        /// Whether the first token of every sequence alone is normalised.
        is_first: bool,
    },
    /// Attention; in the last layer of those tokens alone that are judged.
    Attention { is_last: bool, sight: Sight },
    /// The mean of every sequence.
    Pool,
    /// A linear layer, and what is fused with it.
    Linear(Linear),
}

impl Network<'_> {
    /// All matrices but the embedding, in the order in which they are used.
    pub(super) fn matrices(&self) -> Vec<&Matrix<'_>> {
        let of_layer = |layer: &'_ crate::network::Layer<'_>| layer.attention_input.len() + 3;
        let mut matrices = Vec::with_capacity(self.layers.iter().map(of_layer).sum::<usize>() + 1);
        for layer in &self.layers {
            matrices.extend(&layer.attention_input);
            matrices.extend([&layer.attention_output, &layer.gate_up, &layer.down]);
        }
        matrices.push(&self.score);
        matrices
    }

    /// All norms, in the order in which they are used.
    pub(super) fn norms(&self) -> Vec<&[u8]> {
        let layers = self
            .layers
            .iter()
            .flat_map(|layer| [layer.input_norm, layer.post_attention_norm]);
        layers.chain([self.norm]).collect()
    }

    /// The steps of a forward pass with bindings of at most `binding_bytes`; `None` if not even one
    /// quad of outputs fits.
    pub(super) fn schedule(&self, binding_bytes: usize, products: Products) -> Option<Vec<Step>> {
        let d = &self.dimensions;
        let mut schedule = Schedule::new(binding_bytes, products);
        schedule.embed(&self.embedding, false)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let is_last = index + 1 == d.layers;
            let judged = if is_last { Tokens::Last } else { Tokens::All };
            match &layer.attention_input[..] {
                [packed] => schedule.linear(
                    packed,
                    Mode::Normed,
                    (Slot::Residual, Tokens::All),
                    (Slot::Packed, Tokens::All),
                    0,
                )?,
                [query, kv] => {
                    let y = if is_last { Slot::Query } else { Slot::Packed };
                    schedule.linear(
                        query,
                        Mode::Normed,
                        (Slot::Residual, judged),
                        (y, Tokens::All),
                        0,
                    )?;
                    // Both are made of the same normalised tokens.
                    schedule.norm -= 1;
                    let at = quads(d.hidden);
                    schedule.linear(
                        kv,
                        Mode::Normed,
                        (Slot::Residual, Tokens::All),
                        (Slot::Packed, Tokens::All),
                        at,
                    )?;
                }
                _ => return None,
            }
            let sight = Sight::Back;
            schedule.steps.push(Step::Attention { is_last, sight });
            schedule.linear(
                &layer.attention_output,
                Mode::Add,
                (Slot::Mixed, Tokens::All),
                (Slot::Residual, judged),
                0,
            )?;
            schedule.linear(
                &layer.gate_up,
                Mode::SwiGlu,
                (Slot::Residual, judged),
                (Slot::Inner, Tokens::All),
                0,
            )?;
            schedule.linear(
                &layer.down,
                Mode::Add,
                (Slot::Inner, Tokens::All),
                (Slot::Residual, judged),
                0,
            )?;
        }
        schedule.linear(
            &self.score,
            Mode::Normed,
            (Slot::Residual, Tokens::Last),
            (Slot::Logits, Tokens::All),
            0,
        )?;
        Some(schedule.steps)
    }
}

struct Schedule {
    steps: Vec<Step>,
    binding_bytes: usize,
    products: Products,
    matrix: usize,
    norm: usize,
}

impl Schedule {
    fn new(binding_bytes: usize, products: Products) -> Self {
        Self {
            steps: Vec::new(),
            binding_bytes,
            products,
            matrix: 0,
            norm: 0,
        }
    }

    fn embed(&mut self, embedding: &Matrix<'_>, is_placed: bool) -> Option<()> {
        let (format, vocabulary) = (embedding.format, embedding.inputs);
        let rows = self.binding_bytes / format.bytes(embedding.stride);
        // Scales are bound as a whole.
        let scales = embedding.scale.map_or(0, <[u8]>::len);
        if rows == 0 || scales > self.binding_bytes {
            return None;
        }
        for start in (0..vocabulary).step_by(rows) {
            self.steps.push(Step::Embed {
                format,
                ids: start..(start + rows).min(vocabulary),
                is_placed,
            });
        }
        Some(())
    }

    fn linear(
        &mut self,
        matrix: &Matrix<'_>,
        mode: Mode,
        (x, x_tokens): (Slot, Tokens),
        (y, y_tokens): (Slot, Tokens),
        y_offset: usize,
    ) -> Option<()> {
        let norm = mode.normalises().then(|| self.next_norm());
        let mut y_offset = y_offset;
        for part in parts(matrix, mode, self.binding_bytes)? {
            let linear = Linear {
                mode,
                format: matrix.format,
                products: matrix.products(self.products),
                matrix: self.matrix,
                part,
                norm,
                inputs: matrix.inputs,
                x,
                y,
                y_offset,
                x_tokens,
                y_tokens,
            };
            y_offset += linear.outputs();
            self.steps.push(Step::Linear(linear));
        }
        self.matrix += 1;
        Some(())
    }

    fn next_norm(&mut self) -> usize {
        self.norm += 1;
        self.norm - 1
    }
}

/// Splits a matrix by its outputs, so that every part fits in a binding.
fn parts(matrix: &Matrix<'_>, mode: Mode, binding_bytes: usize) -> Option<Vec<Part>> {
    let outputs = matrix.columns.len();
    let groups = mode.groups();
    // Of every group of columns, this many quads fit.
    let quad_bytes = matrix.format.bytes(quads(matrix.inputs) * 4) * 4;
    let fit = binding_bytes / (quad_bytes * groups) * 4;
    if fit == 0 {
        return None;
    }
    let width = outputs / groups;
    let part = |start: usize| Part {
        ranges: (0..groups)
            .map(|group| group * width + start..group * width + (start + fit).min(width))
            .collect(),
    };
    Some((0..width).step_by(fit).map(part).collect())
}

/// Quads that hold so many values.
pub(super) fn quads(values: usize) -> usize {
    values.div_ceil(4)
}

/// All shaders that the steps may need, whatever the number of rows.
pub(super) fn shaders(steps: &[Step], d: &Dimensions) -> Vec<Shader> {
    let mut shaders = Vec::new();
    for step in steps {
        match step {
            Step::Embed {
                format, is_placed, ..
            } => shaders.push(embed(*format, *is_placed)),
            Step::Norm { .. } => shaders.push(Shader::Norm),
            Step::Pool => shaders.push(Shader::Pool),
            Step::Attention { is_last, sight } => shaders.push(attention(*is_last, *sight, d)),
            Step::Linear(linear) => {
                shaders.extend(Tiling::ALL.map(|tiling| linear.shader(tiling)));
            }
        }
    }
    shaders
}

pub(super) fn embed(format: Format, is_placed: bool) -> Shader {
    match is_placed {
        true => Shader::EmbedPlaced(format),
        false => Shader::Embed(format),
    }
}

pub(super) fn attention(is_last: bool, sight: Sight, d: &Dimensions) -> Shader {
    let head_size = d.head_size;
    match is_last {
        true => Shader::LastAttention { head_size, sight },
        false => Shader::Attention { head_size, sight },
    }
}
