//! The encoder's forward pass, slow and readable. Legend: T tokens, C hidden, I intermediate.

use duoguard::Pooling;

use super::config::{Activation, Encoder};
use crate::checkpoint::Checkpoint;
use crate::reference::{add, attend, dot, linear};

/// One logit for every row of the classifier.
pub(crate) fn forward(checkpoint: &Checkpoint, encoder: &Encoder, ids: &[u32]) -> Vec<f32> {
    let config = checkpoint.config();
    let width = config.hidden;
    let affine = |x: &[f32], name: &str| {
        let bias = checkpoint.tensor(&format!("{name}.bias"));
        let mut y = linear(x, &checkpoint.tensor(&format!("{name}.weight")), bias.len());
        for row in y.chunks_exact_mut(bias.len()) {
            add(row, &bias);
        }
        y
    };
    let normalize = |x: &[f32], name: &str| {
        let [weight, bias] =
            ["weight", "bias"].map(|part| checkpoint.tensor(&format!("{name}.{part}")));
        center(x, &weight, &bias, config.norm_eps)
    };

    let row = |name: &str, row: usize| {
        checkpoint.row(
            &encoder.embedding(&format!("{name}_embeddings.weight")),
            row,
        )
    };
    let mut x = Vec::new(); // [T, C]
    for (index, id) in ids.iter().enumerate() {
        let mut sum = row("word", *id as usize);
        add(&mut sum, &row("position", encoder.first_position + index));
        add(&mut sum, &row("token_type", 0));
        x.extend(sum);
    }
    x = normalize(&x, &encoder.embedding("LayerNorm"));
    for layer in 0..config.layers {
        let own = |name: &str| encoder.in_layer(layer, name);
        let [queries, keys, values] = ["query", "key", "value"]
            .map(|part| affine(&x, &own(&format!("attention.self.{part}"))));
        let seen = |_| ids.len();
        let mixed = attend(
            &queries,
            &keys,
            &values,
            ids.len(),
            config.heads,
            config.heads,
            seen,
        );
        add(&mut x, &affine(&mixed, &own("attention.output.dense")));
        x = normalize(&x, &own("attention.output.LayerNorm"));
        let mut inner = affine(&x, &own("intermediate.dense")); // [T, I]
        inner
            .iter_mut()
            .for_each(|value| *value = gelu(*value, encoder.activation));
        add(&mut x, &affine(&inner, &own("output.dense")));
        x = normalize(&x, &own("output.LayerNorm"));
    }

    let mut pooled: Vec<f32> = match encoder.pooling {
        Pooling::FirstToken => x[..width].to_vec(),
        _ => {
            let mean = |column| {
                let values = x.iter().skip(column).step_by(width);
                (values.map(|x| f64::from(*x)).sum::<f64>() / ids.len() as f64) as f32
            };
            (0..width).map(mean).collect()
        }
    };
    if let Some(dense) = encoder.dense() {
        pooled = affine(&pooled, dense);
        pooled.iter_mut().for_each(|value| *value = value.tanh());
    }
    affine(&pooled, encoder.classifier())
}

/// Layer normalisation of each row.
fn center(x: &[f32], weight: &[f32], bias: &[f32], eps: f64) -> Vec<f32> {
    let mut result = Vec::with_capacity(x.len());
    for row in x.chunks_exact(weight.len()) {
        let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / row.len() as f64;
        let centered: Vec<f32> = row.iter().map(|x| (f64::from(*x) - mean) as f32).collect();
        let scale = 1.0 / (dot(&centered, &centered) / row.len() as f64 + eps).sqrt();
        let parts = centered.iter().zip(weight).zip(bias);
        result.extend(parts.map(|((x, w), b)| (f64::from(*x) * scale) as f32 * w + b));
    }
    result
}

fn gelu(x: f32, activation: Activation) -> f32 {
    let x = f64::from(x);
    let share = match activation {
        Activation::Gelu => 0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            0.5 * (1.0 + inner.tanh())
        }
    };
    (x * share) as f32
}

/// The error function, by its Taylor series, and 1 beyond the reach of f32.
fn erf(x: f64) -> f64 {
    if x.abs() > 4.5 {
        return x.signum();
    }
    // 2 / sqrt(pi) times the sum over n of (-1)^n x^(2n + 1) / (n! (2n + 1)).
    let (mut power, mut sum, mut n) = (x, x, 0.0);
    loop {
        n += 1.0;
        power *= -x * x / n;
        let term = power / (2.0 * n + 1.0);
        sum += term;
        if term.abs() < 1e-17 {
            return sum * std::f64::consts::FRAC_2_SQRT_PI;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_has_its_known_values() {
        for (x, y) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (-2.0, -0.995_322_265_018_952_7),
            (4.0, 0.999_999_984_582_742_1),
            (6.0, 1.0),
        ] {
            assert!((erf(x) - y).abs() < 1e-9, "erf({x}) = {}", erf(x));
        }
    }

    #[test]
    fn both_kinds_of_gelu_are_near_each_other_and_not_equal() {
        for x in [-3.0_f32, -0.7, 0.4, 2.0] {
            let [a, b] = [Activation::Gelu, Activation::GeluTanh].map(|kind| gelu(x, kind));
            assert!((a - b).abs() < 1e-3 && a != b, "{a} {b}");
        }
    }
}
