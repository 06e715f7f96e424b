//! Failures of libtorch, which its bindings turn into panics, as errors.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

use duoguard_trainer::TrainError;

/// Does `act`, and gives what stopped it in words. Any panic but one of libtorch's goes on.
pub(crate) fn caught<T>(act: impl FnOnce() -> Result<T, TrainError>) -> Result<T, String> {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if message(panic.payload()).is_none() {
            usual(panic);
        }
    }));
    // What a panic leaves half done is not looked at again: the process ends.
    match panic::catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(payload) => match message(&*payload) {
            Some(message) => Err(format!(
                "libtorch failed: {message}; the run can go on with --resume where that was for \
                 want of memory and there is some"
            )),
            None => panic::resume_unwind(payload),
        },
    }
}

/// What libtorch said, its list of calls left out; `None` where a panic is not of its bindings.
fn message(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<String>()?;
    // An error of tch, as `Result::unwrap` writes it.
    let (_, quoted) = text.split_once("value: Torch(\"")?;
    let end = quoted.find("\\n").or_else(|| quoted.rfind("\")"))?;
    Some(quoted[..end].replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_libtorch_is_an_error() {
        let shapes = || {
            let [left, right] = [[2, 3], [2, 3]]
                .map(|shape| tch::Tensor::zeros(shape, (tch::Kind::Float, tch::Device::Cpu)));
            Ok(left.matmul(&right))
        };
        let error = caught(shapes).unwrap_err();
        assert!(
            error.starts_with("libtorch failed: mat1 and mat2"),
            "{error}"
        );
        assert!(!error.contains("frame #"), "{error}");
    }

    #[test]
    fn other_panics_go_on() {
        let panicked = panic::catch_unwind(|| caught::<()>(|| panic!("a defect of {}", "ours")));
        assert!(panicked.is_err());
    }
}
