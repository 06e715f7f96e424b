//! A decoder of one layer that takes the maximum of its tokens' values, exactly.
//!
//! A row of the embedding has the values of a word, one for each category, and beside each value
//! four numbers that make the squares of the five [`SQUARES`] together; so every row has the same
//! root mean square, and norms change nothing. A head for each category has the value as its key,
//! and a large constant as its query: the softmax gives all to the token with the largest value, or
//! the same to each of several. What the head takes over is the value with its four numbers, so
//! that the last row has the same length for every text too. The feed-forward block is zero, and no
//! position turns anything.

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::support::{CATEGORIES, WORDS};

pub const HEADS: usize = 4;
pub const HEAD: usize = 16;
pub const HIDDEN: usize = HEADS * HEAD;
pub const MAX_POSITION: usize = 16;
/// What the squares of a value and of its four numbers make.
const SQUARES: f32 = 64.0;
/// The last of the dimensions that a row of the embedding fills, the same for all words.
const CONSTANT: usize = PARTS * CATEGORIES.len();
const PARTS: usize = 5;
/// Root mean square of a row of the embedding: of three times [`SQUARES`] and once 8 squared.
const ROOT: f32 = 2.0;
/// The same of what the last norm takes: besides, three times [`SQUARES`] and once 24 squared.
const LAST_ROOT: f32 = 4.0;
/// Times 8, a query; differences of a half become more than the range of powers of e.
const QUERY: f32 = 512.0;

/// The bytes of a `weights.data`.
pub fn weights() -> Vec<u8> {
    // Inputs by outputs, row after row.
    let matrix = |outputs: usize, ones: &mut dyn Iterator<Item = (usize, usize, f32)>| {
        let mut values = vec![0.0; HIDDEN * outputs];
        ones.for_each(|(input, output, value)| values[input * outputs + output] = value);
        (vec![HIDDEN, outputs], values)
    };
    let categories = || 0..CATEGORIES.len();
    let parts = || categories().flat_map(|head| (0..PARTS).map(move |part| (head, part)));
    let query = &mut categories().map(|head| (CONSTANT, head * HEAD, QUERY));
    let key = categories().map(|head| (head, head * HEAD, 1.0));
    let value = parts().map(|(head, part)| (place(head, part), HIDDEN + head * HEAD + part, 1.0));
    let output = &mut parts()
        .map(|(head, part)| (head * HEAD + part, CONSTANT + 1 + head * PARTS + part, 1.0));
    let score = &mut categories().map(|head| (CONSTANT + 1 + head * PARTS, head, 1.0));
    let mut bias = vec![0.0; HIDDEN];
    bias[HIDDEN - 1] = 24.0;
    let vector = |values: Vec<f32>| (vec![values.len()], values);
    let positions = |value: f32| {
        (
            vec![MAX_POSITION, HEAD / 2],
            vec![value; MAX_POSITION * HEAD / 2],
        )
    };
    let tensors = BTreeMap::from([
        ("embedding.weight", (vec![WORDS.len(), HIDDEN], embedding())),
        ("rotary.cos", positions(1.0)),
        ("rotary.sin", positions(0.0)),
        ("layers.0.input_norm.weight", vector(vec![ROOT; HIDDEN])),
        ("layers.0.q.weight", matrix(HIDDEN, query)),
        (
            "layers.0.kv.weight",
            matrix(2 * HIDDEN, &mut key.chain(value)),
        ),
        ("layers.0.attention_output.weight", matrix(HIDDEN, output)),
        ("layers.0.attention_output.bias", vector(bias)),
        (
            "layers.0.post_attention_norm.weight",
            vector(vec![1.0; HIDDEN]),
        ),
        (
            "layers.0.gate_up.weight",
            matrix(2, &mut std::iter::empty()),
        ),
        ("layers.0.down.weight", (vec![1, HIDDEN], vec![0.0; HIDDEN])),
        ("norm.weight", vector(vec![LAST_ROOT; HIDDEN])),
        ("score.weight", matrix(CATEGORIES.len(), score)),
    ]);
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let tensors: BTreeMap<_, _> = tensors
        .into_iter()
        .map(|(name, (shape, values))| (name, (shape, bytes(&values))))
        .collect();
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (
            *name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}

/// Where a category's value is in a row, part 0, and its four numbers.
fn place(category: usize, part: usize) -> usize {
    match part {
        0 => category,
        _ => CATEGORIES.len() + category * (PARTS - 1) + part - 1,
    }
}

fn embedding() -> Vec<f32> {
    let row = |values: &[f32; CATEGORIES.len()]| {
        let mut row = [0.0; HIDDEN];
        for (category, value) in values.iter().enumerate() {
            let numbers = numbers_beside(*value);
            for (part, number) in [*value].into_iter().chain(numbers).enumerate() {
                row[place(category, part)] = number;
            }
        }
        row[CONSTANT] = 8.0;
        row
    };
    WORDS.iter().flat_map(|(_, values)| row(values)).collect()
}

/// Four halves of whole numbers whose squares and the value's make [`SQUARES`]: the value is one
/// too, and every whole number is the sum of four squares.
fn numbers_beside(value: f32) -> [f32; PARTS - 1] {
    let rest = (4.0 * (SQUARES - value * value)) as i32;
    let squares = || (0..=16_i32).map(|x| (x, x * x));
    for (a, aa) in squares() {
        for (b, bb) in squares() {
            for (c, cc) in squares() {
                let found = squares().find(|(_, dd)| aa + bb + cc + dd == rest);
                if let Some((d, _)) = found {
                    return [a, b, c, d].map(|x| x as f32 / 2.0);
                }
            }
        }
    }
    unreachable!("a word's value is larger than 8")
}
