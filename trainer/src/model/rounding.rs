//! Weights rounded to what 8 bits can hold, so that an export as int8 changes none of them.
//!
//! The pretrained weights have rows with a few large values, beside which the others lose much to
//! a scale for the whole row: 1.5 % of a row, and more of what a deep network says. Rounded before
//! the last stage, that is part of the network which is judged, calibrated and certified.

use std::rc::Rc;

use tch::{Kind, Tensor, no_grad};

use super::encoder::Encoder;
use crate::model::decoder::Decoder;
use crate::model::layout::Weights;

/// The largest multiple of a row's scale, as in the export's int8.
const LARGEST: f64 = 127.0;

impl Decoder {
    /// The same network with every matrix of its layers rounded: each row to multiples of a 127th
    /// of its largest magnitude.
    pub(crate) fn rounded(&self) -> Self {
        Self::over(&self.shape, self.vocabulary, rounded(&self.weights))
    }
}

impl Encoder {
    /// The same network with every matrix of its layers rounded, frozen ones too.
    pub(crate) fn rounded(&self) -> Self {
        let [trained, frozen] = [&self.weights, &*self.frozen].map(rounded);
        Self::over(&self.shape, trained, Rc::new(frozen))
    }
}

fn rounded(weights: &Weights) -> Weights {
    let result = weights.copy();
    for entry in &result.layout.entries {
        if is_in_layer(&entry.name) && entry.dims.len() == 2 {
            let mut matrix = result.view(entry.offset, &entry.dims);
            no_grad(|| matrix.copy_(&rounded_rows(&matrix)));
        }
    }
    result
}

fn is_in_layer(name: &str) -> bool {
    name.contains(".layer.") || name.contains(".layers.")
}

/// `[outputs, inputs]`
fn rounded_rows(matrix: &Tensor) -> Tensor {
    let largest = matrix.abs().amax([1].as_slice(), true);
    let scale = (largest / LARGEST).clamp_min(f64::from(f32::MIN_POSITIVE));
    (matrix / &scale).round().to_kind(Kind::Float) * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_multiples_of_their_own_scale_and_stay_so() {
        let rows: Vec<f32> = (0..192)
            .map(|i| ((i * 37) % 101) as f32 / 17.0 - 3.0)
            .chain([0.0; 96])
            .collect();
        let matrix = Tensor::from_slice(&rows).view([3, 96]);
        let once = rounded_rows(&matrix);
        let largest = matrix.abs().amax([1].as_slice(), true);
        let error = ((&once - &matrix).abs() - &largest / 254.0).max();
        assert!(error.double_value(&[]) < 1e-6);
        let levels = (&once / (largest.clamp_min(1e-9) / LARGEST)).abs();
        let off = (&levels - levels.round()).abs().max();
        assert!(off.double_value(&[]) < 1e-4);
        let again = (rounded_rows(&once) - &once).abs().max();
        assert!(again.double_value(&[]) < 1e-6);
        assert!((&once - &matrix).abs().max().double_value(&[]) > 1e-3);
    }
}
