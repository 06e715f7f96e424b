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
