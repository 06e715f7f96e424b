//! A session's working memory, and the forward pass that uses it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use bytemuck::{Pod, Zeroable};
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding,
    BufferUsages, CommandEncoderDescriptor, ComputePassDescriptor, MapMode,
};

use super::gpu::engine_error;
use super::resident::{Resident, StepWeights};
use super::schedule::{Linear, Slot, Step, attention, embed, quads};
use super::shaders::{Shader, Sight, Tiling};
use crate::engine::batch::TokenBatch;
use crate::error::Result;

/// Uniforms begin at multiples of this in every WebGPU implementation.
const UNIFORM_STRIDE: usize = 256;
/// How long it may take to be told of work that is done, which needs a few instructions of another
/// thread.
const PATIENCE: Duration = Duration::from_secs(10);
/// Working memory is made for no fewer tokens, so that it is not made again for every longer text.
const MIN_CAPACITY: usize = 64;

/// `Shape` of `common.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct ShapeUniform {
    pub(super) rows: u32,
    pub(super) tokens: u32,
}

/// `Embed` of `embed.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct EmbedUniform {
    pub(super) width: u32,
    pub(super) first: u32,
    pub(super) count: u32,
}

/// `Norm` of `norm.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct NormUniform {
    pub(super) width: u32,
    pub(super) is_first: u32,
    pub(super) epsilon: f32,
}

/// `Pool` of `pool.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct PoolUniform {
    pub(super) width: u32,
}

/// `Linear` of `linear.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct LinearUniform {
    pub(super) inputs: u32,
    pub(super) x_stride: u32,
    pub(super) outputs: u32,
    pub(super) y_stride: u32,
    pub(super) y_offset: u32,
    pub(super) width: u32,
    pub(super) x_tokens: u32,
    pub(super) y_tokens: u32,
    pub(super) is_per_sequence: u32,
    pub(super) mean_over: f32,
    pub(super) epsilon: f32,
}

/// `Attention` of `attention.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct AttentionUniform {
    pub(super) q_stride: u32,
    pub(super) kv_stride: u32,
    pub(super) k_offset: u32,
    pub(super) v_offset: u32,
    pub(super) y_stride: u32,
    pub(super) group: u32,
    pub(super) scale: f32,
    pub(super) split: u32,
}

/// Working memory for so many sequences and tokens.
pub(super) struct Plan {
    resident: Arc<Resident>,
    /// Sequences, and tokens of all of them together.
    capacity: (usize, usize),
    slots: HashMap<Slot, Buffer>,
    shape: Buffer,
    bind_groups: Vec<BindGroup>,
    readback: Buffer,
    /// How linear layers divide their work, if not as they think best.
    tiling: Option<Tiling>,
}

impl Plan {
    pub(super) fn new(resident: Arc<Resident>, batch: &TokenBatch<'_>) -> Result<Self> {
        let capacity = (
            batch.rows.next_power_of_two(),
            (batch.rows * batch.tokens)
                .next_power_of_two()
                .max(MIN_CAPACITY),
        );
        // Where the next power of two would be too much, what was asked for may still fit.
        let exact = (batch.rows, batch.rows * batch.tokens);
        let capacity = match most_tokens(&resident) {
            most if capacity.1 > most => exact,
            _ => capacity,
        };
        let gpu = &resident.gpu;
        let what = format!("make room for {} tokens", capacity.1);
        let (slots, shape, bind_groups, readback) = gpu.guarded(&what, || {
            let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
            let slots: HashMap<Slot, Buffer> = Slot::ALL
                .into_iter()
                .map(|slot| {
                    let rows = if slot.is_per_sequence() {
                        capacity.0
                    } else {
                        capacity.1
                    };
                    let bytes = rows * slot.row_bytes(&resident.dimensions);
                    (slot, gpu.buffer(&format!("{slot:?}"), bytes, usage))
                })
                .collect();
            let uniform = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
            let shape = gpu.buffer("shape", 16, uniform);
            let uniforms = gpu.buffer("uniforms", resident.steps.len() * UNIFORM_STRIDE, uniform);
            gpu.queue
                .write_buffer(&uniforms, 0, &all_uniforms(&resident));
            let bind_groups = (0..resident.steps.len())
                .map(|step| bind_group(&resident, step, &slots, &shape, &uniforms))
                .collect();
            let bytes = capacity.0 * Slot::Logits.row_bytes(&resident.dimensions);
            let readback = gpu.buffer(
                "readback",
                bytes,
                BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            );
            Ok((slots, shape, bind_groups, readback))
        })?;
        Ok(Self {
            resident,
            capacity,
            slots,
            shape,
            bind_groups,
            readback,
            tiling: None,
        })
    }

    /// Whether it can run such a batch.
    pub(super) fn fits(&self, batch: &TokenBatch<'_>) -> bool {
        batch.rows <= self.capacity.0 && batch.rows * batch.tokens <= self.capacity.1
    }

    /// Divides the work of linear layers in one way only: for tests of that way.
    pub(super) fn set_tiling(&mut self, tiling: Option<Tiling>) {
        self.tiling = tiling;
    }

    /// Runs a batch that fits. The logits are `rows * categories` values.
    pub(super) fn run(&mut self, batch: &TokenBatch<'_>) -> Result<Vec<f32>> {
        let resident = Arc::clone(&self.resident);
        resident
            .gpu
            .guarded("run the network", || self.submit(batch))
    }

    /// One submission: the tokens in, all dispatches, the logits out.
    fn submit(&mut self, batch: &TokenBatch<'_>) -> Result<Vec<f32>> {
        let gpu = &self.resident.gpu;
        let shape = ShapeUniform {
            rows: batch.rows as u32,
            tokens: batch.tokens as u32,
        };
        gpu.queue
            .write_buffer(&self.shape, 0, bytemuck::bytes_of(&shape));
        gpu.queue
            .write_buffer(&self.slots[&Slot::Ids], 0, bytemuck::cast_slice(batch.ids));
        let mut encoder = gpu
            .device
            .create_command_encoder(&CommandEncoderDescriptor { label: None });
        {
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor {
                label: None,
                timestamp_writes: None,
            });
            for (step, bind_group) in self.resident.steps.iter().zip(&self.bind_groups) {
                let (shader, [x, y, z]) = self.dispatch(step, shape);
                pass.set_pipeline(self.resident.shaders.pipeline(shader)?);
                pass.set_bind_group(0, bind_group, &[]);
                pass.dispatch_workgroups(x, y, z);
            }
        }
        let row_bytes = Slot::Logits.row_bytes(&self.resident.dimensions);
        let bytes = (batch.rows * row_bytes) as u64;
        encoder.copy_buffer_to_buffer(&self.slots[&Slot::Logits], 0, &self.readback, 0, bytes);
        let submission = gpu.queue.submit([encoder.finish()]);
        let (sender, receiver) = mpsc::channel();
        // The receiver outlives the wait below, in which this is called.
        self.readback
            .map_async(MapMode::Read, 0..bytes, move |result| {
                drop(sender.send(result))
            });
        gpu.wait(submission);
        let unread = |cause: String| engine_error(&format!("cannot read the logits: {cause}"));
        // The wait of another session's thread may have taken the callback along, and be about to
        // call it.
        match receiver.recv_timeout(PATIENCE) {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => return Err(unread(cause.to_string())),
            Err(cause) => return Err(unread(cause.to_string())),
        }
        let view = self
            .readback
            .get_mapped_range(0..bytes)
            .map_err(|cause| unread(cause.to_string()))?;
        let categories = self.resident.dimensions.categories;
        let rows = view.chunks_exact(row_bytes);
        let logits = rows
            .flat_map(|row| crate::network::floats(&row[..categories * 4]))
            .collect();
        drop(view);
        self.readback.unmap();
        Ok(logits)
    }

    fn dispatch(&self, step: &Step, shape: ShapeUniform) -> (Shader, [u32; 3]) {
        dispatch(step, &self.resident.dimensions, shape, self.tiling)
    }
}

/// The shader of a step and its workgroups.
pub(super) fn dispatch(
    step: &Step,
    d: &crate::network::Dimensions,
    shape: ShapeUniform,
    tiling: Option<Tiling>,
) -> (Shader, [u32; 3]) {
    let rows = shape.rows * shape.tokens;
    match step {
        Step::Embed {
            format, is_placed, ..
        } => (
            embed(*format, *is_placed),
            [(quads(d.hidden) as u32).div_ceil(64), rows, 1],
        ),
        Step::Norm { is_first, .. } => {
            let rows = if *is_first { shape.rows } else { rows };
            (Shader::Norm, [1, rows, 1])
        }
        Step::Pool => {
            let across = (quads(d.hidden) as u32).div_ceil(64);
            (Shader::Pool, [across, shape.rows, 1])
        }
        Step::Attention { is_last, sight } => {
            let shader = attention(*is_last, *sight, d);
            let queries = if *is_last { 1 } else { shape.tokens };
            let items = queries * (d.heads / d.kv_heads) as u32;
            (
                shader,
                [
                    items.div_ceil(shader.items()),
                    d.kv_heads as u32,
                    shape.rows,
                ],
            )
        }
        Step::Linear(linear) => {
            let rows = if linear.is_per_sequence() {
                shape.rows
            } else {
                rows
            };
            let tiling = tiling.unwrap_or_else(|| linear.tiling(shape.tokens));
            let (x, y) = linear.workgroups(tiling, rows);
            (linear.shader(tiling), [x, y, 1])
        }
    }
}

/// The most tokens that fit in one run: every buffer in a binding, every dimension of a dispatch
/// within its limit.
pub(super) fn most_tokens(resident: &Resident) -> usize {
    let d = &resident.dimensions;
    let widest = Slot::ALL
        .iter()
        .filter(|slot| !slot.is_per_sequence())
        .map(|slot| slot.row_bytes(d))
        .max();
    let workgroups = resident.gpu.limits().max_compute_workgroups_per_dimension as usize;
    (resident.gpu.binding_bytes() / widest.unwrap_or(1)).min(workgroups)
}

fn all_uniforms(resident: &Resident) -> Vec<u8> {
    let d = &resident.dimensions;
    let mut bytes = vec![0; resident.steps.len() * UNIFORM_STRIDE];
    for (step, slot) in resident
        .steps
        .iter()
        .zip(bytes.chunks_exact_mut(UNIFORM_STRIDE))
    {
        let uniform = match step {
            Step::Embed { ids, .. } => bytemuck::bytes_of(&EmbedUniform {
                width: quads(d.hidden) as u32,
                first: ids.start as u32,
                count: ids.len() as u32,
            })
            .to_vec(),
            Step::Norm { is_first, .. } => bytemuck::bytes_of(&NormUniform {
                width: quads(d.hidden) as u32,
                is_first: (*is_first).into(),
                epsilon: d.epsilon,
            })
            .to_vec(),
            Step::Pool => bytemuck::bytes_of(&PoolUniform {
                width: quads(d.hidden) as u32,
            })
            .to_vec(),
            Step::Attention { is_last, sight } => {
                bytemuck::bytes_of(&attention_uniform(d, *is_last, *sight)).to_vec()
            }
            Step::Linear(linear) => bytemuck::bytes_of(&linear_uniform(d, linear)).to_vec(),
        };
        slot[..uniform.len()].copy_from_slice(&uniform);
    }
    bytes
}

fn row_quads(slot: Slot, d: &crate::network::Dimensions) -> u32 {
    (slot.row_bytes(d) / 16) as u32
}

fn attention_uniform(
    d: &crate::network::Dimensions,
    is_last: bool,
    sight: Sight,
) -> AttentionUniform {
    let query = if is_last { Slot::Query } else { Slot::Packed };
    AttentionUniform {
        q_stride: row_quads(query, d),
        kv_stride: row_quads(Slot::Packed, d),
        k_offset: quads(d.hidden) as u32,
        v_offset: quads(d.hidden + d.kv_width()) as u32,
        y_stride: row_quads(Slot::Mixed, d),
        group: (d.heads / d.kv_heads) as u32,
        scale: (d.head_size as f32).sqrt().recip(),
        split: attention(is_last, sight, d).split() as u32,
    }
}

fn linear_uniform(d: &crate::network::Dimensions, linear: &Linear) -> LinearUniform {
    LinearUniform {
        inputs: quads(linear.inputs) as u32,
        x_stride: row_quads(linear.x, d),
        outputs: linear.outputs() as u32,
        y_stride: row_quads(linear.y, d),
        y_offset: linear.y_offset as u32,
        width: linear.part.width() as u32,
        x_tokens: linear.x_tokens as u32,
        y_tokens: linear.y_tokens as u32,
        is_per_sequence: linear.is_per_sequence().into(),
        mean_over: linear.inputs as f32,
        epsilon: d.epsilon,
    }
}

fn bind_group(
    resident: &Resident,
    step: usize,
    slots: &HashMap<Slot, Buffer>,
    shape: &Buffer,
    uniforms: &Buffer,
) -> BindGroup {
    // Where a shader has fewer than four inputs, the last is bound again.
    let (inputs, output): ([&Buffer; 4], Slot) =
        match (&resident.steps[step], &resident.weights[step]) {
            (
                Step::Linear(linear),
                StepWeights::Linear {
                    weights,
                    columns,
                    norm,
                },
            ) => {
                let norm = norm.as_ref().unwrap_or(columns);
                debug_assert!(linear.norm.is_some() == linear.mode.normalises());
                ([&slots[&linear.x], norm, weights, columns], linear.y)
            }
            (Step::Attention { is_last, .. }, _) => {
                let query = if *is_last { Slot::Query } else { Slot::Packed };
                let (query, packed) = (&slots[&query], &slots[&Slot::Packed]);
                let [cosines, sines] = match &resident.angles {
                    Some([cosines, sines]) => [cosines, sines],
                    None => [packed; 2],
                };
                ([query, packed, cosines, sines], Slot::Mixed)
            }
            (
                _,
                StepWeights::Embed {
                    rows,
                    scale,
                    positions,
                },
            ) => {
                let positions = positions.as_ref().unwrap_or(scale);
                let inputs = [&slots[&Slot::Ids], rows, scale, positions];
                (inputs, Slot::Residual)
            }
            (_, StepWeights::Norm(norm)) => ([norm; 4], Slot::Residual),
            (Step::Pool, _) => ([&slots[&Slot::Residual]; 4], Slot::Pooled),
            (Step::Embed { .. } | Step::Norm { .. } | Step::Linear(_), _) => {
                unreachable!("weights are made step by step")
            }
        };
    let uniform = BindingResource::Buffer(BufferBinding {
        buffer: uniforms,
        offset: (step * UNIFORM_STRIDE) as u64,
        size: std::num::NonZeroU64::new(UNIFORM_STRIDE as u64),
    });
    let mut resources = vec![shape.as_entire_binding(), uniform];
    resources.extend(inputs.map(Buffer::as_entire_binding));
    resources.push(slots[&output].as_entire_binding());
    let entries: Vec<_> = (0..)
        .zip(resources)
        .map(|(binding, resource)| BindGroupEntry { binding, resource })
        .collect();
    resident.gpu.device.create_bind_group(&BindGroupDescriptor {
        label: None,
        layout: &resident.shaders.layout,
        entries: &entries,
    })
}
