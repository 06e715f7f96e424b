//! The weights of a network in a safetensors file.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use tch::Tensor;

use crate::error::TrainError;
use crate::files::write_atomically;
use crate::model::layout::{Layout, Weights};
use crate::model::tensors::host;

/// A tensor's name, dimensions and values.
pub(crate) type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// Saves the weights alone.
pub(crate) fn save_weights(path: &Path, weights: &Weights) -> Result<(), TrainError> {
    let Weights { layout, flat } = weights;
    write_tensors(path, &named_tensors("", layout, flat), None)
}

/// Loads what [`save_weights`] wrote into `weights`, which must have the same layout.
pub(crate) fn load_weights(path: &Path, weights: &mut Weights) -> Result<(), TrainError> {
    let bytes = fs::read(path).map_err(|e| TrainError::io("read", path, e))?;
    let corrupt = |e: safetensors::SafeTensorError| {
        TrainError::invalid(path, format!("not a file of weights ({e})"))
    };
    let file = SafeTensors::deserialize(&bytes).map_err(corrupt)?;
    let Weights { layout, flat } = weights;
    read_buffer(&file, path, "", layout, flat)
}

/// The tensors that lie in `flat`, with `prefix` before their names.
pub(crate) fn named_tensors(prefix: &str, layout: &Layout, flat: &Tensor) -> Vec<NamedTensor> {
    let values = host(flat);
    let tensors = layout.entries.iter().map(|entry| {
        let from = entry.offset as usize;
        let values = values[from..from + entry.elements() as usize].to_vec();
        (format!("{prefix}{}", entry.name), entry.shape(), values)
    });
    tensors.collect()
}

/// Reads every tensor of `layout`, whose names in the file begin with `prefix`, into `flat`.
///
/// # Errors
/// A tensor that is missing, of another shape, or not of 32-bit floats.
pub(crate) fn read_buffer(
    file: &SafeTensors<'_>,
    path: &Path,
    prefix: &str,
    layout: &Layout,
    flat: &mut Tensor,
) -> Result<(), TrainError> {
    let mut values = vec![0.0; layout.elements as usize];
    for entry in &layout.entries {
        let name = format!("{prefix}{}", entry.name);
        let found = read_tensor(file, path, &name, &entry.shape())?;
        values[entry.offset as usize..][..found.len()].copy_from_slice(&found);
    }
    flat.copy_(&Tensor::from_slice(&values));
    Ok(())
}

/// The values of one float32 tensor of a given shape.
fn read_tensor(
    file: &SafeTensors<'_>,
    path: &Path,
    name: &str,
    dims: &[usize],
) -> Result<Vec<f32>, TrainError> {
    let view = file
        .tensor(name)
        .map_err(|e| TrainError::invalid(path, format!("tensor {name}: {e}")))?;
    if view.shape() != dims || view.dtype() != Dtype::F32 {
        return Err(TrainError::invalid(
            path,
            format!(
                "tensor {name} is {:?} {:?}, expected F32 {dims:?}; was the recipe's [model] \
                 changed?",
                view.dtype(),
                view.shape()
            ),
        ));
    }
    let values = view.data().chunks_exact(4);
    Ok(values
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect())
}

/// Writes named tensors and `metadata`.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_tensors(
    path: &Path,
    tensors: &[NamedTensor],
    metadata: Option<HashMap<String, String>>,
) -> Result<(), TrainError> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, v)| v.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, dims, _), bytes)| {
            TensorView::new(Dtype::F32, dims.clone(), bytes).map(|view| (name.clone(), view))
        })
        .collect();
    let file = views
        .and_then(|views| serialize(views, metadata))
        .map_err(|e| TrainError::invalid(path, e.to_string()))?;
    write_atomically(path, &file)
}
