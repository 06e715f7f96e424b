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
use crate::model::recompute::Recompute;
use crate::recipe::{ComputeRecipe, Precision};
use crate::train::checkpoint::{TrainingState, load_state, load_weights, save_state, save_weights};
use crate::train::optimizer::{AdamW, StepSettings, accumulate, learning_rate};
use crate::train::progress::{Progress, StepMetrics};

/// Steps read at once on a GPU, unless the recipe says otherwise.
const READ_EVERY_ON_GPU: usize = 20;

/// How a stage is run; comes from the recipe.
#[derive(Clone, Debug)]
pub struct StageSettings {
    /// `pretrain`, `generator`, `classifier` or `preference`.
    pub name: &'static str,
    /// Optimizer steps.
    pub steps: usize,
    /// Batches whose gradients are summed into one step.
    pub accumulation: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Fraction of the steps spent warming up.
    pub warmup: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Global gradient norm is clipped to this.
    pub max_gradient_norm: f64,
    /// Steps between saved states.
    pub checkpoint_every: usize,
    /// Decay of the exponential moving average of the weights; 0 turns it off.
    pub average_decay: f64,
    /// Precision, recomputing, and how often the device is read.
    pub compute: ComputeRecipe,
}

/// What makes one stage different from another.
pub trait Stage {
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
/// (averaged, if asked for) weights in `decoder` and in `<run>/<name>.weights`, which takes the
/// state's place. A stage that has left its weights is not run again.
///
/// # Errors
/// A loss that is no number, a file that cannot be written, or one there that does not fit.
pub fn run_stage(
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
        let saving = step == settings.steps || step.is_multiple_of(settings.checkpoint_every);
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
    let mut numbers = numbers.into_iter();
    let mut next = || numbers.next().unwrap_or(f64::NAN);
    let mut lines = Vec::new();
    for result in unread.drain(..) {
        let (loss, gradient_norm) = (next(), next());
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
                .map(|(name, _)| ((*name).to_owned(), next()))
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
        settings.learning_rate,
        step,
        settings.steps,
        settings.warmup,
    );
    let gradient_norm = state.optimizer.apply(
        &mut decoder.parameters,
        &gradients,
        settings.accumulation,
        &StepSettings {
            learning_rate: rate,
            weight_decay: settings.weight_decay,
            max_gradient_norm: settings.max_gradient_norm,
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
pub fn working_copy(decoder: &Decoder, compute: ComputeRecipe) -> Decoder {
    let mut working = match compute.precision {
        Precision::F32 => decoder.clone(),
        Precision::Bf16 => decoder.cast(FloatDType::BF16),
    };
    working.recompute = compute.recompute_layers.then(Recompute::default);
    working
}

/// Adds the gradients of `loss` to `sum`, as 32-bit floats in the order of the parameters.
pub fn backward(working: &Decoder, loss: &Tensor<1>, sum: &mut Vec<Option<Tensor<2>>>) {
    let mut gradients = loss.backward();
    accumulate(&working.parameters, &mut gradients, sum);
    if let Some(recompute) = &working.recompute {
        recompute.backward(working, &mut gradients, sum);
    }
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

/// The same weights without gradient recording, for scoring.
pub fn without_gradients(decoder: &Decoder) -> Decoder {
    let mut result = decoder.clone();
    for parameter in &mut result.parameters {
        parameter.value = parameter.value.clone().inner();
    }
    result.recompute = None;
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::checkpoint::host;
    use crate::train::probe::{Probe, ProbeLoss, tiny};

    fn settings(steps: usize, compute: ComputeRecipe) -> StageSettings {
        StageSettings {
            name: "classifier",
            steps,
            accumulation: 2,
            learning_rate: 1e-3,
            warmup: 0.1,
            weight_decay: 0.01,
            max_gradient_norm: 1.0,
            checkpoint_every: 5,
            average_decay: 0.9,
            compute,
        }
    }

    fn compute(read_every: usize, precision: Precision) -> ComputeRecipe {
        ComputeRecipe {
            precision,
            recompute_layers: false,
            read_every: Some(read_every),
        }
    }

    /// A probe whose loss is no number from some batch on.
    struct Poisoned(Probe, usize);

    impl Stage for Poisoned {
        fn loss(&mut self, decoder: &Decoder, index: usize) -> (Tensor<1>, usize) {
            let (loss, tokens) = self.0.loss(decoder, index);
            let factor = if index < self.1 { 1.0 } else { f32::NAN };
            (loss.mul_scalar(factor), tokens)
        }
    }

    const PROBE: Probe = Probe {
        kind: ProbeLoss::Classifier,
        rows: 4,
        tokens: 8,
    };

    fn fresh() -> Decoder {
        let (shape, vocabulary) = tiny();
        Decoder::new(&shape, vocabulary, 1, &Device::flex().autodiff())
    }

    fn trained(
        stage: &mut dyn Stage,
        run: &Path,
        compute: ComputeRecipe,
    ) -> Result<Vec<u8>, TrainError> {
        let device = Device::flex().autodiff();
        run_stage(stage, &settings(13, compute), &mut fresh(), run, &device)?;
        Ok(fs::read(run.join("classifier.weights")).unwrap())
    }

    fn lines(run: &Path) -> Vec<StepMetrics> {
        let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let line = |line: &str| StepMetrics {
            step_ms: 0.0,
            tokens_per_s: 0.0,
            ..serde_json::from_str(line).unwrap()
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn reading_seldom_changes_nothing_that_is_read() {
        let folders = [1, 4, 100].map(|_| tempfile::tempdir().unwrap());
        let weights: Vec<Vec<u8>> = [1, 4, 100]
            .iter()
            .zip(&folders)
            .map(|(&every, run)| {
                trained(&mut { PROBE }, run.path(), compute(every, Precision::F32)).unwrap()
            })
            .collect();
        let metrics = folders.each_ref().map(|run| lines(run.path()));
        assert_eq!(metrics[0].len(), 13);
        for other in [1, 2] {
            assert_eq!(metrics[0], metrics[other]);
            assert_eq!(weights[0], weights[other]);
        }
    }

    #[test]
    fn a_loss_that_is_no_number_is_never_saved() {
        for precision in [Precision::F32, Precision::Bf16] {
            let (run, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            // Two batches a step: batch 14 is the first of step 7, counted from 0.
            let error = trained(
                &mut Poisoned(PROBE, 14),
                run.path(),
                compute(100, precision),
            )
            .unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("classifier, step 7: the loss is NaN"),
                "{text}"
            );
            // It was noticed before step 10 was saved; the run goes on from step 5 as if nothing
            // had been.
            assert_eq!(lines(run.path()).len(), 5);
            let resumed = trained(&mut { PROBE }, run.path(), compute(3, precision)).unwrap();
            let uninterrupted =
                trained(&mut { PROBE }, whole.path(), compute(1, precision)).unwrap();
            assert_eq!(resumed, uninterrupted);
            assert_eq!(lines(run.path()), lines(whole.path()));
        }
    }

    /// Pulls every weight of the last norm down by the same.
    struct Slope;

    impl Stage for Slope {
        fn loss(&mut self, decoder: &Decoder, _index: usize) -> (Tensor<1>, usize) {
            let loss = decoder.norm().value.clone().cast(FloatDType::F32).sum();
            (loss, 1)
        }
    }

    #[test]
    fn updates_too_small_for_sixteen_bits_add_up() {
        let run = tempfile::tempdir().unwrap();
        let mut decoder = fresh();
        let settings = StageSettings {
            learning_rate: 1e-3,
            warmup: 0.0,
            weight_decay: 0.0,
            average_decay: 0.0,
            ..settings(40, compute(1, Precision::Bf16))
        };
        let device = Device::flex().autodiff();
        run_stage(&mut Slope, &settings, &mut decoder, run.path(), &device).unwrap();
        let weight = host(&decoder.norm().value)[0];
        // 40 updates of at most 1e-3 along a cosine; each is less than half a place of a 16-bit 1.
        let expected: f64 = (0..40).map(|step| learning_rate(1e-3, step, 40, 0.0)).sum();
        assert!(
            (f64::from(1.0 - weight) - expected).abs() < 1e-4,
            "{weight} {expected}"
        );
        let mut without_masters = Tensor::<1>::ones([1], &Device::flex()).cast(FloatDType::BF16);
        for step in 0..40 {
            without_masters = without_masters.sub_scalar(learning_rate(1e-3, step, 40, 0.0));
        }
        let lost: f32 = without_masters.cast(FloatDType::F32).into_scalar();
        assert_eq!(lost, 1.0);
    }
}
