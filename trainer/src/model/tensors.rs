//! Between tensors and numbers on the host.

use tch::{Device, Kind, Tensor};

/// A tensor's values on the host, in the order in which they are read.
pub(crate) fn host(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float);
    let tensor = tensor.contiguous();
    let mut values = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut values, tensor.numel());
    values
}

/// The values of a contiguous tensor of 32-bit floats on the host, where they lie.
pub(crate) fn host_values(tensor: &Tensor) -> &[f32] {
    assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float);
    assert!(tensor.device() == Device::Cpu);
    // SAFETY: as many floats lie there, as was just seen, for as long as the tensor lives; it is
    // borrowed, and libtorch's operations on a CPU are over when they return.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel()) }
}
