//! AdamW with decoupled decay, global-norm clipping and a cosine schedule with warm-up.
//!
//! Written here because the clipping that ships with the framework is per parameter,
//! and because the state must be saved and resumed bit for bit. Nothing here reads a number
//! back to the host: on a GPU the next step is queued while this one still computes.

use burn::tensor::{Device, Tensor};

use crate::model::decoder::Parameter;

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.98;
const EPSILON: f32 = 1e-8;

/// First and second moments of every parameter, and the number of steps taken.
#[derive(Clone, Debug)]
pub(crate) struct AdamW {
    /// Steps taken so far.
    pub step: usize,
    /// (first, second) moment of each parameter, in the decoder's order.
    pub moments: Vec<[Tensor<2>; 2]>,
    /// Where the moments are.
    pub device: Device,
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
    /// Zero moments for `parameters`.
    pub(crate) fn new(parameters: &[Parameter], device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let moments = parameters
            .iter()
            .map(|p| {
                [
                    Tensor::zeros(p.value.dims(), &device),
                    Tensor::zeros(p.value.dims(), &device),
                ]
            })
            .collect();
        Self {
            step: 0,
            moments,
            device,
        }
    }

    /// Applies summed gradients divided by `accumulated`, and returns the global gradient norm
    /// before clipping, `[1]`, still on the device. A parameter that no gradient reached is left
    /// alone.
    ///
    /// `parameters` are the 32-bit ones, whatever the network computed with: an update is often
    /// smaller than the last place of a 16-bit weight, and would be lost there.
    pub(crate) fn apply(
        &mut self,
        parameters: &mut [Parameter],
        gradients: &[Option<Tensor<2>>],
        accumulated: usize,
        settings: &StepSettings,
    ) -> Tensor<1> {
        self.step += 1;
        let squares: Vec<Tensor<1>> = gradients
            .iter()
            .flatten()
            .map(|g| g.clone().square().sum())
            .collect();
        let norm = match squares.is_empty() {
            true => Tensor::zeros([1], &self.device),
            false => Tensor::cat(squares, 0).sum().sqrt(),
        }
        .div_scalar(accumulated as f32);
        // A norm of zero gives infinity here, and so no clipping.
        let clip = norm
            .clone()
            .recip()
            .mul_scalar(settings.max_gradient_norm as f32)
            .clamp_max(1.0);
        let scale = clip.div_scalar(accumulated as f32).reshape([1, 1]);
        let correction_1 = 1.0 - BETA_1.powi(self.step as i32);
        let correction_2 = 1.0 - BETA_2.powi(self.step as i32);
        for ((parameter, gradient), [first, second]) in
            parameters.iter_mut().zip(gradients).zip(&mut self.moments)
        {
            let Some(gradient) = gradient else { continue };
            let gradient = gradient.clone() * scale.clone();
            *first = first.clone().mul_scalar(BETA_1) + gradient.clone().mul_scalar(1.0 - BETA_1);
            *second =
                second.clone().mul_scalar(BETA_2) + gradient.square().mul_scalar(1.0 - BETA_2);
            let size = second
                .clone()
                .div_scalar(correction_2)
                .sqrt()
                .add_scalar(EPSILON);
            let update = first
                .clone()
                .mul_scalar((settings.learning_rate as f32) / correction_1)
                / size;
            let mut value = parameter.value.clone().inner();
            if parameter.decays {
                value = value.mul_scalar(1.0 - settings.learning_rate * settings.weight_decay);
            }
            parameter.value = Tensor::from_inner(value - update).require_grad();
        }
        norm
    }
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
    use burn::tensor::TensorData;

    use super::*;
    use crate::model::tensors::host;

    #[test]
    fn the_schedule_warms_up_then_falls_to_zero() {
        assert!((learning_rate(1.0, 0, 100, 0.1) - 0.1).abs() < 1e-12);
        assert!((learning_rate(1.0, 9, 100, 0.1) - 1.0).abs() < 1e-12);
        assert!((learning_rate(1.0, 54, 100, 0.1) - 0.5).abs() < 1e-12);
        assert!(learning_rate(1.0, 99, 100, 0.1).abs() < 1e-12);
    }

    #[test]
    fn two_steps_follow_the_published_update() {
        let device = Device::flex();
        let mut parameters = vec![Parameter::new(
            "w".into(),
            vec![1.0, -2.0, 0.5, 3.0],
            [2, 2],
            &device.clone().autodiff(),
        )];
        let mut optimizer = AdamW::new(&parameters, &device);
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
            let values: Vec<f32> = gradient.iter().map(|&g| g as f32).collect();
            let norm = optimizer.apply(
                &mut parameters,
                &[Some(Tensor::from_data(
                    TensorData::new(values, [2, 2]),
                    &device,
                ))],
                1,
                &settings,
            );
            let expected_norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            let norm = f64::from(norm.into_scalar::<f32>());
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
        for (found, expected) in host(&parameters[0].value).iter().zip(expected) {
            assert!(
                (*found as f64 - expected).abs() < 1e-4,
                "{found} {expected}"
            );
        }
    }
}
