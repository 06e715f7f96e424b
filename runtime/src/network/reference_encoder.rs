//! The encoder's forward pass in plain loops: what [`reference`] is to decoders.

use super::encoder::{Activation, Encoder, Norm};
use super::reference::{add, attention_of, embed, linear as product};
use super::{Matrix, Products, floats};
use crate::bundle::Pooling;

/// The logits of one sequence: `[labels]`.
///
/// [`reference`]: super::reference
pub(crate) fn forward(encoder: &Encoder<'_>, products: Products, ids: &[u32]) -> Vec<f32> {
    let d = &encoder.dimensions;
    let linear = |matrix: &Matrix<'_>, x: &[f32]| product(matrix, products, x);
    let norm = |x: &[f32], norm: &Norm<'_>| normalize(x, norm, d.epsilon);
    let positions = floats(encoder.positions);
    let places = positions.chunks(d.hidden);
    let mut rows: Vec<Vec<f32>> = ids
        .iter()
        .zip(places)
        .map(|(id, place)| {
            let mut x = embed(&encoder.embedding, *id as usize);
            add(&mut x, place);
            norm(&x, &encoder.embeddings_norm)
        })
        .collect();
    for layer in &encoder.layers {
        let packed: Vec<Vec<f32>> = rows
            .iter()
            .map(|x| {
                let parts = layer.attention_input.iter();
                parts.flat_map(|matrix| linear(matrix, x)).collect()
            })
            .collect();
        for (query, x) in rows.iter_mut().enumerate() {
            let head = |token: usize, start: usize| packed[token][start..][..d.head_size].to_vec();
            let mixed = attention_of(d, query, 0..ids.len(), head);
            add(x, &linear(&layer.attention_output, &mixed));
            let normed = norm(x, &layer.attention_norm);
            let mut inner = linear(&layer.up, &normed);
            for x in &mut inner {
                *x = activate(encoder.form.activation, *x);
            }
            *x = normed;
            add(x, &linear(&layer.down, &inner));
            *x = norm(x, &layer.norm);
        }
    }
    let mut pooled = match encoder.form.pooling {
        Pooling::FirstToken => rows[0].clone(),
        Pooling::LastToken => rows[ids.len() - 1].clone(),
        Pooling::Mean => (0..d.hidden)
            .map(|i| {
                let sum: f64 = rows.iter().map(|x| f64::from(x[i])).sum();
                (sum / rows.len() as f64) as f32
            })
            .collect(),
    };
    if let Some(pooler) = &encoder.pooler {
        pooled = linear(pooler, &pooled).iter().map(|x| x.tanh()).collect();
    }
    linear(&encoder.score, &pooled)
}

/// `x` with a mean of 0 and a variance of 1, times the norm's weights, plus its biases.
pub(crate) fn normalize(x: &[f32], norm: &Norm<'_>, epsilon: f32) -> Vec<f32> {
    let count = x.len() as f64;
    let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
    let squares: f64 = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum();
    let inverse = (squares / count + f64::from(epsilon)).sqrt().recip();
    let (weights, biases) = (floats(norm.weight), floats(norm.bias));
    let scaled = x.iter().zip(&weights).zip(&biases);
    scaled
        .map(|((x, weight), bias)| ((f64::from(*x) - mean) * inverse) as f32 * weight + bias)
        .collect()
}

/// The activation of one value.
pub(crate) fn activate(activation: Activation, x: f32) -> f32 {
    let x = f64::from(x);
    let share = match activation {
        Activation::Gelu => 0.5 * (1.0 + error_function(x / 2.0_f64.sqrt())),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * (1.0 + inner.tanh())
        }
    };
    (x * share) as f32
}

/// By its Taylor series, which converges everywhere; beyond 5 it is 1 to what an f64 can tell.
fn error_function(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..150 {
        let n = f64::from(n);
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}
