//! A network, packed for kernels; shared by the sessions of a model.

use std::ops::Range;
use std::sync::Arc;

use super::NAME;
use super::attention::Heads;
use super::kernels::LANES;
use super::packed::{MAX_INT8_INPUTS, Order, Packed};
use crate::bundle::Weights;
use crate::error::Result;
use crate::graph::Graph;
use crate::network::{self, Dimensions, Format, Matrix, Network, floats};

/// Floats of a row in memory: as many as the panels of a matrix make.
const ROW_MULTIPLE: usize = super::kernels::PANEL;

/// A layer, packed.
pub(super) struct Layer {
    /// As `post_attention_norm`: filled up with zeros to a whole row.
    pub(super) input_norm: Vec<f32>,
    /// Query, key and value side by side; in the last layer, key and value.
    pub(super) attention_input: Packed,
    /// In the last layer, the query, which is made of the last token alone.
    pub(super) last_query: Option<Packed>,
    pub(super) attention_output: Packed,
    pub(super) post_attention_norm: Vec<f32>,
    pub(super) gate_up: Packed,
    pub(super) down: Packed,
}

/// A network.
pub(super) struct Resident {
    pub(super) dimensions: Dimensions,
    pub(super) heads: Heads,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    pub(super) score: Packed,
    /// `[position, head size / 2]`, as `sines`.
    cosines: Vec<f32>,
    sines: Vec<f32>,
    embedding: Embedding,
}

/// The embedding where it lies in the file: of a large table, few rows are read.
struct Embedding {
    weights: Arc<Weights>,
    format: Format,
    bytes: Range<usize>,
    scale: Vec<f32>,
}

impl Resident {
    /// Reads the network of a graph, and packs it.
    pub(super) fn read(graph: &Graph) -> Result<Self> {
        let rounded = graph.outline()?.integer_weights;
        let weights = Arc::clone(graph.weights());
        let network = Network::read(NAME, &weights, graph.norm_epsilon()?)?;
        let rounds = |matrix: &Matrix<'_>| rounded.contains(&matrix.name);
        Ok(Self::new(&network, &weights, rounds))
    }

    /// Packs a network that was read from `weights`; `rounds` says for which matrices activations
    /// are rounded.
    pub(super) fn new(
        network: &Network<'_>,
        weights: &Arc<Weights>,
        rounds: impl Fn(&Matrix<'_>) -> bool,
    ) -> Self {
        let pack = |matrix: &Matrix<'_>, order| {
            let rounds = rounds(matrix) && matrix.inputs <= MAX_INT8_INPUTS;
            Packed::new(matrix, rounds, order)
        };
        let layer = |layer: &network::Layer<'_>| {
            let (attention_input, last_query) = match &layer.attention_input[..] {
                [query, rest] => (rest, Some(pack(query, Order::AsTheyAre))),
                all => (&all[0], None),
            };
            Layer {
                input_norm: padded(layer.input_norm),
                attention_input: pack(attention_input, Order::AsTheyAre),
                last_query,
                attention_output: pack(&layer.attention_output, Order::AsTheyAre),
                post_attention_norm: padded(layer.post_attention_norm),
                gate_up: pack(&layer.gate_up, Order::InterleavedHalves),
                down: pack(&layer.down, Order::AsTheyAre),
            }
        };
        let d = &network.dimensions;
        let table = &network.embedding;
        let start = table.bytes.as_ptr().addr() - weights.as_ptr().addr();
        Self {
            heads: Heads {
                heads: d.heads,
                kv_heads: d.kv_heads,
                size: d.head_size,
            },
            layers: network.layers.iter().map(layer).collect(),
            norm: padded(network.norm),
            score: pack(&network.score, Order::AsTheyAre),
            cosines: floats(network.cosines),
            sines: floats(network.sines),
            embedding: Embedding {
                weights: Arc::clone(weights),
                format: table.format,
                bytes: start..start + table.bytes.len(),
                scale: table.scale.map(floats).unwrap_or_default(),
            },
            dimensions: d.clone(),
        }
    }

    /// Floats of a row of the width of the network.
    pub(super) fn row(&self) -> usize {
        self.dimensions.hidden.next_multiple_of(ROW_MULTIPLE)
    }

    /// Floats of a row between gate and down.
    pub(super) fn inner_row(&self) -> usize {
        self.dimensions.intermediate.next_multiple_of(ROW_MULTIPLE)
    }

    /// Writes a token's row of the embedding; the id was checked.
    pub(super) fn embed(&self, id: u32, row: &mut [f32]) {
        let (id, width) = (id as usize, self.dimensions.hidden);
        let embedding = &self.embedding;
        let bytes = &embedding.weights[embedding.bytes.clone()];
        let row = &mut row[..width];
        match embedding.format {
            Format::Int8 => {
                let scale = embedding.scale[id];
                for (to, level) in row.iter_mut().zip(&bytes[id * width..]) {
                    *to = f32::from(*level as i8) * scale;
                }
            }
            Format::F32 => {
                let values = bytes[id * width * 4..].as_chunks().0;
                for (to, value) in row.iter_mut().zip(values) {
                    *to = f32::from_le_bytes(*value);
                }
            }
        }
    }

    /// Writes a head turned by a position, times a factor, through `put`, which takes a place and a
    /// value: element i and element i + D / 2 are a pair.
    #[inline(always)]
    pub(super) fn rotate(
        &self,
        x: &[f32],
        position: usize,
        factor: f32,
        mut put: impl FnMut(usize, f32),
    ) {
        let half = self.heads.size / 2;
        let (first, second) = x[..2 * half].split_at(half);
        let angles = position * half..(position + 1) * half;
        let (cosines, sines) = (&self.cosines[angles.clone()], &self.sines[angles]);
        for i in 0..half {
            put(i, (first[i] * cosines[i] - second[i] * sines[i]) * factor);
            put(
                i + half,
                (second[i] * cosines[i] + first[i] * sines[i]) * factor,
            );
        }
    }
}

/// Floats, filled up with zeros to a whole row.
fn padded(bytes: &[u8]) -> Vec<f32> {
    let mut values = floats(bytes);
    values.resize(values.len().next_multiple_of(ROW_MULTIPLE), 0.0);
    values
}

const _: () = assert!(ROW_MULTIPLE.is_multiple_of(LANES));
