//! The loop that all stages share: batches in, optimizer steps out, resumable anywhere.
//!
//! A step queues work and reads nothing back. The losses and norms of several steps are read at
//! once, and always before a state is saved.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, FloatDType, Tensor};

use crate::error::TrainError;
use crate::model::decoder::Decoder;
use crate::model::decoder::RecordedPasses;
use crate::model::recompute::backward;
use crate::model::weights::{load_weights, save_weights};
use crate::recipe::{ComputeRecipe, OptimizerRecipe, Precision};
use crate::train::checkpoint::{TrainingState, load_state, save_state};
use crate::train::optimizer::{AdamW, StepSettings, learning_rate};
use crate::train::progress::{Progress, StepMetrics};

/// Steps read at once on a GPU, unless the recipe says otherwise.
const READ_EVERY_ON_GPU: usize = 20;

/// How a stage is run; comes from the recipe.
#[derive(Clone, Debug)]
pub(crate) struct StageSettings {
    /// `pretrain`, `generator`, `classifier` or `preference`.
    pub name: &'static str,
    /// Optimizer steps.
    pub steps: usize,
    /// Batches whose gradients are summed into one step.
    pub accumulation: usize,
    /// Learning rate, decay, clipping and how often a state is saved.
    pub optimizer: OptimizerRecipe,
    /// Decay of the exponential moving average of the weights; 0 turns it off.
    pub average_decay: f64,
    /// Precision, recomputing, and how often the device is read.
    pub compute: ComputeRecipe,
}

impl StageSettings {
    /// Settings of a stage whose steps are one batch each and whose weights are not averaged.
    pub(crate) fn new(
        name: &'static str,
        steps: usize,
        optimizer: &OptimizerRecipe,
        compute: ComputeRecipe,
    ) -> Self {
        Self {
            name,
            steps,
            accumulation: 1,
            optimizer: optimizer.clone(),
            average_decay: 0.0,
            compute,
        }
    }
}

/// What makes one stage different from another.
pub(crate) trait Stage {
    /// The loss of batch `index`, and its real tokens. A pure function of the weights and
    /// the index, which is what makes a resumed run equal to an uninterrupted one.
    fn loss(&mut self, decoder: &Decoder, index: usize) -> (Tensor<1>, usize);

    /// Language -> AUROC on rows held out, for stages that have such a thing.
    fn validate(&self, _decoder: &Decoder) -> Option<BTreeMap<String, f64>> {
        None
    }

    /// What the batches since the last call measured besides the loss: names and values `[1]`,
    /// which stay on the device.
    fn measures(&mut self) -> Vec<(&'static str, Tensor<1>)> {
        Vec::new()
    }
}

/// Runs `stage` to its end, from `<run>/<name>.state` where that exists, and leaves the trained
/// (averaged, where the settings say so) weights in `decoder` and in `<run>/<name>.weights`, which
/// takes the state's place. A stage that has left its weights is not run again.
///
/// # Errors
/// A loss that is no number, a file that cannot be written, or one there that does not fit.
pub(crate) fn run_stage(
    stage: &mut dyn Stage,
    settings: &StageSettings,
    decoder: &mut Decoder,
    run: &Path,
    device: &Device,
) -> Result<(), TrainError> {
    let path = run.join(format!("{}.state", settings.name));
    let finished = run.join(format!("{}.weights", settings.name));
    if finished.exists() {
        load_weights(&finished, decoder, device)?;
        return remove(&path);
    }
    let mut state = if path.exists() {
        let state = load_state(&path, decoder, device)?;
        if state.stage != settings.name {
            return Err(TrainError::invalid(
                &path,
                format!(
                    "belongs to stage {:?}, expected {:?}",
                    state.stage, settings.name
                ),
            ));
        }
        state
    } else {
        let average = if settings.average_decay > 0.0 {
            decoder
                .parameters
                .iter()
                .map(|p| p.value.clone().inner())
                .collect()
        } else {
            Vec::new()
        };
        TrainingState {
            stage: settings.name.to_owned(),
            optimizer: AdamW::new(&decoder.parameters, device),
            average,
        }
    };
    let mut progress = Progress::resume(run, settings.name, state.optimizer.step, settings.steps)?;
    let read_every = read_every(settings, device);
    let mut unread: Vec<StepResult> = Vec::new();
    let mut started = Instant::now();
    while state.optimizer.step < settings.steps {
        unread.push(step_once(stage, settings, decoder, &mut state));
        let step = state.optimizer.step;
        let saving =
            step == settings.steps || step.is_multiple_of(settings.optimizer.checkpoint_every);
        if !saving && !step.is_multiple_of(read_every) {
            continue;
        }
        // Before a state is saved its losses are read: what is no number is never on disk.
        let mut lines = read(&mut unread, settings, started)?;
        if saving && let Some(last) = lines.last_mut() {
            last.validation_auroc = stage.validate(&averaged(decoder, &state));
        }
        for line in &lines {
            progress.step(line)?;
        }
        if saving {
            save_state(&path, decoder, &state)?;
        }
        started = Instant::now();
    }
    progress.finish();
    *decoder = averaged(decoder, &state);
    save_weights(&finished, decoder)?;
    remove(&path)
}

/// How many steps are read at once.
fn read_every(settings: &StageSettings, device: &Device) -> usize {
    let is_cpu = *device == Device::flex();
    let default = if is_cpu { 1 } else { READ_EVERY_ON_GPU };
    settings.compute.read_every.unwrap_or(default)
}

/// What an optimizer step gave. Tensors are still on the device.
struct StepResult {
    step: usize,
    learning_rate: f64,
    tokens: usize,
    /// `[1]`
    loss: Tensor<1>,
    /// `[1]`
    gradient_norm: Tensor<1>,
    measures: Vec<(&'static str, Tensor<1>)>,
}

/// Reads all steps in one transfer, and leaves `unread` empty. `started` is when the first of them
/// was.
fn read(
    unread: &mut Vec<StepResult>,
    settings: &StageSettings,
    started: Instant,
) -> Result<Vec<StepMetrics>, TrainError> {
    let numbers: Vec<Tensor<1>> = unread
        .iter()
        .flat_map(|result| {
            [&result.loss, &result.gradient_norm]
                .into_iter()
                .chain(result.measures.iter().map(|(_, value)| value))
                .cloned()
        })
        .collect();
    let numbers: Vec<f64> = Tensor::cat(numbers, 0).into_data().iter::<f64>().collect();
    let step_ms = started.elapsed().as_secs_f64() * 1e3 / unread.len() as f64;
    let mut numbers = numbers.as_slice();
    let mut lines = Vec::new();
    for result in unread.drain(..) {
        let (own, others) = numbers.split_at(2 + result.measures.len());
        numbers = others;
        let (loss, gradient_norm) = (own[0], own[1]);
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Err(TrainError::Diverged {
                stage: settings.name,
                step: result.step,
                loss,
                gradient_norm,
            });
        }
        let measures = result.measures.iter();
        lines.push(StepMetrics {
            stage: settings.name.to_owned(),
            step: result.step + 1,
            loss,
            learning_rate: result.learning_rate,
            gradient_norm,
            tokens: result.tokens,
            step_ms,
            tokens_per_s: result.tokens as f64 / (step_ms / 1e3),
            validation_auroc: None,
            measures: measures
                .zip(&own[2..])
                .map(|((name, _), &value)| ((*name).to_owned(), value))
                .collect(),
        });
    }
    Ok(lines)
}

fn remove(path: &Path) -> Result<(), TrainError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(TrainError::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// One optimizer step, without waiting for the device. `decoder` holds the weights that the
/// optimizer updates, in 32 bits.
fn step_once(
    stage: &mut dyn Stage,
    settings: &StageSettings,
    decoder: &mut Decoder,
    state: &mut TrainingState,
) -> StepResult {
    let step = state.optimizer.step;
    let working = working_copy(decoder, settings.compute);
    let mut gradients = Vec::new();
    let mut losses = Vec::new();
    let mut tokens = 0;
    for micro in 0..settings.accumulation {
        let (loss, batch_tokens) = stage.loss(&working, step * settings.accumulation + micro);
        backward(&working, &loss, &mut gradients);
        losses.push(loss.inner());
        tokens += batch_tokens;
    }
    drop(working);
    let rate = learning_rate(
        settings.optimizer.learning_rate,
        step,
        settings.steps,
        settings.optimizer.warmup,
    );
    let gradient_norm = state.optimizer.apply(
        &mut decoder.parameters,
        &gradients,
        settings.accumulation,
        &StepSettings {
            learning_rate: rate,
            weight_decay: settings.optimizer.weight_decay,
            max_gradient_norm: settings.optimizer.max_gradient_norm,
        },
    );
    // Early in a run the average must forget the random start: the decay warms up.
    let steps = state.optimizer.step as f64;
    let decay = settings.average_decay.min((1.0 + steps) / (10.0 + steps)) as f32;
    for (average, parameter) in state.average.iter_mut().zip(&decoder.parameters) {
        *average = average.clone().mul_scalar(decay)
            + parameter.value.clone().inner().mul_scalar(1.0 - decay);
    }
    StepResult {
        step,
        learning_rate: rate,
        tokens,
        loss: Tensor::cat(losses, 0).mean(),
        gradient_norm,
        measures: stage.measures(),
    }
}

/// The network that computes: the optimizer's weights themselves, or a copy in fewer bits.
pub(crate) fn working_copy(decoder: &Decoder, compute: ComputeRecipe) -> Decoder {
    let mut working = match compute.precision {
        Precision::F32 => decoder.clone(),
        Precision::Bf16 => decoder.cast(FloatDType::BF16),
    };
    working.recorded = compute.recompute_layers.then(RecordedPasses::default);
    working
}

/// The weights to judge and to ship: the moving average where there is one. They still
/// record gradients, since the next stage goes on from them.
fn averaged(decoder: &Decoder, state: &TrainingState) -> Decoder {
    let mut result = decoder.clone();
    for (parameter, average) in result.parameters.iter_mut().zip(&state.average) {
        parameter.value = Tensor::from_inner(average.clone()).require_grad();
    }
    result
}

#[cfg(test)]
mod tests;
