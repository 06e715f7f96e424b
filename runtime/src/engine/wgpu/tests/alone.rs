//! Embedding and linear layers by themselves, at odd sizes, against plain loops.

use bytemuck::Pod;
use wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu::{BindGroupDescriptor, BindGroupEntry, BufferUsages, MapMode};

use super::gpu;
use crate::engine::wgpu::gpu::Gpu;
use crate::engine::wgpu::plan::{EmbedUniform, LinearUniform, ShapeUniform, dispatch};
use crate::engine::wgpu::resident::{Shaders, columns, gathered};
use crate::engine::wgpu::schedule::{Linear, Part, Slot, Step, Tokens, quads};
use crate::engine::wgpu::shaders::{Format, Mode, Products, Shader, Tiling};
use crate::network::encoder::Activation;
use crate::network::sample::{EPSILON, Noise};
use crate::network::{Dimensions, Matrix, reference, reference_encoder};

const TOLERANCE: f32 = 1e-4;
/// What an output holds before a shader writes to it; what it must hold still where none should.
pub(super) const UNTOUCHED: f32 = -7.5;

/// Only the step is dispatched by; these are read for attention alone.
pub(super) const DIMENSIONS: Dimensions = Dimensions {
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
pub(super) fn run(
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

pub(super) fn noise(count: usize) -> Vec<f32> {
    let mut noise = Noise::default();
    (0..count).map(|_| noise.next()).collect()
}

pub(super) fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

pub(super) fn agree(what: &str, found: &[f32], expected: &[f32]) {
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
        Format::Blocks => values[..count / 2]
            .iter()
            .map(|value| (value * 127.0) as i8 as u8)
            .collect(),
    }
}

#[test]
fn embed_takes_the_rows_of_its_part() {
    let Some(gpu) = gpu() else { return };
    let vocabulary = 37;
    for (format, hidden, scales) in [
        (Format::Int8, 24, vocabulary),
        (Format::F32, 24, vocabulary),
        (Format::Blocks, 96, vocabulary * 3),
    ] {
        let scale = bytes(&noise(scales));
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
        let positions = noise(7 * hidden);
        for (ids, is_placed) in [
            (vec![36_u32], false),
            (vec![0, 10, 36, 9, 20, 19, 0], false),
            (vec![0, 10, 36, 9, 20, 19, 0], true),
        ] {
            let part = 10..20;
            let row_bytes = format.bytes(hidden);
            let bound = &rows[part.start * row_bytes..part.end * row_bytes];
            let shape = ShapeUniform {
                rows: 1,
                tokens: ids.len() as u32,
            };
            let d = Dimensions {
                hidden,
                ..DIMENSIONS
            };
            let step = Step::Embed {
                format,
                ids: part.clone(),
                is_placed,
            };
            let uniform = EmbedUniform {
                width: quads(hidden) as u32,
                first: 10,
                count: 10,
            };
            let untouched = vec![UNTOUCHED; ids.len() * hidden];
            let found = run(
                &gpu,
                dispatch(&step, &d, shape, None),
                shape,
                uniform,
                [
                    bytemuck::cast_slice(&ids),
                    bound,
                    &scale,
                    &bytes(&positions),
                ],
                &untouched,
            );
            let expected: Vec<f32> = ids
                .iter()
                .zip(positions.chunks(hidden))
                .flat_map(|(id, place)| {
                    if !part.contains(&(*id as usize)) {
                        return vec![UNTOUCHED; hidden];
                    }
                    let mut row = reference::embed(&embedding, *id as usize);
                    if is_placed {
                        reference::add(&mut row, place);
                    }
                    row
                })
                .collect();
            agree(&format!("{format:?} {ids:?}"), &found, &expected);
        }
    }
}

/// Which tokens a linear layer reads and writes.
#[derive(Clone, Copy, Debug)]
struct Rows {
    x: Tokens,
    y: Tokens,
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
    let groups = mode.groups();
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
        norm: mode.normalises().then_some(0),
        inputs,
        x: Slot::Residual,
        y: Slot::Residual,
        y_offset,
        x_tokens: rows.x,
        y_tokens: rows.y,
    };
    let uniform = LinearUniform {
        inputs: quads(inputs) as u32,
        x_stride: x_stride as u32,
        outputs: linear.outputs() as u32,
        y_stride: y_stride as u32,
        y_offset: y_offset as u32,
        width: part.width() as u32,
        x_tokens: rows.x as u32,
        y_tokens: rows.y as u32,
        is_per_sequence: linear.is_per_sequence().into(),
        mean_over: inputs as f32,
        epsilon: EPSILON,
    };
    let all = sequences * tokens;
    let is_per_sequence = linear.is_per_sequence();
    let made = if is_per_sequence { sequences } else { all };
    let place = |row: usize, of: Tokens| match of {
        Tokens::All => row,
        Tokens::Last => (row + 1) * tokens - 1,
        Tokens::First => row * tokens,
    };
    let rows_of = |of: Tokens| match is_per_sequence && of == Tokens::All {
        true => sequences,
        false => all,
    };
    let (x_rows, y_rows) = (rows_of(rows.x), rows_of(rows.y));
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
        let start = place(row, rows.x) * x_stride * 4;
        let x = &x[start..start + inputs];
        let normed = reference::normalize(x, &norm_bytes[..inputs * 4], EPSILON);
        let made = match mode {
            Mode::Add => linear_of(x),
            Mode::Normed => linear_of(&normed),
            Mode::SwiGlu => reference::swiglu(&linear_of(&normed)),
            Mode::Plain => linear_of(x),
            Mode::Gelu => activated(linear_of(x), Activation::Gelu),
            Mode::GeluTanh => activated(linear_of(x), Activation::GeluTanh),
            Mode::Tanh => linear_of(x).iter().map(|x| x.tanh()).collect(),
        };
        let start = (place(row, rows.y) * y_stride + y_offset) * 4;
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
    let row_bytes = part.width() * 4 * format.bytes(1);
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

fn activated(x: Vec<f32>, activation: Activation) -> Vec<f32> {
    let activate = |x: f32| reference_encoder::activate(activation, x);
    x.into_iter().map(activate).collect()
}

#[test]
fn linear_layers_of_odd_sizes() {
    let Some(gpu) = gpu() else { return };
    const ALL: Rows = Rows {
        x: Tokens::All,
        y: Tokens::All,
    };
    for tiling in Tiling::ALL {
        for (format, products) in [
            (Format::Int8, Products::F32),
            (Format::Int8, Products::Int8),
            (Format::F32, Products::F32),
        ] {
            for mode in Mode::ALL {
                let shader = (tiling, format, products, mode);
                // One token; a tile and one row more, twelve outputs; nothing a multiple of four;
                // several tiles of outputs.
                check_linear(&gpu, shader, (16, 12), (1, 1), ALL);
                check_linear(&gpu, shader, (20, 12), (1, 65), ALL);
                check_linear(&gpu, shader, (37, 13), (3, 7), ALL);
                check_linear(&gpu, shader, (72, 291), (1, 18), ALL);
                // Long sums: several rounds of every loop along the inputs.
                check_linear(&gpu, shader, (1030, 20), (1, 17), ALL);
                // As in the last layer: from all rows, or to them, the last or the first of every
                // sequence.
                for judged in [Tokens::Last, Tokens::First] {
                    for (x, y) in [
                        (judged, Tokens::All),
                        (Tokens::All, judged),
                        (judged, judged),
                    ] {
                        check_linear(&gpu, shader, (24, 20), (3, 5), Rows { x, y });
                    }
                }
            }
        }
    }
}
