//! Norms, means and attention by themselves, at odd sizes, against plain loops.

use super::alone::{DIMENSIONS, UNTOUCHED, agree, bytes, noise, run};
use super::gpu;
use crate::engine::wgpu::plan::{
    AttentionUniform, NormUniform, PoolUniform, ShapeUniform, dispatch,
};
use crate::engine::wgpu::schedule::{Step, attention, quads};
use crate::engine::wgpu::shaders::Sight;
use crate::network::encoder::Norm;
use crate::network::sample::EPSILON;
use crate::network::{Dimensions, reference, reference_encoder};

#[test]
fn norms_and_means_of_rows() {
    let Some(gpu) = gpu() else { return };
    for (hidden, sequences, tokens) in [(24, 1, 1), (48, 3, 5), (384, 2, 7)] {
        let d = Dimensions {
            hidden,
            ..DIMENSIONS
        };
        let shape = ShapeUniform {
            rows: sequences as u32,
            tokens: tokens as u32,
        };
        // Far from a mean of 0.
        let x: Vec<f32> = noise(sequences * tokens * hidden)
            .iter()
            .map(|x| 3.0 + x)
            .collect();
        let [weight, bias] = [1.0, 0.0].map(|middle| {
            let values: Vec<f32> = noise(hidden).iter().map(|x| middle + 0.3 * x).collect();
            bytes(&values)
        });
        let norm = [&weight[..], &bias[..]].concat();
        for is_first in [false, true] {
            let step = Step::Norm { norm: 0, is_first };
            let uniform = NormUniform {
                width: quads(hidden) as u32,
                is_first: is_first.into(),
                epsilon: EPSILON,
            };
            let place = dispatch(&step, &d, shape, None);
            let found = run(&gpu, place, shape, uniform, [&norm; 4], &x);
            let rows = x.chunks(hidden).enumerate();
            let expected: Vec<f32> = rows
                .flat_map(|(row, x)| match is_first && row % tokens != 0 {
                    true => x.to_vec(),
                    false => {
                        let norm = Norm {
                            weight: &weight,
                            bias: &bias,
                        };
                        reference_encoder::normalize(x, &norm, EPSILON)
                    }
                })
                .collect();
            agree(&format!("norm of {hidden}, {is_first}"), &found, &expected);
        }
        let uniform = PoolUniform {
            width: quads(hidden) as u32,
        };
        let place = dispatch(&Step::Pool, &d, shape, None);
        let x_bytes = bytes(&x);
        let untouched = vec![UNTOUCHED; sequences * hidden];
        let found = run(&gpu, place, shape, uniform, [&x_bytes; 4], &untouched);
        let expected: Vec<f32> = x
            .chunks(tokens * hidden)
            .flat_map(|x| {
                let sum = |i: usize| x[i..].iter().step_by(hidden).sum::<f32>();
                (0..hidden).map(move |i| sum(i) / tokens as f32)
            })
            .collect();
        agree(&format!("mean of {hidden}"), &found, &expected);
    }
}

#[test]
fn attention_of_every_head_size_and_length() {
    let Some(gpu) = gpu() else { return };
    for (heads, kv_heads, head_size, lengths) in [
        (6, 2, 8, &[(1, 1), (3, 33), (1, 200)][..]),
        (14, 2, 64, &[(1, 1), (2, 19)]),
        (3, 3, 80, &[(1, 17)]),
        (4, 1, 128, &[(1, 31)]),
    ] {
        let d = Dimensions {
            hidden: heads * head_size,
            heads,
            kv_heads,
            head_size,
            ..DIMENSIONS
        };
        let half = head_size / 2;
        let angles: Vec<f32> = noise(d.max_position * half)
            .iter()
            .map(|x| 3.0 * x)
            .collect();
        let cosines: Vec<f32> = angles.iter().map(|angle| angle.cos()).collect();
        let sines: Vec<f32> = angles.iter().map(|angle| angle.sin()).collect();
        let width = d.hidden + 2 * d.kv_width();
        for (sequences, tokens) in lengths {
            // Scores of several units: the softmax is far from flat.
            let packed: Vec<f32> = noise(sequences * tokens * width)
                .iter()
                .map(|x| 2.0 * x)
                .collect();
            let rows: Vec<Vec<f32>> = packed.chunks_exact(width).map(<[f32]>::to_vec).collect();
            for (is_last, sight) in [
                (false, Sight::Back),
                (true, Sight::Back),
                (false, Sight::All),
                (true, Sight::All),
            ] {
                let outputs: Vec<(usize, usize)> = (0..*sequences)
                    .flat_map(|sequence| (0..*tokens).map(move |token| (sequence, token)))
                    .filter(|(_, token)| !is_last || token + 1 == *tokens)
                    .collect();
                let expected: Vec<f32> = outputs
                    .iter()
                    .flat_map(|(sequence, token)| {
                        let rows = &rows[sequence * tokens..(sequence + 1) * tokens];
                        let head = |token: usize, start: usize| {
                            rows[token][start..start + head_size].to_vec()
                        };
                        match sight {
                            Sight::Back => reference::attention(&d, rows, *token, &cosines, &sines),
                            Sight::All => reference::attention_of(&d, *token, 0..*tokens, head),
                        }
                    })
                    .collect();
                let queries: Vec<f32> = outputs
                    .iter()
                    .flat_map(|(sequence, token)| {
                        rows[sequence * tokens + token][..d.hidden].to_vec()
                    })
                    .collect();
                let (q, q_width) = match is_last {
                    true => (&queries, d.hidden),
                    false => (&packed, width),
                };
                let uniform = AttentionUniform {
                    q_stride: quads(q_width) as u32,
                    kv_stride: quads(width) as u32,
                    k_offset: quads(d.hidden) as u32,
                    v_offset: quads(d.hidden + d.kv_width()) as u32,
                    y_stride: quads(d.hidden) as u32,
                    group: (heads / kv_heads) as u32,
                    scale: (head_size as f32).sqrt().recip(),
                    split: attention(is_last, sight, &d).split() as u32,
                };
                let shape = ShapeUniform {
                    rows: *sequences as u32,
                    tokens: *tokens as u32,
                };
                let found = run(
                    &gpu,
                    dispatch(&Step::Attention { is_last, sight }, &d, shape, None),
                    shape,
                    uniform,
                    [&bytes(q), &bytes(&packed), &bytes(&cosines), &bytes(&sines)],
                    &vec![UNTOUCHED; expected.len()],
                );
                let what = format!(
                    "{heads} / {kv_heads} heads of {head_size}, {sequences} x {tokens}, last \
                     {is_last}, {sight:?}"
                );
                agree(&what, &found, &expected);
            }
        }
    }
}
