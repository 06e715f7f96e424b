//! The forward pass in plain loops, slow and readable: engines are compared with it.
//!
//! Sums are f64, so that a difference comes from the engine. One sequence at a time; shapes: T
//! tokens, C hidden, D head size.

use super::{BLOCK, Dimensions, Format, Matrix, Network, Products, floats};

/// The logits of one sequence.
pub(crate) fn forward(network: &Network<'_>, products: Products, ids: &[u32]) -> Vec<f32> {
    let d = &network.dimensions;
    let linear = |matrix: &Matrix<'_>, x: &[f32]| linear(matrix, products, x);
    let last = ids.len() - 1;
    let mut residual: Vec<Vec<f32>> = ids
        .iter()
        .map(|id| embed(&network.embedding, *id as usize))
        .collect();
    let (cosines, sines) = (floats(network.cosines), floats(network.sines));
    for layer in &network.layers {
        let packed: Vec<Vec<f32>> = residual
            .iter()
            .map(|x| {
                let x = normalize(x, layer.input_norm, d.epsilon);
                let parts = layer.attention_input.iter();
                parts.flat_map(|matrix| linear(matrix, &x)).collect()
            })
            .collect();
        for (query, x) in residual.iter_mut().enumerate() {
            let mixed = attention(d, &packed, query, &cosines, &sines);
            add(x, &linear(&layer.attention_output, &mixed));
            let normed = normalize(x, layer.post_attention_norm, d.epsilon);
            let inner = swiglu(&linear(&layer.gate_up, &normed));
            add(x, &linear(&layer.down, &inner));
        }
    }
    let x = normalize(&residual[last], network.norm, d.epsilon);
    linear(&network.score, &x)
}

/// A row of the embedding: `[C]`.
pub(crate) fn embed(embedding: &Matrix<'_>, id: usize) -> Vec<f32> {
    let columns = 0..embedding.stride;
    if embedding.format == Format::Blocks {
        let (half, scales) = (embedding.stride / 2, floats(embedding.scale.unwrap()));
        let value = |column: usize| {
            let byte = embedding.bytes[id * half + column % half];
            let level = f32::from(byte >> (column / half * 4) & 15) - 8.0;
            level * scales[(id * embedding.stride + column) / BLOCK]
        };
        return columns.map(value).collect();
    }
    let scale = embedding.scale.map_or(1.0, |scale| floats(scale)[id]);
    columns
        .map(|column| element(embedding, id, column) * scale)
        .collect()
}

/// `x` divided by its root mean square, times the norm's weights.
pub(crate) fn normalize(x: &[f32], weights: &[u8], epsilon: f32) -> Vec<f32> {
    let squares: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let inverse = (squares / x.len() as f64 + f64::from(epsilon))
        .sqrt()
        .recip();
    let weights = floats(weights);
    let scaled = x.iter().zip(&weights);
    scaled
        .map(|(x, weight)| (f64::from(*x) * inverse) as f32 * weight)
        .collect()
}

/// `x` times the meant columns of a matrix, plus their biases.
pub(crate) fn linear(matrix: &Matrix<'_>, products: Products, x: &[f32]) -> Vec<f32> {
    let x = &match matrix.products(products) {
        Products::F32 => x.to_vec(),
        Products::Int8 => rounded(x),
    };
    let mut sums = vec![0.0_f64; matrix.columns.len()];
    for (input, x) in x.iter().enumerate() {
        for (sum, column) in sums.iter_mut().zip(matrix.columns.clone()) {
            *sum += f64::from(*x) * f64::from(element(matrix, input, column));
        }
    }
    let ones = vec![1.0; sums.len()];
    let zeros = vec![0.0; sums.len()];
    let scale = match (matrix.format, matrix.scale) {
        // Blocks have their scales in their elements.
        (Format::F32 | Format::Int8, Some(scale)) => floats(scale),
        _ => ones,
    };
    let bias = matrix.bias.map_or(zeros, floats);
    let parts = sums.iter().zip(&scale).zip(&bias);
    parts
        .map(|((sum, scale), bias)| *sum as f32 * scale + bias)
        .collect()
}

/// `x` as multiples of the 127th part of its largest value: what is left of it in int8.
fn rounded(x: &[f32]) -> Vec<f32> {
    let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    match largest > 0.0 {
        true => x
            .iter()
            .map(|x| (x * (127.0 / largest)).round_ties_even() * largest / 127.0)
            .collect(),
        false => x.to_vec(),
    }
}

pub(crate) fn element(matrix: &Matrix<'_>, row: usize, column: usize) -> f32 {
    let place = row * matrix.stride + column;
    match matrix.format {
        Format::Blocks => {
            let value = column * matrix.inputs + row;
            let level = f32::from(matrix.bytes[value / 2] >> (row % 2 * 4) & 15) - 8.0;
            let first = (column - matrix.columns.start) * matrix.inputs + row;
            level * floats(&matrix.scale.unwrap()[first / BLOCK * 4..][..4])[0]
        }
        Format::Int8 => f32::from(matrix.bytes[place] as i8),
        Format::F32 => floats(&matrix.bytes[place * 4..place * 4 + 4])[0],
    }
}

/// Causal grouped-query attention of one token with rotary embedding, up to its output projection:
/// `[C]`. `packed` is `[T, C + 2 * kv width]`.
pub(crate) fn attention(
    d: &Dimensions,
    packed: &[Vec<f32>],
    query: usize,
    cosines: &[f32],
    sines: &[f32],
) -> Vec<f32> {
    let head_of = |token: usize, start: usize| {
        let head = &packed[token][start..start + d.head_size];
        match start < d.hidden + d.kv_width() {
            true => rotate(head, token, cosines, sines),
            false => head.to_vec(),
        }
    };
    attention_of(d, query, 0..query + 1, head_of)
}

/// Grouped-query attention of one token to those that it sees: `[C]`. `head_of` gives the head of a
/// token that begins at a place in queries, keys and values side by side.
pub(crate) fn attention_of(
    d: &Dimensions,
    query: usize,
    seen: std::ops::Range<usize>,
    head_of: impl Fn(usize, usize) -> Vec<f32>,
) -> Vec<f32> {
    let size = d.head_size;
    let mut mixed = Vec::with_capacity(d.hidden);
    for head in 0..d.heads {
        let kv_head = head / (d.heads / d.kv_heads);
        let key_start = d.hidden + kv_head * size;
        let value_start = key_start + d.kv_width();
        let q = head_of(query, head * size);
        let scores: Vec<f64> = seen
            .clone()
            .map(|token| {
                let k = head_of(token, key_start);
                let products = q.iter().zip(&k).map(|(q, k)| f64::from(q * k));
                products.sum::<f64>() / (size as f64).sqrt()
            })
            .collect();
        let largest = scores.iter().copied().fold(f64::MIN, f64::max);
        let shares: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
        let total: f64 = shares.iter().sum();
        let values: Vec<Vec<f32>> = seen.clone().map(|t| head_of(t, value_start)).collect();
        mixed.extend((0..size).map(|i| {
            let pairs = values.iter().zip(&shares);
            let sum: f64 = pairs
                .map(|(value, share)| share * f64::from(value[i]))
                .sum();
            (sum / total) as f32
        }));
    }
    mixed
}

/// A head turned by its token's position: element i and element i + D / 2 are a pair.
fn rotate(x: &[f32], position: usize, cosines: &[f32], sines: &[f32]) -> Vec<f32> {
    let half = x.len() / 2;
    let angle = |i: usize| {
        let place = position * half + i;
        (cosines[place], sines[place])
    };
    let first = (0..half).map(|i| x[i] * angle(i).0 - x[i + half] * angle(i).1);
    let second = (0..half).map(|i| x[i + half] * angle(i).0 + x[i] * angle(i).1);
    first.chain(second).collect()
}

/// `silu(gate) * up`, of gate and up side by side.
pub(crate) fn swiglu(gate_up: &[f32]) -> Vec<f32> {
    let (gate, up) = gate_up.split_at(gate_up.len() / 2);
    let pairs = gate.iter().zip(up);
    pairs
        .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up)
        .collect()
}

pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}
