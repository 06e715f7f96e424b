//! What to compute on, by name.

use tch::{Cuda, Device};

use crate::error::TrainError;
use crate::model::torch::prepare_cuda;

/// The device called `name`: `cpu`, or `cuda` for the first GPU.
///
/// Call it before the program starts threads: for `cuda` it may set a variable of the environment.
///
/// # Errors
/// A name that is none; a libtorch without CUDA; no GPU.
pub fn device(name: &str) -> Result<Device, TrainError> {
    let unknown = |reason: &str| TrainError::Device {
        device: name.to_owned(),
        reason: reason.to_owned(),
    };
    match name {
        "cpu" => Ok(Device::Cpu),
        "cuda" if !tch::utils::has_cuda() => Err(unknown(
            "no GPU of NVIDIA can be used: libtorch here has no CUDA (run: cargo xtask torch \
             --cuda), or nvidia-smi shows no GPU",
        )),
        "cuda" if Cuda::device_count() < 1 => Err(unknown(
            "no GPU of NVIDIA answers; nvidia-smi shows whether there is one and its driver is \
             loaded",
        )),
        "cuda" => {
            prepare_cuda();
            Ok(Device::Cuda(0))
        }
        _ => Err(unknown("expected cpu or cuda")),
    }
}
