//! What to compute on, by name.

use burn::tensor::Device;

use crate::error::TrainError;

/// The device called `name`: `cpu`, or `cuda` where the program was built with that feature.
///
/// # Errors
/// A name that is none, or a device that this program was built without.
pub fn device(name: &str) -> Result<Device, TrainError> {
    let unknown = |reason: &str| TrainError::Device {
        device: name.to_owned(),
        reason: reason.to_owned(),
    };
    match name {
        "cpu" => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0)),
        #[cfg(not(feature = "cuda"))]
        "cuda" => Err(unknown(
            "this program was built without CUDA; build it with `--features cuda`",
        )),
        _ => Err(unknown("expected cpu or cuda")),
    }
}
