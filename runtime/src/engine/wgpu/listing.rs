//! Lists the adapters of this machine, each after a self-test.

use std::sync::Arc;

use super::adapter;
use super::gpu::Gpu;
use super::resident::Shaders;
use super::self_test::SelfTest;
use crate::error::Result;

/// A GPU, or a program that plays one.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuAdapter {
    /// Its name, as its driver gives it.
    pub name: String,
    /// `discrete GPU`, `integrated GPU`, `virtual GPU`, `CPU` or `unknown kind`.
    pub kind: &'static str,
    /// `vulkan`, `metal` or `dx12`.
    pub api: &'static str,
    /// The driver and its version.
    pub driver: String,
    /// Whether it is the one that the engine takes.
    pub is_chosen: bool,
    /// The largest buffer that a shader can see, in bytes; larger tensors are split.
    pub max_binding_bytes: u64,
    /// The largest buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// Workgroup memory, in bytes.
    pub workgroup_bytes: u32,
    /// Invocations of a workgroup, at most.
    pub max_invocations: u32,
    /// Invocations that run in step, from and to. The engine's shaders do not depend on them.
    pub subgroup_sizes: (u32, u32),
    /// What it has beyond WebGPU's core that matters to a network. The engine uses `int8 dot
    /// products` alone, with bundles that round activations to int8.
    pub features: Vec<&'static str>,
    /// The largest error of the self-test's logits, which are of the order of 1; or why the adapter
    /// cannot be trusted.
    pub self_test: std::result::Result<f32, String>,
}

/// All adapters that the drivers know, real GPUs first, each after a self-test: this may take
/// seconds.
///
/// `DUOGUARD_WGPU_ADAPTER` limits them to those whose name contains its value.
pub fn gpu_adapters() -> Vec<GpuAdapter> {
    let adapters = adapter::all();
    let chosen = adapters
        .iter()
        .position(|one| adapter::unfit(one).is_none());
    let describe = |(index, one): (usize, &wgpu::Adapter)| {
        let (info, limits, has) = (one.get_info(), one.limits(), one.features());
        let features = [
            (wgpu::Features::SHADER_F16, "f16"),
            (wgpu::Features::SUBGROUP, "subgroups"),
            (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
        ];
        let self_test = match adapter::unfit(one) {
            Some(reason) => Err(reason),
            None => test(one).map_err(|error| error.to_string()),
        };
        GpuAdapter {
            kind: adapter::kind_name(info.device_type),
            api: info.backend.to_str(),
            driver: format!("{} {}", info.driver, info.driver_info),
            is_chosen: chosen == Some(index),
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_buffer_bytes: limits.max_buffer_size,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            subgroup_sizes: (info.subgroup_min_size, info.subgroup_max_size),
            features: features
                .iter()
                .filter(|(feature, _)| has.contains(*feature))
                .map(|(_, name)| *name)
                .chain(adapter::multiplies_int8(one).then_some("int8 dot products"))
                .collect(),
            self_test,
            name: info.name,
        }
    };
    adapters.iter().enumerate().map(describe).collect()
}

fn test(adapter: &wgpu::Adapter) -> Result<f32> {
    let gpu = Gpu::open(adapter)?;
    let test = SelfTest::general(adapter::multiplies_int8(adapter));
    let needed = test.shaders(gpu.binding_bytes())?;
    let shaders = Arc::new(Shaders::compile(&gpu, &needed)?);
    test.run(&gpu, &shaders)
}
