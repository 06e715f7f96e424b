//! The state of a stage on disk, from which it goes on exactly.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use safetensors::tensor::SafeTensors;

use crate::error::TrainError;
use crate::model::decoder::Decoder;
use crate::model::tensors::host;
use crate::model::weights::{read_tensor, write_safetensors};
use crate::train::optimizer::AdamW;

/// Everything a stage needs to go on as if it had never stopped.
pub(crate) struct TrainingState {
    /// Stage name, so that a state is never resumed by another stage.
    pub stage: String,
    /// The optimizer, with its step count.
    pub optimizer: AdamW,
    /// The averaged weights, when the recipe asks for them.
    pub average: Vec<Tensor<2>>,
}

/// Saves parameters, moments and averages in one safetensors file.
pub(crate) fn save_state(
    path: &Path,
    decoder: &Decoder,
    state: &TrainingState,
) -> Result<(), TrainError> {
    let mut tensors: Vec<(String, [usize; 2], Vec<f32>)> = Vec::new();
    for (index, parameter) in decoder.parameters.iter().enumerate() {
        let dims = parameter.value.dims();
        let [first, second] = &state.optimizer.moments[index];
        tensors.push((
            format!("value.{}", parameter.name),
            dims,
            host(&parameter.value.clone().inner()),
        ));
        tensors.push((format!("first.{}", parameter.name), dims, host(first)));
        tensors.push((format!("second.{}", parameter.name), dims, host(second)));
        if let Some(average) = state.average.get(index) {
            tensors.push((format!("average.{}", parameter.name), dims, host(average)));
        }
    }
    let metadata = HashMap::from([
        ("stage".to_owned(), state.stage.clone()),
        ("step".to_owned(), state.optimizer.step.to_string()),
    ]);
    write_safetensors(path, &tensors, Some(metadata))
}

/// Loads what [`save_state`] wrote into `decoder`, which must have the same layout.
pub(crate) fn load_state(
    path: &Path,
    decoder: &mut Decoder,
    device: &Device,
) -> Result<TrainingState, TrainError> {
    let bytes = fs::read(path).map_err(|e| TrainError::io("read", path, e))?;
    let corrupt = |e: safetensors::SafeTensorError| {
        TrainError::invalid(
            path,
            format!("not a training state ({e}); delete it to start the stage again"),
        )
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(corrupt)?;
    let file = SafeTensors::deserialize(&bytes).map_err(corrupt)?;
    let entry = |key: &str| {
        header
            .metadata()
            .as_ref()
            .and_then(|m| m.get(key).cloned())
            .ok_or_else(|| TrainError::invalid(path, format!("metadata lacks {key:?}")))
    };
    let step = entry("step")?;
    let step = step
        .parse()
        .map_err(|_| TrainError::invalid(path, format!("step is {step:?}, not a number")))?;
    let plain = device.clone().without_autodiff();
    let read = |name: String, dims: [usize; 2], device: &Device| {
        read_tensor(&file, path, &name, dims, device)
    };
    let mut moments = Vec::new();
    let mut average = Vec::new();
    for parameter in &mut decoder.parameters {
        let dims = parameter.value.dims();
        let name = parameter.name.clone();
        parameter.value = read(format!("value.{name}"), dims, device)?.require_grad();
        moments.push([
            read(format!("first.{name}"), dims, &plain)?,
            read(format!("second.{name}"), dims, &plain)?,
        ]);
        if file.tensor(&format!("average.{name}")).is_ok() {
            average.push(read(format!("average.{name}"), dims, &plain)?);
        }
    }
    Ok(TrainingState {
        stage: entry("stage")?,
        optimizer: AdamW {
            step,
            moments,
            device: plain.clone(),
        },
        average,
    })
}
