//! A network, packed for kernels; shared by the sessions of a model.

use std::ops::Range;
use std::sync::Arc;

use super::attention::Heads;
use super::embedding::Embedded;
use super::kernels::LANES;
use super::outliers::Outliers;
use super::packed::{MAX_INT8_INPUTS, Order, Packed};
use super::products::Then;
use super::store::Store;
use crate::bundle::{Pooling, Weights};
use crate::error::Result;
use crate::network::encoder::{Activation, Encoder, Norm as NormBytes};
use crate::network::{BLOCK, Dimensions, Format, Matrix, Network, floats};

/// Floats of a row in memory: as many as the panels of a matrix make.
const ROW_MULTIPLE: usize = super::kernels::PANEL;

/// A norm: by the root mean square, or, with terms, by the deviation from the mean.
pub(super) struct Norm {
    /// Filled up with zeros to a whole row, as the terms.
    pub(super) factors: Vec<f32>,
    pub(super) terms: Option<Vec<f32>>,
}

/// A layer, packed.
pub(super) struct Layer {
    /// Before attention; of decoders.
    pub(super) input_norm: Option<Norm>,
    /// Query, key and value side by side; or key and value.
    pub(super) attention_input: Packed,
    /// In the last layer, the query, where it is made of the judged token alone.
    pub(super) judged_query: Option<Packed>,
    pub(super) attention_output: Packed,
    pub(super) middle_norm: Norm,
    pub(super) up: Packed,
    pub(super) down: Packed,
    /// After all; of encoders.
    pub(super) output_norm: Option<Norm>,
}

/// How a network knows the places of tokens.
pub(super) enum Places {
    /// Queries and keys are turned: `[position, head size / 2]`, as `sines`.
    Rotary { cosines: Vec<f32>, sines: Vec<f32> },
    /// `[position, hidden]` is added to the embedding, where it lies in the file; then the norm.
    Learned { bytes: Range<usize>, norm: Norm },
}

/// From the last layer to the logits.
pub(super) struct Head {
    pub(super) pooling: Pooling,
    /// Before the classifier; of decoders.
    pub(super) norm: Option<Norm>,
    /// Followed by tanh, before the classifier.
    pub(super) pooler: Option<Packed>,
    pub(super) score: Packed,
    /// The labels that are categories, where labels exclude each other.
    pub(super) kept_labels: Option<Vec<usize>>,
    labels: usize,
}

impl Head {
    /// Logits of a sequence.
    pub(super) fn outputs(&self) -> usize {
        self.kept_labels.as_ref().map_or(self.labels, Vec::len)
    }

    /// Which of a sequence's new tokens is judged, where one is.
    pub(super) fn judged(&self, tokens: usize) -> usize {
        match self.pooling {
            Pooling::FirstToken => 0,
            Pooling::LastToken | Pooling::Mean => tokens - 1,
        }
    }
}

/// A network.
pub(super) struct Resident {
    pub(super) dimensions: Dimensions,
    pub(super) heads: Heads,
    pub(super) places: Places,
    /// What follows the first projection of the feed-forward block.
    pub(super) activation: Then,
    pub(super) layers: Vec<Layer>,
    pub(super) head: Head,
    weights: Arc<Weights>,
    embedding: Table,
}

/// The embedding, where it lies in the file.
struct Table {
    format: Format,
    bytes: Range<usize>,
    scales: Range<usize>,
}

impl Resident {
    /// Packs a decoder that was read from `weights`; `rounds` says for which matrices activations
    /// are rounded.
    pub(super) fn of_decoder(
        network: &Network<'_>,
        weights: &Arc<Weights>,
        rounds: impl Fn(&Matrix<'_>) -> bool,
    ) -> Result<Self> {
        let of_layers = network.layers.iter().flat_map(|layer| {
            let rest = [
                (&layer.attention_output, Order::AsTheyAre),
                (&layer.gate_up, Order::InterleavedHalves),
                (&layer.down, Order::AsTheyAre),
            ];
            as_they_are(&layer.attention_input).chain(rest)
        });
        let all = of_layers.chain(as_they_are([&network.score]));
        let mut packer = Packer::new(rounds, all)?;
        let mut pack = |matrix: &Matrix<'_>, order| packer.pack(matrix, order);
        let rms = |bytes: &[u8]| Norm {
            factors: padded(bytes),
            terms: None,
        };
        let layers = network.layers.iter().map(|layer| {
            let (attention_input, judged_query) =
                attention_input(&layer.attention_input, &mut pack);
            Layer {
                input_norm: Some(rms(layer.input_norm)),
                attention_input,
                judged_query,
                attention_output: pack(&layer.attention_output, Order::AsTheyAre),
                middle_norm: rms(layer.post_attention_norm),
                up: pack(&layer.gate_up, Order::InterleavedHalves),
                down: pack(&layer.down, Order::AsTheyAre),
                output_norm: None,
            }
        });
        let resident = Self {
            heads: Heads::of(&network.dimensions),
            places: Places::Rotary {
                cosines: floats(network.cosines),
                sines: floats(network.sines),
            },
            activation: Then::SwiGlu,
            layers: layers.collect(),
            head: Head {
                pooling: Pooling::LastToken,
                norm: Some(rms(network.norm)),
                pooler: None,
                score: pack(&network.score, Order::AsTheyAre),
                kept_labels: None,
                labels: network.dimensions.categories,
            },
            embedding: Table::new(&network.embedding, weights),
            weights: Arc::clone(weights),
            dimensions: network.dimensions.clone(),
        };
        debug_assert!(packer.store.is_full());
        Ok(resident)
    }

    /// The same of an encoder.
    pub(super) fn of_encoder(
        network: &Encoder<'_>,
        weights: &Arc<Weights>,
        rounds: impl Fn(&Matrix<'_>) -> bool,
    ) -> Result<Self> {
        let of_layers = network.layers.iter().flat_map(|layer| {
            let rest = [&layer.attention_output, &layer.up, &layer.down];
            as_they_are(&layer.attention_input).chain(as_they_are(rest))
        });
        let of_head = network.pooler.iter().chain([&network.score]);
        let mut packer = Packer::new(rounds, of_layers.chain(as_they_are(of_head)))?;
        let mut pack = |matrix: &Matrix<'_>, order| packer.pack(matrix, order);
        let centered = |norm: &NormBytes<'_>| Norm {
            factors: padded(norm.weight),
            terms: Some(padded(norm.bias)),
        };
        let layers = network.layers.iter().map(|layer| {
            let (attention_input, judged_query) =
                attention_input(&layer.attention_input, &mut pack);
            Layer {
                input_norm: None,
                attention_input,
                judged_query,
                attention_output: pack(&layer.attention_output, Order::AsTheyAre),
                middle_norm: centered(&layer.attention_norm),
                up: pack(&layer.up, Order::AsTheyAre),
                down: pack(&layer.down, Order::AsTheyAre),
                output_norm: Some(centered(&layer.norm)),
            }
        });
        let pooler = network.pooler.as_ref();
        let resident = Self {
            heads: Heads::of(&network.dimensions),
            places: Places::Learned {
                bytes: range(network.positions, weights),
                norm: centered(&network.embeddings_norm),
            },
            activation: match network.form.activation {
                Activation::Gelu => Then::Gelu,
                Activation::GeluTanh => Then::GeluTanh,
            },
            layers: layers.collect(),
            head: Head {
                pooling: network.form.pooling,
                norm: None,
                pooler: pooler.map(|matrix| pack(matrix, Order::AsTheyAre)),
                score: pack(&network.score, Order::AsTheyAre),
                kept_labels: None,
                labels: network.dimensions.categories,
            },
            embedding: Table::new(&network.embedding, weights),
            weights: Arc::clone(weights),
            dimensions: network.dimensions.clone(),
        };
        debug_assert!(packer.store.is_full());
        Ok(resident)
    }

    /// Floats of a row of the width of the network.
    pub(super) fn row(&self) -> usize {
        self.dimensions.hidden.next_multiple_of(ROW_MULTIPLE)
    }

    /// Floats of a row inside the feed-forward block.
    pub(super) fn inner_row(&self) -> usize {
        self.dimensions.intermediate.next_multiple_of(ROW_MULTIPLE)
    }

    /// The most blocks that a column of a matrix has.
    pub(super) fn most_blocks(&self) -> usize {
        self.matrices().map(Packed::blocks).max().unwrap_or(0)
    }

    /// The most bytes that a row's outlier features take, of two each.
    pub(super) fn most_outliers(&self) -> usize {
        let outliers = self
            .matrices()
            .filter_map(|matrix| matrix.outliers.as_ref());
        outliers.map(Outliers::half).max().unwrap_or(0)
    }

    /// Multiply-adds of a token's row with all matrices.
    pub(super) fn products_of_row(&self) -> usize {
        let products = self.matrices().map(|matrix| matrix.inputs * matrix.width());
        products.sum()
    }

    fn matrices(&self) -> impl Iterator<Item = &Packed> {
        let layers = self.layers.iter().flat_map(|layer| {
            let all = [
                &layer.attention_input,
                &layer.attention_output,
                &layer.up,
                &layer.down,
            ];
            all.into_iter().chain(&layer.judged_query)
        });
        let head = self.head.pooler.iter().chain([&self.head.score]);
        layers.chain(head)
    }

    /// Whether a token sees those before it alone.
    pub(super) fn is_causal(&self) -> bool {
        matches!(self.places, Places::Rotary { .. })
    }

    /// A token's row of the embedding, and that of its position, to be written into a row; the id
    /// and the position were checked.
    pub(super) fn embedding_of<'a>(
        &'a self,
        id: u32,
        position: usize,
        row: &'a mut [f32],
    ) -> Embedded<'a> {
        let (id, width) = (id as usize, self.dimensions.hidden);
        let (row_bytes, scales) = match self.embedding.format {
            Format::F32 => (4 * width, 0),
            Format::Int8 => (width, 4),
            Format::Blocks => (width / 2, width / BLOCK * 4),
        };
        let part = |range: &Range<usize>, number: usize, bytes: usize| {
            &self.weights[range.clone()][number * bytes..(number + 1) * bytes]
        };
        Embedded {
            format: self.embedding.format,
            bytes: part(&self.embedding.bytes, id, row_bytes),
            scales: part(&self.embedding.scales, id, scales),
            position: match &self.places {
                Places::Learned { bytes, .. } => part(bytes, position, 4 * width),
                Places::Rotary { .. } => &[],
            },
            row: &mut row[..width],
        }
    }

    /// Writes a row's queries, turned by a position, and scaled for attention.
    #[inline(always)]
    pub(super) fn turn_query(&self, wide: &[f32], position: usize, queries: &mut [f32]) {
        let size = self.heads.size;
        let factor = 1.0 / (size as f32).sqrt();
        let heads = wide.chunks_exact(size).zip(queries.chunks_exact_mut(size));
        for (x, query) in heads.take(self.heads.heads) {
            self.turn(x, position, factor, |i, x| query[i] = x);
        }
    }

    /// Writes a head turned by a position, if the network turns heads, times a factor, through
    /// `put`, which takes a place and a value: element i and element i + D / 2 are a pair.
    #[inline(always)]
    pub(super) fn turn(
        &self,
        x: &[f32],
        position: usize,
        factor: f32,
        mut put: impl FnMut(usize, f32),
    ) {
        let Places::Rotary { cosines, sines } = &self.places else {
            return x.iter().enumerate().for_each(|(i, x)| put(i, x * factor));
        };
        let half = self.heads.size / 2;
        let (first, second) = x[..2 * half].split_at(half);
        let angles = position * half..(position + 1) * half;
        let (cosines, sines) = (&cosines[angles.clone()], &sines[angles]);
        for i in 0..half {
            put(i, (first[i] * cosines[i] - second[i] * sines[i]) * factor);
            put(
                i + half,
                (second[i] * cosines[i] + first[i] * sines[i]) * factor,
            );
        }
    }
}

impl Table {
    fn new(matrix: &Matrix<'_>, weights: &Weights) -> Self {
        Self {
            format: matrix.format,
            bytes: range(matrix.bytes, weights),
            scales: matrix.scale.map_or(0..0, |scale| range(scale, weights)),
        }
    }
}

/// Where a part of the file lies in it.
fn range(part: &[u8], weights: &Weights) -> Range<usize> {
    let start = part.as_ptr().addr() - weights.as_ptr().addr();
    start..start + part.len()
}

/// Packs the matrices of a network.
struct Packer<F> {
    rounds: F,
    store: Store,
}

impl<F: Fn(&Matrix<'_>) -> bool> Packer<F> {
    /// Makes room for all that will be packed; `rounds` says for which matrices activations are
    /// rounded.
    fn new<'a>(rounds: F, matrices: impl Iterator<Item = (&'a Matrix<'a>, Order)>) -> Result<Self> {
        let lines = matrices
            .map(|(matrix, order)| Packed::lines(matrix, does_round(&rounds, matrix), order));
        Ok(Self {
            store: Store::with_room_for(lines.sum())?,
            rounds,
        })
    }

    fn pack(&mut self, matrix: &Matrix<'_>, order: Order) -> Packed {
        let rounds = does_round(&self.rounds, matrix);
        Packed::new(matrix, rounds, order, &mut self.store)
    }
}

/// Whether the activations of a matrix are rounded: if they are to be, and the sums fit.
fn does_round(rounds: impl Fn(&Matrix<'_>) -> bool, matrix: &Matrix<'_>) -> bool {
    rounds(matrix) && matrix.inputs <= MAX_INT8_INPUTS
}

fn as_they_are<'a, 'b>(
    matrices: impl IntoIterator<Item = &'a Matrix<'b>>,
) -> impl Iterator<Item = (&'a Matrix<'b>, Order)>
where
    'b: 'a,
{
    matrices
        .into_iter()
        .map(|matrix| (matrix, Order::AsTheyAre))
}

/// What all tokens go through, and the query of the judged one, if it stands by itself.
fn attention_input(
    parts: &[Matrix<'_>],
    mut pack: impl FnMut(&Matrix<'_>, Order) -> Packed,
) -> (Packed, Option<Packed>) {
    match parts {
        [query, rest] => (
            pack(rest, Order::AsTheyAre),
            Some(pack(query, Order::AsTheyAre)),
        ),
        all => (pack(&all[0], Order::AsTheyAre), None),
    }
}

/// Floats, filled up with zeros to a whole row.
fn padded(bytes: &[u8]) -> Vec<f32> {
    let mut values = floats(bytes);
    values.resize(values.len().next_multiple_of(ROW_MULTIPLE), 0.0);
    values
}

const _: () = assert!(ROW_MULTIPLE.is_multiple_of(LANES));
