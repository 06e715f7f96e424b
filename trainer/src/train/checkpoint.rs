//! The state of a stage on disk, from which it goes on exactly.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::SafeTensors;
use tch::Tensor;

use crate::error::TrainError;
use crate::model::layout::Weights;
use crate::model::weights::{named_tensors, read_buffer, write_tensors};
use crate::train::optimizer::AdamW;

/// Everything a stage needs to go on as if it had never stopped.
pub(crate) struct TrainingState {
    /// Stage name, so that a state is never resumed by another stage.
    pub stage: String,
    /// The optimizer, with its step count.
    pub optimizer: AdamW,
    /// The averaged weights, when the recipe asks for them; laid out as the weights are.
    pub average: Option<Tensor>,
}

/// Saves parameters, moments and averages in one safetensors file.
pub(crate) fn save_state(
    path: &Path,
    weights: &Weights,
    state: &TrainingState,
) -> Result<(), TrainError> {
    let Weights { layout, flat } = weights;
    let [first, second] = &state.optimizer.moments;
    let mut tensors = named_tensors("value.", layout, flat);
    tensors.extend(named_tensors("first.", layout, first));
    tensors.extend(named_tensors("second.", layout, second));
    if let Some(average) = &state.average {
        tensors.extend(named_tensors("average.", layout, average));
    }
    let metadata = HashMap::from([
        ("stage".to_owned(), state.stage.clone()),
        ("step".to_owned(), state.optimizer.step.to_string()),
    ]);
    write_tensors(path, &tensors, Some(metadata))
}

/// Loads what [`save_state`] wrote into `weights`, which must have the same layout.
pub(crate) fn load_state(path: &Path, weights: &mut Weights) -> Result<TrainingState, TrainError> {
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
    let mut optimizer = AdamW::new(weights);
    optimizer.step = step;
    let Weights { layout, flat } = weights;
    read_buffer(&file, path, "value.", layout, flat)?;
    let [first, second] = &mut optimizer.moments;
    read_buffer(&file, path, "first.", layout, first)?;
    read_buffer(&file, path, "second.", layout, second)?;
    let has_average = file.names().iter().any(|name| name.starts_with("average."));
    let average = match has_average {
        true => {
            let mut average = flat.zeros_like();
            read_buffer(&file, path, "average.", layout, &mut average)?;
            Some(average)
        }
        false => None,
    };
    Ok(TrainingState {
        stage: entry("stage")?,
        optimizer,
        average,
    })
}
