//! A network's weights on the GPU, with the shaders that it needs. Shared by the sessions of a
//! model.

use std::collections::HashMap;
use std::sync::Arc;

use wgpu::{
    BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType, Buffer,
    BufferBindingType, BufferUsages, ComputePipeline, ComputePipelineDescriptor,
    PipelineLayoutDescriptor, ShaderModuleDescriptor, ShaderSource, ShaderStages,
};

use super::gpu::{Gpu, engine_error};
use super::known::Known;
use super::schedule::{self, Linear, Part, Step, quads};
use super::self_test::SelfTest;
use super::shaders::{Products, Shader};
use crate::error::Result;
use crate::network::{Dimensions, Matrix};

const WEIGHT: BufferUsages = BufferUsages::STORAGE.union(BufferUsages::COPY_DST);
/// The storage buffers that every shader reads, after its two uniforms.
pub(super) const INPUTS: u32 = 4;

/// A network that is ready to run.
pub(crate) struct Resident {
    pub(super) gpu: Gpu,
    pub(super) dimensions: Dimensions,
    pub(super) steps: Vec<Step>,
    /// What the steps bind besides what flows through the network, step by step.
    pub(super) weights: Vec<StepWeights>,
    /// The cosines and sines of rotary embedding, in networks that have it.
    pub(super) angles: Option<[Buffer; 2]>,
    pub(super) shaders: Arc<Shaders>,
}

/// The weights of a step.
#[derive(Clone)]
pub(super) enum StepWeights {
    Embed {
        rows: Buffer,
        scale: Buffer,
        positions: Option<Buffer>,
    },
    Norm(Buffer),
    /// None: attention and pooling.
    None,
    Linear {
        weights: Buffer,
        columns: Buffer,
        norm: Option<Buffer>,
    },
}

impl Resident {
    /// Compiles the shaders of a network, tests them, and uploads the network.
    pub(super) fn new(gpu: Gpu, network: &Known<'_>, products: Products) -> Result<Self> {
        let test = SelfTest::of(network, products);
        let mut needed = schedule::shaders(&steps(&gpu, network, products)?, network.dimensions());
        needed.extend(test.shaders(gpu.binding_bytes())?);
        let shaders = Arc::new(Shaders::compile(&gpu, &needed)?);
        test.run(&gpu, &shaders)?;
        Self::build(gpu, network, products, shaders)
    }

    /// Uploads a network, whose shaders must be among those given.
    pub(super) fn build(
        gpu: Gpu,
        network: &Known<'_>,
        products: Products,
        shaders: Arc<Shaders>,
    ) -> Result<Self> {
        let steps = steps(&gpu, network, products)?;
        let upload = || {
            let uploads = Uploads { gpu: &gpu };
            let weights = uploads.steps(network, &steps);
            let angles = network.angles();
            let angles = angles.map(|angles| angles.map(|bytes| uploads.bytes("rotary", bytes)));
            gpu.flush();
            Ok((weights, angles))
        };
        let (weights, angles) = gpu.guarded("load the network", upload)?;
        Ok(Self {
            dimensions: network.dimensions().clone(),
            gpu,
            steps,
            weights,
            angles,
            shaders,
        })
    }
}

fn steps(gpu: &Gpu, network: &Known<'_>, products: Products) -> Result<Vec<Step>> {
    let steps = network.schedule(gpu.binding_bytes(), products);
    steps.ok_or_else(|| {
        engine_error(&format!(
            "{} binds at most {} bytes, fewer than one output of a layer or the positions take; use \
             another engine",
            gpu.info.name,
            gpu.binding_bytes()
        ))
    })
}

/// Compiled shaders.
pub(super) struct Shaders {
    pub(super) layout: BindGroupLayout,
    pipelines: HashMap<Shader, ComputePipeline>,
}

impl Shaders {
    /// Compiles shaders, each once.
    pub(super) fn compile(gpu: &Gpu, shaders: &[Shader]) -> Result<Self> {
        gpu.guarded("compile the shaders", || {
            let layout = bind_group_layout(gpu);
            let pipelines = pipelines(gpu, &layout, shaders);
            Ok(Self { layout, pipelines })
        })
    }

    /// One of the shaders that were compiled.
    pub(super) fn pipeline(&self, shader: Shader) -> Result<&ComputePipeline> {
        let missing = || engine_error(&format!("{shader:?} was not compiled"));
        self.pipelines.get(&shader).ok_or_else(missing)
    }
}

/// Two uniforms, four inputs, one output: the same for all shaders.
fn bind_group_layout(gpu: &Gpu) -> BindGroupLayout {
    let entry = |binding: u32| {
        let ty = match binding {
            0 | 1 => BufferBindingType::Uniform,
            _ => BufferBindingType::Storage {
                read_only: binding < 2 + INPUTS,
            },
        };
        BindGroupLayoutEntry {
            binding,
            visibility: ShaderStages::COMPUTE,
            ty: BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        }
    };
    let entries: Vec<_> = (0..2 + INPUTS + 1).map(entry).collect();
    gpu.device
        .create_bind_group_layout(&BindGroupLayoutDescriptor {
            label: None,
            entries: &entries,
        })
}

fn pipelines(
    gpu: &Gpu,
    layout: &BindGroupLayout,
    shaders: &[Shader],
) -> HashMap<Shader, ComputePipeline> {
    let layout = gpu
        .device
        .create_pipeline_layout(&PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(layout)],
            immediate_size: 0,
        });
    let mut pipelines = HashMap::new();
    for shader in shaders {
        pipelines.entry(*shader).or_insert_with(|| {
            let label = format!("{shader:?}");
            let module = gpu.device.create_shader_module(ShaderModuleDescriptor {
                label: Some(&label),
                source: ShaderSource::Wgsl(shader.source().into()),
            });
            gpu.device
                .create_compute_pipeline(&ComputePipelineDescriptor {
                    label: Some(&label),
                    layout: Some(&layout),
                    module: &module,
                    entry_point: Some("main"),
                    // Every shader writes its workgroup memory before it reads it.
                    compilation_options: wgpu::PipelineCompilationOptions {
                        zero_initialize_workgroup_memory: false,
                        ..Default::default()
                    },
                    cache: None,
                })
        });
    }
    pipelines
}

struct Uploads<'a> {
    gpu: &'a Gpu,
}

impl Uploads<'_> {
    fn steps(&self, network: &Known<'_>, steps: &[Step]) -> Vec<StepWeights> {
        let (matrices, norms) = (network.matrices(), network.norms());
        let norms: Vec<Buffer> = norms.iter().map(|norm| self.bytes("norm", norm)).collect();
        let embedding = network.embedding();
        let scale = match embedding.scale {
            Some(scale) => self.bytes("embedding.scale", scale),
            None => self.bytes("embedding.scale", &ones(embedding.inputs)),
        };
        let positions = network.positions();
        let positions = positions.map(|bytes| self.bytes("positions", bytes));
        let row_bytes = embedding.format.bytes(embedding.stride);
        let weights = |step: &Step| match step {
            Step::Embed { ids, .. } => {
                let bytes = &embedding.bytes[ids.start * row_bytes..ids.end * row_bytes];
                StepWeights::Embed {
                    rows: self.bytes("embedding", bytes),
                    scale: scale.clone(),
                    positions: positions.clone(),
                }
            }
            Step::Norm { norm, .. } => StepWeights::Norm(norms[*norm].clone()),
            Step::Attention { .. } | Step::Pool => StepWeights::None,
            Step::Linear(linear) => {
                let (weights, columns) = self.linear(matrices[linear.matrix], linear);
                let norm = linear.norm.map(|norm| norms[norm].clone());
                StepWeights::Linear {
                    weights,
                    columns,
                    norm,
                }
            }
        };
        steps.iter().map(weights).collect()
    }

    fn empty(&self, label: &str, bytes: usize) -> Buffer {
        self.gpu.buffer(label, bytes, WEIGHT)
    }

    fn bytes(&self, label: &str, bytes: &[u8]) -> Buffer {
        let buffer = self.empty(label, bytes.len());
        self.gpu.upload(&buffer, 0, bytes);
        buffer
    }

    /// The weights of a part of a matrix, and the scales and biases of its columns.
    fn linear(&self, matrix: &Matrix<'_>, linear: &Linear) -> (Buffer, Buffer) {
        let (part, element) = (&linear.part, matrix.format.bytes(1));
        let row_bytes = part.width() * 4 * element;
        let weights = self.empty("weights", quads(matrix.inputs) * 4 * row_bytes);
        let is_whole = matrix.columns.len() == matrix.stride && part.width() * 4 == matrix.stride;
        if is_whole {
            self.gpu.upload(&weights, 0, matrix.bytes);
        } else {
            // Gathered some rows at a time: the part is not one piece of the file.
            let at_a_time = (1 << 20) / row_bytes + 1;
            for start in (0..matrix.inputs).step_by(at_a_time) {
                let rows = start..(start + at_a_time).min(matrix.inputs);
                self.gpu
                    .upload(&weights, start * row_bytes, &gathered(matrix, part, rows));
            }
        }
        let columns = self.bytes("columns", &columns(matrix, part));
        (weights, columns)
    }
}

/// Rows of a part of a matrix, its ranges filled up to quads with zeros.
pub(super) fn gathered(matrix: &Matrix<'_>, part: &Part, rows: std::ops::Range<usize>) -> Vec<u8> {
    let element = matrix.format.bytes(1);
    let mut bytes = Vec::with_capacity(rows.len() * part.width() * 4 * element);
    for row in rows {
        for range in &part.ranges {
            let start = row * matrix.stride + matrix.columns.start;
            let (from, to) = (start + range.start, start + range.end);
            bytes.extend_from_slice(&matrix.bytes[from * element..to * element]);
            let padding = quads(range.len()) * 4 - range.len();
            bytes.resize(bytes.len() + padding * element, 0);
        }
    }
    bytes
}

/// The scales of a part's columns, then their biases, each range filled up to a quad with zeros.
pub(super) fn columns(matrix: &Matrix<'_>, part: &Part) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(part.width() * 32);
    let ones = ones(matrix.columns.len());
    let zeros = vec![0; matrix.columns.len() * 4];
    for values in [matrix.scale.unwrap_or(&ones), matrix.bias.unwrap_or(&zeros)] {
        for range in &part.ranges {
            bytes.extend_from_slice(&values[range.start * 4..range.end * 4]);
            bytes.resize(bytes.len().next_multiple_of(16), 0);
        }
    }
    bytes
}

fn ones(count: usize) -> Vec<u8> {
    1.0_f32.to_le_bytes().repeat(count)
}
