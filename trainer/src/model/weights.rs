//! The weights of a decoder in a safetensors file.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::error::TrainError;
use crate::files::write_atomically;
use crate::model::decoder::Decoder;
use crate::model::tensors::host;

/// Saves the weights alone.
pub(crate) fn save_weights(path: &Path, decoder: &Decoder) -> Result<(), TrainError> {
    let tensors: Vec<_> = decoder
        .parameters
        .iter()
        .map(|p| {
            (
                p.name.clone(),
                p.value.dims(),
                host(&p.value.clone().inner()),
            )
        })
        .collect();
    write_safetensors(path, &tensors, None)
}

/// Loads what [`save_weights`] wrote into `decoder`, which must have the same layout.
pub(crate) fn load_weights(
    path: &Path,
    decoder: &mut Decoder,
    device: &Device,
) -> Result<(), TrainError> {
    let bytes = fs::read(path).map_err(|e| TrainError::io("read", path, e))?;
    let corrupt = |e: safetensors::SafeTensorError| {
        TrainError::invalid(path, format!("not a file of weights ({e})"))
    };
    let file = SafeTensors::deserialize(&bytes).map_err(corrupt)?;
    for parameter in &mut decoder.parameters {
        let dims = parameter.value.dims();
        parameter.value = read_tensor(&file, path, &parameter.name, dims, device)?.require_grad();
    }
    Ok(())
}

/// One float32 tensor of a given shape.
pub(crate) fn read_tensor(
    file: &SafeTensors<'_>,
    path: &Path,
    name: &str,
    dims: [usize; 2],
    device: &Device,
) -> Result<Tensor<2>, TrainError> {
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
    let values: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    Ok(Tensor::from_data(TensorData::new(values, dims), device))
}

/// Writes named matrices and `metadata`.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_safetensors(
    path: &Path,
    tensors: &[(String, [usize; 2], Vec<f32>)],
    metadata: Option<HashMap<String, String>>,
) -> Result<(), TrainError> {
    let shaped: Vec<(String, Vec<usize>, &[f32])> = tensors
        .iter()
        .map(|(n, d, v)| (n.clone(), d.to_vec(), v.as_slice()))
        .collect();
    write_shaped(path, &shaped, metadata)
}

/// Writes named tensors of any rank and `metadata`.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_shaped(
    path: &Path,
    tensors: &[(String, Vec<usize>, &[f32])],
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
