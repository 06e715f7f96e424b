//! Keys and values of the tokens that a decoder has read.

use tch::{Device, Kind, Tensor};

use crate::recipe::ModelRecipe;

/// Per layer, keys (rotated) and values: `[rows at first, K, capacity, D]`, of which the first
/// `rows` rows count, and of each the first `tokens` are written.
#[derive(Debug)]
pub(crate) struct Cache {
    layers: Vec<[Tensor; 2]>,
    rows: usize,
    tokens: usize,
}

impl Cache {
    /// An empty cache for rows of at most `capacity` tokens.
    pub(crate) fn new(
        shape: &ModelRecipe,
        rows: usize,
        capacity: usize,
        options: (Kind, Device),
    ) -> Self {
        let dims = [rows, shape.kv_heads, capacity, shape.head_size()].map(|n| n as i64);
        let layer = || [(); 2].map(|()| Tensor::empty(dims, options));
        Self {
            layers: (0..shape.layers).map(|_| layer()).collect(),
            rows,
            tokens: 0,
        }
    }

    /// Tokens of each row that have been read.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Counts tokens that every layer has written.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.tokens += tokens;
    }

    /// Writes a layer's new keys and values, `[B, K, T, D]`; gives all that it has.
    pub(super) fn extend(&self, layer: usize, keys: &Tensor, values: &Tensor) -> [Tensor; 2] {
        let new = keys.size()[2];
        let (rows, past) = (self.rows as i64, self.tokens as i64);
        let extended = |part: usize, tensor: &Tensor| {
            let whole = self.layers[layer][part].narrow(0, 0, rows);
            whole.narrow(2, past, new).copy_(tensor);
            whole.narrow(2, 0, past + new)
        };
        [extended(0, keys), extended(1, values)]
    }

    /// Goes on with other rows: row i is what row `rows[i]` was.
    pub(crate) fn select(&mut self, rows: &Tensor) {
        let written = self.tokens as i64;
        for tensor in self.layers.iter_mut().flatten() {
            let mut dims = tensor.size();
            dims[0] = rows.size()[0];
            let selected = tensor.new_empty(&dims, (tensor.kind(), tensor.device()));
            let kept = tensor.narrow(2, 0, written).index_select(0, rows);
            selected.narrow(2, 0, written).copy_(&kept);
            *tensor = selected;
        }
        self.rows = rows.size()[0] as usize;
    }

    /// Takes row `row` out; the last one takes its place, as in [`Vec::swap_remove`]. So it costs
    /// one row, and not a copy of all.
    pub(crate) fn swap_remove(&mut self, row: usize) {
        self.rows -= 1;
        if row == self.rows {
            return;
        }
        let written = self.tokens as i64;
        let of_row = |tensor: &Tensor, row: usize| {
            let of_row = tensor.narrow(0, row as i64, 1);
            of_row.narrow(2, 0, written)
        };
        for tensor in self.layers.iter().flatten() {
            of_row(tensor, row).copy_(&of_row(tensor, self.rows));
        }
    }
}
