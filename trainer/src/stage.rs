//! The loop that both stages share: batches in, optimizer steps out, resumable anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Tensor};

use crate::checkpoint::{State, host, load_state, load_weights, save_state, save_weights};
use crate::decoder::Decoder;
use crate::error::TrainError;
use crate::optimizer::{AdamW, StepSettings, accumulate, learning_rate};
use crate::progress::{Progress, StepMetrics};

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

    /// What the batches since the last call measured besides the loss.
    fn measures(&mut self) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }
}

/// Runs `stage` to its end, from `<run>/<name>.state` where that exists, and leaves the trained (averaged, if asked for) weights in
/// `decoder` and in `<run>/<name>.weights`, which takes the state's place. A stage that has left its weights is not run again.
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
        State {
            stage: settings.name.to_owned(),
            optimizer: AdamW::new(&decoder.parameters, device),
            average,
        }
    };
    let mut progress = Progress::resume(run, settings.name, state.optimizer.step, settings.steps)?;
    while state.optimizer.step < settings.steps {
        let step = state.optimizer.step;
        let started = Instant::now();
        let (loss, tokens, gradient_norm) = step_once(stage, settings, decoder, &mut state)?;
        let last = state.optimizer.step == settings.steps;
        let saving = last
            || state
                .optimizer
                .step
                .is_multiple_of(settings.checkpoint_every);
        let step_ms = started.elapsed().as_secs_f64() * 1e3;
        let validation_auroc = if saving {
            stage.validate(&averaged(decoder, &state))
        } else {
            None
        };
        progress.step(&StepMetrics {
            stage: settings.name.to_owned(),
            step: state.optimizer.step,
            loss,
            learning_rate: learning_rate(
                settings.learning_rate,
                step,
                settings.steps,
                settings.warmup,
            ),
            gradient_norm,
            tokens,
            step_ms,
            tokens_per_s: tokens as f64 / (step_ms / 1e3),
            validation_auroc,
            measures: stage.measures(),
        })?;
        if saving {
            save_state(&path, decoder, &state)?;
        }
    }
    progress.finish();
    *decoder = averaged(decoder, &state);
    save_weights(&finished, decoder)?;
    remove(&path)
}

fn remove(path: &Path) -> Result<(), TrainError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(TrainError::io("remove", path, e)),
        _ => Ok(()),
    }
}

fn step_once(
    stage: &mut dyn Stage,
    settings: &StageSettings,
    decoder: &mut Decoder,
    state: &mut State,
) -> Result<(f64, usize, f64), TrainError> {
    let step = state.optimizer.step;
    let mut gradients = Vec::new();
    let (mut loss_sum, mut tokens) = (0.0, 0);
    for micro in 0..settings.accumulation {
        let (loss, batch_tokens) = stage.loss(decoder, step * settings.accumulation + micro);
        let mut batch_gradients = loss.backward();
        accumulate(&decoder.parameters, &mut batch_gradients, &mut gradients);
        loss_sum += host(&loss.reshape([1, 1]))[0] as f64;
        tokens += batch_tokens;
    }
    let loss = loss_sum / settings.accumulation as f64;
    if !loss.is_finite() {
        return Err(TrainError::Diverged {
            stage: settings.name,
            step,
            loss,
        });
    }
    let rate = learning_rate(
        settings.learning_rate,
        step,
        settings.steps,
        settings.warmup,
    );
    let norm = state.optimizer.apply(
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
    let taken = state.optimizer.step as f64;
    let decay = settings.average_decay.min((1.0 + taken) / (10.0 + taken)) as f32;
    for (average, parameter) in state.average.iter_mut().zip(&decoder.parameters) {
        *average = average.clone().mul_scalar(decay)
            + parameter.value.clone().inner().mul_scalar(1.0 - decay);
    }
    Ok((loss, tokens, norm))
}

/// The weights to judge and to ship: the moving average where there is one. They still
/// record gradients, since the next stage goes on from them.
fn averaged(decoder: &Decoder, state: &State) -> Decoder {
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
    result
}
