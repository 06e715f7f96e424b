//! What every graph keeps to, whichever engine runs it.

use super::onnx::{External, Port};
use crate::bundle::files::WEIGHTS;
use crate::error::{Error, Result};

/// The graph's only input: int64, `[batch, tokens]`.
pub(crate) const INPUT: &str = "input_ids";
/// The graph's only output: float32, `[batch, categories and languages]`.
pub(crate) const OUTPUT: &str = "logits";

pub(crate) fn refused(file: &str, what: String) -> Error {
    Error::model(format!(
        "{file}: {what}; get the bundle again or export the model again"
    ))
}

pub(crate) fn check_columns(file: &str, output: &Port, expected: usize) -> Result<()> {
    match output.shape.last() {
        Some(Some(found)) if *found != expected as u64 => Err(refused(
            file,
            format!(
                "{OUTPUT} has {found} columns, but manifest.json lists {expected} categories and languages"
            ),
        )),
        _ => Ok(()),
    }
}

/// Checks that tensors outside the graph lie in `weights.data`, whose size is given.
pub(crate) fn check_external(file: &str, external: Vec<External>, size: u64) -> Result<()> {
    for tensor in external {
        if tensor.location != WEIGHTS {
            return Err(refused(
                file,
                format!(
                    "tensor {:?} is stored in {:?}; expected {WEIGHTS}",
                    tensor.name, tensor.location
                ),
            ));
        }
        // ONNX Runtime reads as much as the shape needs, whatever the length says.
        let length = match (tensor.length, tensor.needed) {
            (Some(length), Some(needed)) if length == needed => length,
            (length, needed) => {
                let size = |size: Option<u64>| {
                    size.map_or("an unknown number of".to_owned(), |size| size.to_string())
                };
                return Err(refused(
                    file,
                    format!(
                        "tensor {:?} is stored in {} bytes, but its shape and type need {} bytes",
                        tensor.name,
                        size(length),
                        size(needed)
                    ),
                ));
            }
        };
        let end = tensor.offset.checked_add(length);
        if end.is_none_or(|end| end > size) {
            return Err(refused(
                file,
                format!(
                    "tensor {:?} is stored at {} with length {length}, beyond the end of \
                     {WEIGHTS} at {size}",
                    tensor.name, tensor.offset
                ),
            ));
        }
    }
    Ok(())
}
