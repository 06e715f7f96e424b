//! The working memory of a session: it grows to what the largest batch needs, and stays.

use super::attention::TILE_KEYS;
use super::resident::Resident;

/// Rows that go through the matrices of a layer together: what they need stays in a cache.
pub(super) const BLOCK: usize = 64;

/// A batch: `rows` sequences of `tokens` new tokens, each after `past` earlier ones. More than one
/// sequence has no earlier ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) rows: usize,
    pub(super) past: usize,
    pub(super) tokens: usize,
}

impl Shape {
    /// New tokens of all sequences.
    pub(super) fn all(self) -> usize {
        self.rows * self.tokens
    }

    /// Tokens of a sequence.
    pub(super) fn length(self) -> usize {
        self.past + self.tokens
    }

    /// Tiles of keys of a sequence.
    pub(super) fn tiles(self) -> usize {
        self.length().div_ceil(TILE_KEYS)
    }

    /// The sequence of a row, and its position there.
    pub(super) fn place(self, row: usize) -> (usize, usize) {
        (row / self.tokens, self.past + row % self.tokens)
    }

    /// The first row that stands in a tile or in one after it.
    pub(super) fn first_row(self, tile: usize) -> usize {
        let (sequence, tile) = (tile / self.tiles(), tile % self.tiles());
        let position = (tile * TILE_KEYS).clamp(self.past, self.length());
        sequence * self.tokens + position - self.past
    }
}

/// Rows that were rounded.
pub(super) struct Levels {
    pub(super) bytes: Vec<u8>,
    /// One for every row, as those of the outlier features.
    pub(super) scales: Vec<f32>,
    /// Room for the outlier features of a row.
    pub(super) gathered: Vec<f32>,
    /// High bytes and low ones.
    pub(super) outliers: Vec<u8>,
    pub(super) outlier_scales: Vec<f32>,
}

/// What one thread works with, for a block of rows.
pub(super) struct Scratch {
    pub(super) normal: Vec<f32>,
    pub(super) wide: Vec<f32>,
    pub(super) mixed: Vec<f32>,
    pub(super) inner: Vec<f32>,
    pub(super) levels: Levels,
    /// What sums of blocks start from; empty without matrices in blocks.
    pub(super) starts: Vec<i32>,
}

impl Scratch {
    fn new(network: &Resident) -> Self {
        let widths = network.layers.iter().map(|layer| {
            let query = layer.judged_query.as_ref().map_or(0, |query| query.width());
            layer.attention_input.width().max(query)
        });
        let wide = widths.max().unwrap_or(0).max(network.head.score.width());
        let (row, inner) = (network.row(), network.inner_row());
        Self {
            normal: vec![0.0; BLOCK * row],
            wide: vec![0.0; BLOCK * wide],
            mixed: vec![0.0; BLOCK * row],
            inner: vec![0.0; BLOCK * inner],
            levels: Levels {
                bytes: vec![0; BLOCK * row.max(inner)],
                scales: vec![0.0; BLOCK],
                gathered: vec![0.0; network.most_outliers()],
                outliers: vec![0; 2 * BLOCK * network.most_outliers()],
                outlier_scales: vec![0.0; BLOCK],
            },
            starts: vec![0; BLOCK * network.most_blocks()],
        }
    }
}

/// The memory of a session.
pub(super) struct Arena {
    /// A row for every token.
    pub(super) residual: Vec<f32>,
    pub(super) queries: Vec<f32>,
    /// Tiles, sequence after sequence; of one layer.
    pub(super) keys: Vec<f32>,
    /// Tokens, sequence after sequence; of one layer.
    pub(super) values: Vec<f32>,
    /// A row for every sequence: what is judged of it.
    pub(super) judged: Vec<f32>,
    pub(super) judged_queries: Vec<f32>,
    /// One for every thread.
    pub(super) scratches: Vec<Scratch>,
}

impl Arena {
    pub(super) fn new(network: &Resident, threads: usize) -> Self {
        Self {
            residual: Vec::new(),
            queries: Vec::new(),
            keys: Vec::new(),
            values: Vec::new(),
            judged: Vec::new(),
            judged_queries: Vec::new(),
            scratches: (0..threads).map(|_| Scratch::new(network)).collect(),
        }
    }

    /// Makes room for a batch.
    pub(super) fn fit(&mut self, network: &Resident, shape: Shape) {
        let row = network.row();
        at_least(&mut self.residual, shape.all() * row);
        at_least(&mut self.queries, shape.all() * row);
        at_least(&mut self.judged, shape.rows * row);
        at_least(&mut self.judged_queries, shape.rows * row);
    }

    /// Makes room for the keys and values of a layer.
    pub(super) fn fit_keys(&mut self, network: &Resident, shape: Shape) {
        let heads = network.heads;
        at_least(&mut self.keys, shape.rows * shape.tiles() * heads.tile());
        at_least(
            &mut self.values,
            shape.rows * shape.length() * heads.values(),
        );
    }
}

fn at_least(buffer: &mut Vec<f32>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
}
