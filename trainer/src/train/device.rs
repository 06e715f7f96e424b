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
        "cuda" => first_gpu().ok_or_else(|| {
            unknown(
                "no GPU of NVIDIA answers; nvidia-smi shows whether there is one and its \
                driver is loaded",
            )
        }),
        #[cfg(not(feature = "cuda"))]
        "cuda" => Err(unknown(
            "this program was built without CUDA; build it with `--features cuda`",
        )),
        _ => Err(unknown("expected cpu or cuda")),
    }
}

/// The first GPU, if it computes. The framework panics where there is no driver or no GPU, and says
/// so in its own words only.
#[cfg(feature = "cuda")]
fn first_gpu() -> Option<Device> {
    use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

    use burn::tensor::Tensor;

    let device = Device::cuda(0);
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let answer = catch_unwind(AssertUnwindSafe(|| {
        Tensor::<1>::zeros([1], &device).into_data()
    }));
    set_hook(hook);
    answer.is_ok().then_some(device)
}
