//! Which GPUs there are, and which of them to take.

use std::sync::OnceLock;

use wgpu::{
    Adapter, AdapterInfo, Backends, DeviceType, Instance, InstanceDescriptor, InstanceFlags, Limits,
};

/// The environment variable that names the adapter: a part of its name, in any case.
pub(super) const ADAPTER_VARIABLE: &str = "DUOGUARD_WGPU_ADAPTER";
/// Set to `1`, the driver's validation layers run along, if they are installed.
pub(super) const VALIDATION_VARIABLE: &str = "DUOGUARD_WGPU_VALIDATION";

/// The instance: drivers are loaded once in a process.
pub(super) fn instance() -> &'static Instance {
    static INSTANCE: OnceLock<Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        let flags = match std::env::var(VALIDATION_VARIABLE).as_deref() {
            // Without debug information in the shaders: older layers do not know WGSL as a
            // language.
            Ok("1") => InstanceFlags::VALIDATION,
            _ => InstanceFlags::empty(),
        };
        Instance::new(InstanceDescriptor {
            backends: Backends::VULKAN | Backends::METAL | Backends::DX12,
            flags,
            ..InstanceDescriptor::new_without_display_handle()
        })
    })
}

/// All adapters, real GPUs before others, as far as the caller's choice allows.
pub(super) fn all() -> Vec<Adapter> {
    let instance = instance();
    let mut adapters = pollster::block_on(instance.enumerate_adapters(Backends::all()));
    adapters.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    let wanted = std::env::var(ADAPTER_VARIABLE)
        .unwrap_or_default()
        .to_lowercase();
    adapters.retain(|adapter| adapter.get_info().name.to_lowercase().contains(&wanted));
    adapters
}

/// The adapter that the engine takes, or why there is none and how to get one.
pub(super) fn best() -> Result<Adapter, String> {
    let mut reasons = Vec::new();
    for adapter in all() {
        match unfit(&adapter) {
            None => return Ok(adapter),
            Some(reason) => reasons.push(format!("{}: {reason}", adapter.get_info().name)),
        }
    }
    if reasons.is_empty() {
        let named = match std::env::var(ADAPTER_VARIABLE) {
            Ok(name) if !name.is_empty() => {
                format!(" whose name contains {name:?}, as {ADAPTER_VARIABLE} asks")
            }
            _ => String::new(),
        };
        reasons.push(format!(
            "no Vulkan, Metal or DirectX 12 adapter was found{named}; install a driver for the \
             GPU (for tests without one, Debian's \
             mesa-vulkan-drivers)"
        ));
    }
    Err(reasons.join("; "))
}

/// The real GPU that is taken unasked, or why there is none to take.
pub(super) fn real_gpu() -> Result<Adapter, String> {
    if !may_have_gpu() {
        return Err("this machine has no GPU".to_owned());
    }
    let adapter = best()?;
    let info = adapter.get_info();
    match is_real_gpu(&info) {
        true => Ok(adapter),
        false => Err(format!("{} is not a real GPU", describe(&info))),
    }
}

fn rank(kind: DeviceType) -> u8 {
    match kind {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

/// Whether it is a GPU and not a program that plays one.
fn is_real_gpu(info: &AdapterInfo) -> bool {
    matches!(
        info.device_type,
        DeviceType::DiscreteGpu | DeviceType::IntegratedGpu
    )
}

/// Whether a look at the drivers could find a GPU. Loading them takes longer than a check, and on
/// Linux every GPU has a device file.
fn may_have_gpu() -> bool {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return true;
    }
    let devices = [
        "/dev/dri/renderD128",
        "/dev/nvidiactl",
        "/dev/dxg",
        "/dev/kgsl-3d0",
        "/dev/mali0",
    ];
    devices
        .iter()
        .any(|path| std::path::Path::new(path).exists())
}

/// Whether the GPU sums four products of int8 in one instruction, as far as its driver says. Only
/// Vulkan's drivers do: Metal has no such instruction, and with DirectX 12 it depends on the
/// compiler of shaders that is found.
#[cfg(any(
    windows,
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd"
))]
pub(super) fn multiplies_int8(adapter: &Adapter) -> bool {
    use ash::vk;
    // SAFETY: nothing of the adapter is destroyed or changed, and the guard is dropped at the end
    // of this function.
    let Some(adapter) = (unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }) else {
        return false;
    };
    // Before Vulkan 1.3, drivers need not know what is asked for below.
    let instance = adapter.shared_instance();
    let version = adapter
        .physical_device_capabilities()
        .properties()
        .api_version;
    if instance.instance_api_version() < vk::API_VERSION_1_3 || version < vk::API_VERSION_1_3 {
        return false;
    }
    let mut dots = vk::PhysicalDeviceShaderIntegerDotProductProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut dots);
    // SAFETY: the physical device belongs to this instance, both live as long as the guard, and a
    // device of Vulkan 1.3 knows all structures of the chain.
    unsafe {
        instance
            .raw_instance()
            .get_physical_device_properties2(adapter.raw_physical_device(), &mut properties);
    }
    dots.integer_dot_product4x8_bit_packed_signed_accelerated == vk::TRUE
}

/// Elsewhere nothing says so.
#[cfg(not(any(
    windows,
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd"
)))]
pub(super) fn multiplies_int8(_adapter: &Adapter) -> bool {
    false
}

/// What every shader needs and WebGPU promises; adapters below WebGPU may lack it.
pub(super) fn unfit(adapter: &Adapter) -> Option<String> {
    let (has, needed) = (adapter.limits(), Limits::defaults());
    let sizes = [
        (
            "storage buffers a shader",
            u64::from(has.max_storage_buffers_per_shader_stage),
            5,
        ),
        (
            "invocations a workgroup",
            u64::from(has.max_compute_invocations_per_workgroup),
            u64::from(needed.max_compute_invocations_per_workgroup),
        ),
        (
            "bytes of workgroup memory",
            u64::from(has.max_compute_workgroup_storage_size),
            u64::from(needed.max_compute_workgroup_storage_size),
        ),
    ];
    let lacking = sizes.iter().find(|(_, has, needed)| has < needed)?;
    Some(format!(
        "it has {} {}, and {} are needed",
        lacking.1, lacking.0, lacking.2
    ))
}

/// `name (kind, backend, driver)`
pub(super) fn describe(info: &AdapterInfo) -> String {
    format!(
        "{} ({}, {}, {} {})",
        info.name,
        kind_name(info.device_type),
        info.backend,
        info.driver,
        info.driver_info
    )
}

/// The kind of device in a word or two.
pub(super) fn kind_name(kind: DeviceType) -> &'static str {
    match kind {
        DeviceType::DiscreteGpu => "discrete GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu => "CPU",
        DeviceType::Other => "unknown kind",
    }
}
