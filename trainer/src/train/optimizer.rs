//! AdamW with decoupled decay, global-norm clipping and a cosine schedule with warm-up.
//!
//! Nothing here reads a number back to the host: on a GPU the next step is queued while this one
//! still computes.

use tch::{Device, Kind, Tensor, no_grad};

use crate::model::gradients::Gradients;
use crate::model::layout::Weights;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.98;
const EPSILON: f64 = 1e-8;

/// Elements that are updated at once on a CPU, so that what one operation writes is in the cache
/// for the next.
const CPU_PIECE: i64 = 1 << 16;

/// First and second moments of every parameter, and the number of steps taken.
#[derive(Debug)]
pub(crate) struct AdamW {
    /// Steps taken so far.
    pub step: usize,
    /// First and second moments, laid out as the weights are.
    pub moments: [Tensor; 2],
}

/// What one step needs besides gradients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepSettings {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decoupled weight decay on matrices.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm.
    pub max_gradient_norm: f64,
}

impl AdamW {
    /// Zero moments for `weights`.
    pub(crate) fn new(weights: &Weights) -> Self {
        Self {
            step: 0,
            moments: [weights.flat.zeros_like(), weights.flat.zeros_like()],
        }
    }

    /// Applies summed gradients divided by `accumulated`, and returns the global gradient norm
    /// before clipping, `[]`, still on the device. A parameter that no gradient reached is left
    /// alone.
    ///
    /// `weights` are the 32-bit ones, whatever the network computed with: an update is often
    /// smaller than the last place of a 16-bit weight, and would be lost there.
    pub(crate) fn apply(
        &mut self,
        weights: &mut Weights,
        gradients: &Gradients,
        accumulated: usize,
        settings: &StepSettings,
    ) -> Tensor {
        let _guard = tch::no_grad_guard();
        self.step += 1;
        let ranges = gradients.ranges(weights);
        let norms: Vec<Tensor> = ranges
            .iter()
            .map(|range| gradients.flat.narrow(0, range.from, range.len).norm())
            .collect();
        let norm = match norms.is_empty() {
            true => Tensor::zeros([], (Kind::Float, weights.flat.device())),
            false => Tensor::stack(&norms, 0).norm(),
        } / accumulated as f64;
        // A norm of zero gives infinity here, and so no clipping.
        let clip = (norm.reciprocal() * settings.max_gradient_norm).clamp_max(1.0);
        let scale = clip / accumulated as f64;
        let correction_1 = 1.0 - BETA_1.powi(self.step as i32);
        let correction_2 = 1.0 - BETA_2.powi(self.step as i32);
        for range in ranges {
            let rate = settings.learning_rate * range.rate;
            // m / c1 / (sqrt(v / c2) + e) * -rate = m / ((sqrt(v) + e sqrt(c2)) * k)
            let k = -correction_1 / (rate * correction_2.sqrt());
            let epsilon = EPSILON * correction_2.sqrt() * k;
            let kept = 1.0 - rate * settings.weight_decay;
            let piece = match weights.flat.device() {
                Device::Cpu => CPU_PIECE,
                _ => range.len,
            };
            let end = range.from + range.len;
            for from in (range.from..end).step_by(piece as usize) {
                let len = piece.min(end - from);
                let cut = |tensor: &Tensor| tensor.narrow(0, from, len);
                let [mut first, mut second] = self.moments.each_ref().map(cut);
                let mut value = cut(&weights.flat);
                let gradient = cut(&gradients.flat) * &scale;
                let _ = first.lerp_(&gradient, 1.0 - BETA_1);
                let _ = second.g_mul_scalar_(BETA_2);
                let scaled = gradient * (1.0 - BETA_2).sqrt();
                let _ = second.addcmul_(&scaled, &scaled);
                // The schedule ends at a rate of exactly zero: k is infinite there.
                if rate == 0.0 {
                    continue;
                }
                let mut size = second.sqrt();
                let _ = size.g_mul_scalar_(k);
                let _ = size.g_add_scalar_(epsilon);
                if range.is_decayed && settings.weight_decay > 0.0 {
                    let _ = value.g_mul_scalar_(kept);
                }
                let _ = value.addcdiv_(&first, &size);
            }
        }
        norm
    }
}

/// Moves an average towards the weights: average = decay average + (1 - decay) weights.
pub(crate) fn move_average(average: &mut Tensor, weights: &Weights, decay: f64) {
    no_grad(|| drop(average.lerp_(&weights.flat, 1.0 - decay)));
}

/// Learning rate of `step` (from 0) out of `steps`: linear warm-up over the fraction
/// `warmup`, then a cosine down to zero.
pub(crate) fn learning_rate(peak: f64, step: usize, steps: usize, warmup: f64) -> f64 {
    let warm = (steps as f64 * warmup).max(1.0);
    let at = step as f64 + 1.0;
    if at <= warm {
        return peak * at / warm;
    }
    let progress = ((at - warm) / (steps as f64 - warm).max(1.0)).min(1.0);
    peak * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::decoder::Decoder;
    use crate::model::tensors::host;
    use crate::train::probe::tiny;

    #[test]
    fn the_schedule_warms_up_then_falls_to_zero() {
        assert!((learning_rate(1.0, 0, 100, 0.1) - 0.1).abs() < 1e-12);
        assert!((learning_rate(1.0, 9, 100, 0.1) - 1.0).abs() < 1e-12);
        assert!((learning_rate(1.0, 54, 100, 0.1) - 0.5).abs() < 1e-12);
        assert!(learning_rate(1.0, 99, 100, 0.1).abs() < 1e-12);
    }

    #[test]
    fn a_rate_of_zero_leaves_the_weights_as_they_are() {
        let (shape, vocabulary) = tiny();
        let mut decoder = Decoder::new(&shape, vocabulary, 3, &Device::Cpu);
        let before = host(&decoder.weights.flat);
        let mut optimizer = AdamW::new(&decoder.weights);
        let mut gradients = Gradients::new(&decoder.weights);
        gradients.clear();
        // Zeros in the gradient leave a second moment of zero, which must not become NaN.
        gradients.add(&decoder.score, &decoder.score.value.zeros_like());
        let settings = StepSettings {
            learning_rate: 0.0,
            weight_decay: 0.01,
            max_gradient_norm: 1.0,
        };
        let norm = optimizer.apply(&mut decoder.weights, &gradients, 1, &settings);
        assert_eq!(norm.double_value(&[]), 0.0);
        assert_eq!(host(&decoder.weights.flat), before);
    }

    #[test]
    fn two_steps_follow_the_published_update() {
        // The classifier head's first four weights; the others get no gradient.
        let (shape, vocabulary) = tiny();
        let mut decoder = Decoder::new(&shape, vocabulary, 3, &Device::Cpu);
        let before = host(&decoder.weights.flat);
        let at = decoder.score.offset as usize;
        let elements = decoder.score.value.numel();
        let score = decoder.score.value.shallow_clone();
        let padded = |values: &[f64]| {
            let mut all: Vec<f32> = values.iter().map(|&x| x as f32).collect();
            all.resize(elements, 0.0);
            Tensor::from_slice(&all).view_as(&score)
        };
        decoder.score.value.copy_(&padded(&[1.0, -2.0, 0.5, 3.0]));
        let mut optimizer = AdamW::new(&decoder.weights);
        let mut gradients = Gradients::new(&decoder.weights);
        let settings = StepSettings {
            learning_rate: 0.1,
            weight_decay: 0.01,
            max_gradient_norm: 1.0,
        };
        let mut expected = [1.0f64, -2.0, 0.5, 3.0];
        let (mut m, mut v) = ([0.0f64; 4], [0.0f64; 4]);
        for (step, gradient) in [[3.0f64, 0.0, -4.0, 0.0], [0.1, 0.2, 0.3, 0.4]]
            .into_iter()
            .enumerate()
        {
            gradients.clear();
            gradients.add(&decoder.score, &padded(&gradient));
            let norm = optimizer.apply(&mut decoder.weights, &gradients, 1, &settings);
            let expected_norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            let norm = norm.double_value(&[]);
            assert!((norm - expected_norm).abs() < 1e-5);
            let clip = (1.0 / expected_norm).min(1.0);
            let (b1, b2) = (0.9f64, 0.98f64);
            for i in 0..4 {
                let g = gradient[i] * clip;
                m[i] = b1 * m[i] + (1.0 - b1) * g;
                v[i] = b2 * v[i] + (1.0 - b2) * g * g;
                let t = step as i32 + 1;
                let update =
                    0.1 * (m[i] / (1.0 - b1.powi(t))) / ((v[i] / (1.0 - b2.powi(t))).sqrt() + 1e-8);
                expected[i] = expected[i] * (1.0 - 0.1 * 0.01) - update;
            }
        }
        let found = host(&decoder.weights.flat);
        assert_eq!(found[..at], before[..at]);
        for (found, expected) in found[at..].iter().zip(expected) {
            assert!(
                (*found as f64 - expected).abs() < 1e-4,
                "{found} {expected}"
            );
        }
    }
}
