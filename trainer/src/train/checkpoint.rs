//! The state of a stage on disk, from which it goes on exactly.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use safetensors::tensor::SafeTensors;
use tch::Tensor;

use crate::error::TrainError;
use crate::model::layout::Weights;
use crate::model::weights::{named_tensors, read_buffer, write_tensors};
use crate::train::early_stop::Best;
use crate::train::optimizer::AdamW;

/// Everything a stage needs to go on as if it had never stopped.
pub(crate) struct TrainingState {
    /// Stage name, so that a state is never resumed by another stage.
    pub stage: String,
    /// The optimizer, with its step count.
    pub optimizer: AdamW,
    /// The averaged weights, when the recipe asks for them; laid out as the weights are.
    pub average: Option<Tensor>,
    /// The best weights so far, in a stage that ends early.
    pub best: Option<Best>,
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
    let mut metadata = HashMap::from([
        ("stage".to_owned(), state.stage.clone()),
        ("step".to_owned(), state.optimizer.step.to_string()),
    ]);
    if let Some(best) = &state.best {
        tensors.extend(named_tensors("best.", layout, &best.weights));
        metadata.insert("best_auroc".to_owned(), best.auroc.to_string());
        metadata.insert("waited".to_owned(), best.waited.to_string());
    }
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
    let step = number(path, "step", &entry("step")?)?;
    let mut optimizer = AdamW::new(weights);
    optimizer.step = step;
    let Weights { layout, flat } = weights;
    read_buffer(&file, path, "value.", layout, flat)?;
    let [first, second] = &mut optimizer.moments;
    read_buffer(&file, path, "first.", layout, first)?;
    read_buffer(&file, path, "second.", layout, second)?;
    let optional = |prefix: &str| -> Result<Option<Tensor>, TrainError> {
        if !file.names().iter().any(|name| name.starts_with(prefix)) {
            return Ok(None);
        }
        let mut buffer = flat.zeros_like();
        read_buffer(&file, path, prefix, layout, &mut buffer)?;
        Ok(Some(buffer))
    };
    let average = optional("average.")?;
    let best = match optional("best.")? {
        Some(weights) => Some(Best {
            auroc: number(path, "best_auroc", &entry("best_auroc")?)?,
            weights,
            waited: number(path, "waited", &entry("waited")?)?,
        }),
        None => None,
    };
    Ok(TrainingState {
        stage: entry("stage")?,
        optimizer,
        average,
        best,
    })
}

/// The number that an entry of the metadata holds.
fn number<T: FromStr>(path: &Path, key: &str, text: &str) -> Result<T, TrainError> {
    let refuse = |_| TrainError::invalid(path, format!("{key} is {text:?}, not a number"));
    text.parse().map_err(refuse)
}
