//! Each shader by itself, at odd sizes, against plain loops.

use bytemuck::Pod;
use wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu::{BindGroupDescriptor, BindGroupEntry, BufferUsages, MapMode};

use super::gpu;
use crate::engine::wgpu::gpu::Gpu;
use crate::engine::wgpu::plan::{
    AttentionUniform, EmbedUniform, LinearUniform, ShapeUniform, dispatch,
};
use crate::engine::wgpu::resident::{Shaders, columns, gathered};
use crate::engine::wgpu::schedule::{Linear, Part, Slot, Step, attention, quads};
use crate::engine::wgpu::shaders::{Format, Mode, Products, Shader, Tiling};
use crate::network::reference;
use crate::network::sample::{EPSILON, Noise};
use crate::network::{Dimensions, Matrix};

const TOLERANCE: f32 = 1e-4;
/// What an output holds before a shader writes to it; what it must hold still where none should.
const UNTOUCHED: f32 = -7.5;

/// Only the step is dispatched by; these are read for attention alone.
const DIMENSIONS: Dimensions = Dimensions {
    layers: 1,
    hidden: 48,
    heads: 6,
    kv_heads: 2,
    head_size: 8,
    intermediate: 1,
    vocabulary: 1,
    max_position: 200,
    categories: 1,
    epsilon: EPSILON,
};

/// Runs one dispatch, and returns what `output` has become.
fn run(
    gpu: &Gpu,
    (shader, [x, y, z]): (Shader, [u32; 3]),
    shape: ShapeUniform,
    uniform: impl Pod,
    inputs: [&[u8]; 4],
    output: &[f32],
) -> Vec<f32> {
    let made = |usage| {
        move |bytes: &[u8]| {
            let contents = &[
                bytes,
                &vec![0; bytes.len().next_multiple_of(16) - bytes.len()],
            ]
            .concat();
            gpu.device.create_buffer_init(&BufferInitDescriptor {
                label: None,
                contents,
                usage,
            })
        }
    };
    gpu.guarded("run a shader", || {
        let shaders = Shaders::compile(gpu, &[shader])?;
        let uniforms = [bytemuck::bytes_of(&shape), bytemuck::bytes_of(&uniform)];
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let mut buffers: Vec<_> = uniforms.map(made(BufferUsages::UNIFORM)).into();
        buffers.extend(inputs.map(made(storage)));
        buffers.push(made(storage)(bytemuck::cast_slice(output)));
        let entries: Vec<_> = (0..)
            .zip(&buffers)
            .map(|(binding, buffer)| BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = gpu.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &shaders.layout,
            entries: &entries,
        });
        let bytes = size_of_val(output);
        let readback = gpu.buffer(
            "readback",
            bytes,
            BufferUsages::MAP_READ | BufferUsages::COPY_DST,
        );
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(shaders.pipeline(shader)?);
            pass.set_bind_group(0, &bind_group, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
        encoder.copy_buffer_to_buffer(&buffers[6], 0, &readback, 0, bytes as u64);
        let submission = gpu.queue.submit([encoder.finish()]);
        readback.map_async(MapMode::Read, .., Result::unwrap);
        gpu.wait(submission);
        let view = readback.get_mapped_range(..).unwrap();
        Ok(bytemuck::pod_collect_to_vec(&view))
    })
    .unwrap()
}

fn noise(count: usize) -> Vec<f32> {
    let mut noise = Noise::default();
    (0..count).map(|_| noise.next()).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn agree(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= TOLERANCE,
            "{what}: value {place} is {found}, expected {expected}"
        );
    }
}

/// The bytes of a matrix in a format; the values of int8 are multiples of 1 / 127 without their
/// scale.
fn stored(format: Format, count: usize) -> Vec<u8> {
    let values = noise(count);
    match format {
        Format::F32 => bytes(&values),
        Format::Int8 => values
            .iter()
            .map(|value| (value * 127.0) as i8 as u8)
            .collect(),
        Format::Blocks => panic!("no shader knows blocks"),
    }
}

#[test]
fn embed_takes_the_rows_of_its_part() {
    let Some(gpu) = gpu() else { return };
    let (vocabulary, hidden) = (37, 24);
    let scale = bytes(&noise(vocabulary));
    for format in [Format::Int8, Format::F32] {
        let rows = stored(format, vocabulary * hidden);
        let embedding = Matrix {
            name: "embedding.weight".to_owned(),
            format,
            inputs: vocabulary,
            stride: hidden,
            columns: 0..hidden,
            bytes: &rows,
            scale: Some(&scale),
            bias: None,
            outliers: None,
        };
        for ids in [vec![36_u32], vec![0, 10, 36, 9, 20, 19, 0]] {
            let part = 10..20;
            let row_bytes = hidden * format.bytes();
            let bound = &rows[part.start * row_bytes..part.end * row_bytes];
            let shape = ShapeUniform {
                rows: 1,
                tokens: ids.len() as u32,
            };
            let step = Step::Embed {
                format,
                ids: part.clone(),
            };
            let uniform = EmbedUniform {
                width: 6,
                first: 10,
                count: 10,
            };
            let untouched = vec![UNTOUCHED; ids.len() * hidden];
            let found = run(
                &gpu,
                dispatch(&step, &DIMENSIONS, shape, None),
                shape,
                uniform,
                [bytemuck::cast_slice(&ids), bound, &scale, &scale],
                &untouched,
            );
            let expected: Vec<f32> = ids
                .iter()
                .flat_map(|id| match part.contains(&(*id as usize)) {
                    true => reference::embed(&embedding, *id as usize),
                    false => vec![UNTOUCHED; hidden],
                })
                .collect();
            agree(&format!("{format:?} {ids:?}"), &found, &expected);
        }
    }
}

/// Which rows a linear layer reads and writes.
#[derive(Clone, Copy, Debug)]
struct Rows {
    x_last: bool,
    y_last: bool,
}

/// One linear layer by itself: `sequences` of `tokens`, and a part of the outputs that begins some
/// way into a row of y.
fn check_linear(
    gpu: &Gpu,
    (tiling, format, products, mode): (Tiling, Format, Products, Mode),
    (inputs, outputs): (usize, usize),
    (sequences, tokens): (usize, usize),
    rows: Rows,
) {
    let groups = if mode == Mode::SwiGlu { 2 } else { 1 };
    let columns_all = outputs * groups;
    let weights = stored(format, inputs * columns_all);
    let unit = match format {
        Format::Int8 => 1.0 / 127.0,
        Format::F32 | Format::Blocks => 1.0,
    };
    // So that sums are of the order of 1, however many inputs there are.
    let unit = unit * 4.0 / (inputs as f32).sqrt();
    let scale = bytes(&vec![unit; columns_all]);
    let bias = bytes(&noise(columns_all));
    let matrix = Matrix {
        name: "matrix.weight".to_owned(),
        format,
        inputs,
        stride: columns_all,
        columns: 0..columns_all,
        bytes: &weights,
        scale: Some(&scale),
        bias: Some(&bias),
        outliers: None,
    };
    let part = Part {
        ranges: (0..groups)
            .map(|group| group * outputs..(group + 1) * outputs)
            .collect(),
    };
    let (x_stride, y_offset) = (quads(inputs) + 1, 1);
    let y_stride = y_offset + quads(outputs) + 2;
    let linear = Linear {
        mode,
        format,
        products,
        matrix: 0,
        part: part.clone(),
        norm: (mode != Mode::Add).then_some(0),
        inputs,
        x: Slot::Residual,
        y: Slot::Residual,
        y_offset,
        x_last: rows.x_last,
        y_last: rows.y_last,
    };
    let uniform = LinearUniform {
        inputs: quads(inputs) as u32,
        x_stride: x_stride as u32,
        outputs: linear.outputs() as u32,
        y_stride: y_stride as u32,
        y_offset: y_offset as u32,
        width: part.width() as u32,
        x_last: rows.x_last.into(),
        y_last: rows.y_last.into(),
        mean_over: inputs as f32,
        epsilon: EPSILON,
    };
    let all = sequences * tokens;
    let made = if linear.is_last() { sequences } else { all };
    let place = |row: usize, is_last: bool| if is_last { (row + 1) * tokens - 1 } else { row };
    let x_rows = if linear.is_last() && !rows.x_last {
        sequences
    } else {
        all
    };
    let y_rows = if linear.is_last() && !rows.y_last {
        sequences
    } else {
        all
    };
    let mut x = noise(x_rows * x_stride * 4);
    for row in x.chunks_exact_mut(x_stride * 4) {
        // What lies between the inputs and the next quad is 0 wherever a layer has written it.
        row[inputs..].fill(0.0);
    }
    let norm: Vec<f32> = noise(quads(inputs) * 4).iter().map(|x| 1.0 + x).collect();
    let norm_bytes = bytes(&norm);

    let linear_of = |x: &[f32]| reference::linear(&matrix, products, x);
    let mut expected = vec![UNTOUCHED; y_rows * y_stride * 4];
    for row in 0..made {
        let start = place(row, rows.x_last) * x_stride * 4;
        let x = &x[start..start + inputs];
        let normed = reference::normalize(x, &norm_bytes[..inputs * 4], EPSILON);
        let made = match mode {
            Mode::Add => linear_of(x),
            Mode::Normed => linear_of(&normed),
            Mode::SwiGlu => reference::swiglu(&linear_of(&normed)),
        };
        let start = (place(row, rows.y_last) * y_stride + y_offset) * 4;
        for (y, made) in expected[start..].iter_mut().zip(made) {
            *y = if mode == Mode::Add { *y + made } else { made };
        }
        if mode != Mode::Add {
            // Filled up to a quad with zeros.
            expected[start + outputs..start + quads(outputs) * 4].fill(0.0);
        }
    }
    let shape = ShapeUniform {
        rows: sequences as u32,
        tokens: tokens as u32,
    };
    let padded = gathered(&matrix, &part, 0..inputs);
    let row_bytes = part.width() * 4 * format.bytes();
    let padded = [padded, vec![0; (quads(inputs) * 4 - inputs) * row_bytes]].concat();
    let found = run(
        gpu,
        dispatch(&Step::Linear(linear), &DIMENSIONS, shape, Some(tiling)),
        shape,
        uniform,
        [&bytes(&x), &norm_bytes, &padded, &columns(&matrix, &part)],
        &vec![UNTOUCHED; y_rows * y_stride * 4],
    );
    let what = format!(
        "{tiling:?} {format:?} {products:?} {mode:?} {inputs} to {outputs}, {sequences} x \
         {tokens}, {rows:?}"
    );
    agree(&what, &found, &expected);
}

#[test]
fn linear_layers_of_odd_sizes() {
    let Some(gpu) = gpu() else { return };
    const ALL: Rows = Rows {
        x_last: false,
        y_last: false,
    };
    for tiling in Tiling::ALL {
        for (format, products) in [
            (Format::Int8, Products::F32),
            (Format::Int8, Products::Int8),
            (Format::F32, Products::F32),
        ] {
            for mode in [Mode::Normed, Mode::Add, Mode::SwiGlu] {
                let shader = (tiling, format, products, mode);
                // One token; a tile and one row more, twelve outputs; nothing a multiple of four;
                // several tiles of outputs.
                check_linear(&gpu, shader, (16, 12), (1, 1), ALL);
                check_linear(&gpu, shader, (20, 12), (1, 65), ALL);
                check_linear(&gpu, shader, (37, 13), (3, 7), ALL);
                check_linear(&gpu, shader, (72, 291), (1, 18), ALL);
                // Long sums: several rounds of every loop along the inputs.
                check_linear(&gpu, shader, (1030, 20), (1, 17), ALL);
                // As in the last layer: from all rows, or to them, the last of every sequence.
                for (x_last, y_last) in [(true, false), (false, true), (true, true)] {
                    check_linear(&gpu, shader, (24, 20), (3, 5), Rows { x_last, y_last });
                }
            }
        }
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
            for is_last in [false, true] {
                let outputs: Vec<(usize, usize)> = (0..*sequences)
                    .flat_map(|sequence| (0..*tokens).map(move |token| (sequence, token)))
                    .filter(|(_, token)| !is_last || token + 1 == *tokens)
                    .collect();
                let expected: Vec<f32> = outputs
                    .iter()
                    .flat_map(|(sequence, token)| {
                        let rows = &rows[sequence * tokens..(sequence + 1) * tokens];
                        reference::attention(&d, rows, *token, &cosines, &sines)
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
                    split: attention(is_last, &d).split() as u32,
                };
                let shape = ShapeUniform {
                    rows: *sequences as u32,
                    tokens: *tokens as u32,
                };
                let found = run(
                    &gpu,
                    dispatch(&Step::Attention { is_last }, &d, shape, None),
                    shape,
                    uniform,
                    [&bytes(q), &bytes(&packed), &bytes(&cosines), &bytes(&sines)],
                    &vec![UNTOUCHED; expected.len()],
                );
                let what = format!(
                    "{heads} / {kv_heads} heads of {head_size}, {sequences} x {tokens}, last \
                     {is_last}"
                );
                agree(&what, &found, &expected);
            }
        }
    }
}
