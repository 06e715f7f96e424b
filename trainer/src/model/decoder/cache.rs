//! What a decoder keeps of the tokens that it has read.

use burn::tensor::{Int, Tensor, TensorData};

/// Keys and values of the tokens that a decoder has read, per layer: `[B x K, past, D]`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cache {
    layers: Vec<(Tensor<3>, Tensor<3>)>,
    /// Tokens of each row that have been read.
    pub(super) tokens: usize,
}

impl Cache {
    /// The same cache for other rows: row i of the new one is row `rows[i]` of this one, of `count`
    /// in all.
    pub(crate) fn select(&self, rows: &[usize], count: usize) -> Self {
        let layers = self
            .layers
            .iter()
            .map(|(keys, values)| {
                (
                    select_rows(keys, rows, count),
                    select_rows(values, rows, count),
                )
            })
            .collect();
        Self {
            layers,
            tokens: self.tokens,
        }
    }

    /// All keys and values of a layer, the new ones last.
    pub(super) fn extend(
        &mut self,
        layer: usize,
        keys: Tensor<3>,
        values: Tensor<3>,
    ) -> (Tensor<3>, Tensor<3>) {
        let both = match self.layers.get(layer) {
            Some((past_keys, past_values)) => (
                Tensor::cat(vec![past_keys.clone(), keys], 1),
                Tensor::cat(vec![past_values.clone(), values], 1),
            ),
            None => (keys, values),
        };
        match self.layers.get_mut(layer) {
            Some(kept) => *kept = both.clone(),
            None => self.layers.push(both.clone()),
        }
        both
    }
}

fn select_rows(tensor: &Tensor<3>, rows: &[usize], count: usize) -> Tensor<3> {
    let heads = tensor.dims()[0] / count;
    let indices: Vec<i32> = rows
        .iter()
        .flat_map(|row| (0..heads).map(move |head| (row * heads + head) as i32))
        .collect();
    let indices = Tensor::<1, Int>::from_data(
        TensorData::new(indices, [rows.len() * heads]),
        &tensor.device(),
    );
    tensor.clone().select(0, indices)
}
