//! The loop that all stages share: batches in, optimizer steps out, resumable anywhere.
//!
//! A step queues work and reads nothing back. The losses and norms of several steps are read at
//! once, and always before a state is saved.

use std::collections::BTreeMap;
use std::fs;
use std::hash::Hasher;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use rustc_hash::FxHasher;
use tch::{Device, Kind, Tensor};

use crate::distributed::{ProcessGroup, Share};
use crate::error::TrainError;
use crate::model::decoder::Decoder;
use crate::model::gradients::Gradients;
use crate::model::layout::Weights;
use crate::model::network::Network;
use crate::model::tensors::host;
use crate::model::weights::{load_weights, save_weights};
use crate::recipe::{ComputeRecipe, OptimizerRecipe};
use crate::train::checkpoint::{TrainingState, load_state, save_state};
use crate::train::early_stop::Best;
use crate::train::optimizer::{AdamW, StepSettings, learning_rate, move_average};
use crate::train::progress::{Progress, StepMetrics};

/// Steps read at once on a GPU, unless the recipe says otherwise.
const READ_EVERY_ON_GPU: usize = 20;

/// How a stage is run; comes from the recipe.
#[derive(Clone, Debug)]
pub(crate) struct StageSettings {
    /// `pretrain`, `generator`, `probe`, `classifier`, `languages` or `preference`.
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
    /// Validations without a gain on sources held out after which the stage ends, with the best
    /// weights; 0: it takes all steps, and leaves the last.
    pub patience: usize,
    /// When the stage stops with an error, once a state is saved; absent: never.
    pub deadline: Option<Instant>,
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
            patience: 0,
            deadline: None,
        }
    }
}

/// What makes one stage different from another.
pub(crate) trait Stage<N = Decoder> {
    /// The loss of batch `index`. A pure function of the weights, the index and the share, which
    /// is what makes a resumed run equal to an uninterrupted one.
    fn loss(&mut self, network: &N, index: usize, share: Share) -> BatchLoss;

    /// Language -> AUROC on rows held out, for stages that have such a thing.
    /// The processes of `group` share the work.
    fn validate(&self, _network: &N, _group: &ProcessGroup) -> Option<BTreeMap<String, f64>> {
        None
    }

    /// What the batches since the last call measured besides the loss: names and values `[]`,
    /// which stay on the device. The values of all processes add up to that of the batches.
    fn measures(&mut self) -> Vec<(&'static str, Tensor)> {
        Vec::new()
    }
}

/// What a process computes of a batch.
pub(crate) struct BatchLoss {
    /// What the process's rows add to the mean loss of the batch, `[]`; absent where it has none.
    pub own: Option<Tensor>,
    /// Tokens of the whole batch that are not padding.
    pub tokens: usize,
}

/// Runs `stage` to its end, from `<run>/<name>.state` where that exists, and leaves the trained
/// (averaged, where the settings say so) weights in `network` and in `<run>/<name>.weights`, which
/// takes the state's place. A stage that has left its weights is not run again.
///
/// The processes of `group` share the work; the first one writes, and all read.
///
/// # Errors
/// A loss that is no number, a file that cannot be written, or one there that does not fit;
/// processes that no longer hold the same weights.
pub(crate) fn run_stage<N: Network>(
    stage: &mut dyn Stage<N>,
    settings: &StageSettings,
    network: &mut N,
    (run, group): (&Path, &ProcessGroup),
) -> Result<(), TrainError> {
    let path = run.join(format!("{}.state", settings.name));
    let finished = run.join(format!("{}.weights", settings.name));
    if group.first_says(finished.exists()) {
        load_weights(&finished, network.weights_mut())?;
        // A machine may see the file later than the one that wrote it: nobody goes on before all
        // have read.
        group.wait();
        return match group.is_first() {
            true => remove(&path),
            false => Ok(()),
        };
    }
    let mut state = if group.first_says(path.exists()) {
        let state = load_state(&path, network.weights_mut())?;
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
        TrainingState {
            stage: settings.name.to_owned(),
            optimizer: AdamW::new(network.weights()),
            average: (settings.average_decay > 0.0).then(|| network.weights().flat.copy()),
            best: None,
        }
    };
    let mut gradients = Gradients::new(network.weights());
    let mut progress = match group.is_first() {
        true => {
            let step = state.optimizer.step;
            Some(Progress::resume(run, settings.name, step, settings.steps)?)
        }
        false => None,
    };
    let read_every = read_every(settings, network.weights());
    let mut unread: Vec<StepResult> = Vec::new();
    let mut started = Instant::now();
    let is_over = |state: &TrainingState| {
        let is_at_end = state.optimizer.step >= settings.steps;
        is_at_end || Best::is_over(state.best.as_ref(), settings.patience)
    };
    while !is_over(&state) {
        let trained = (&mut *network, &mut state, &mut gradients);
        unread.push(step_once(stage, settings, trained, group)?);
        let step = state.optimizer.step;
        let saving =
            step == settings.steps || step.is_multiple_of(settings.optimizer.checkpoint_every);
        if !saving && !step.is_multiple_of(read_every) {
            continue;
        }
        // Before a state is saved its losses are read: what is no number is never on disk.
        let mut lines = read(&mut unread, settings, group, started)?;
        if saving && let Some(last) = lines.last_mut() {
            let judged = averaged(network, &state);
            last.validation_auroc = stage.validate(&judged, group);
            if settings.patience > 0 {
                let validation = last.validation_auroc.as_ref();
                Best::note(&mut state.best, validation, &judged.weights().flat)?;
            }
        }
        for line in &lines {
            if let Some(progress) = &mut progress {
                progress.step(line)?;
            }
        }
        if saving {
            check_replicas(settings, network.weights(), &state, group)?;
            if group.is_first() {
                save_state(&path, network.weights(), &state)?;
            }
            if !is_over(&state) {
                check_deadline(settings, &path, step, group)?;
            }
        }
        started = Instant::now();
    }
    *network = match &state.best {
        Some(best) => over(network, &best.weights),
        None => averaged(network, &state),
    };
    if let Some(progress) = progress {
        progress.finish();
        save_weights(&finished, network.weights())?;
        remove(&path)?;
    }
    Ok(())
}

/// Stops a stage whose time is over, and whose state is saved.
fn check_deadline(
    settings: &StageSettings,
    path: &Path,
    step: usize,
    group: &ProcessGroup,
) -> Result<(), TrainError> {
    let Some(deadline) = settings.deadline else {
        return Ok(());
    };
    match group.first_says(Instant::now() >= deadline) {
        true => Err(TrainError::Budget(format!(
            "{}: the time of game.most_minutes is over, after step {step} of {}",
            path.display(),
            settings.steps
        ))),
        false => Ok(()),
    }
}

/// Refuses to go on where the processes do not hold the same weights: each would train a network of
/// its own from there.
fn check_replicas(
    settings: &StageSettings,
    weights: &Weights,
    state: &TrainingState,
    group: &ProcessGroup,
) -> Result<(), TrainError> {
    if group.size() == 1 {
        return Ok(());
    }
    let mut hash = FxHasher::default();
    for value in host(&weights.flat) {
        hash.write_u32(value.to_bits());
    }
    let hashes = group.gather(hash.finish().to_le_bytes().to_vec());
    match hashes.iter().position(|other| *other != hashes[0]) {
        None => Ok(()),
        Some(rank) => Err(TrainError::Distributed(format!(
            "{}, step {}: the weights of rank {rank} are not those of rank 0; every machine needs \
             the same program, data and kind of processor or GPU. The run can be resumed from its \
             last saved state",
            settings.name, state.optimizer.step
        ))),
    }
}

/// How many steps are read at once.
fn read_every(settings: &StageSettings, weights: &Weights) -> usize {
    let default = match weights.flat.device() {
        Device::Cpu => 1,
        _ => READ_EVERY_ON_GPU,
    };
    settings.compute.read_every.unwrap_or(default)
}

/// What an optimizer step gave. Tensors are still on the device.
pub(super) struct StepResult {
    step: usize,
    learning_rate: f64,
    tokens: usize,
    /// `[]`
    pub(super) loss: Tensor,
    /// `[]`
    gradient_norm: Tensor,
    measures: Vec<(&'static str, Tensor)>,
}

/// Reads all steps in one transfer, and leaves `unread` empty. `started` is when the first of them
/// was.
fn read(
    unread: &mut Vec<StepResult>,
    settings: &StageSettings,
    group: &ProcessGroup,
    started: Instant,
) -> Result<Vec<StepMetrics>, TrainError> {
    let numbers: Vec<&Tensor> = unread
        .iter()
        .flat_map(|result| {
            [&result.loss, &result.gradient_norm]
                .into_iter()
                .chain(result.measures.iter().map(|(_, value)| value))
        })
        .collect();
    let mut numbers = host(&Tensor::stack(&numbers, 0));
    group.sum_numbers(&mut numbers);
    let numbers: Vec<f64> = numbers.into_iter().map(f64::from).collect();
    let step_ms = started.elapsed().as_secs_f64() * 1e3 / unread.len() as f64;
    let mut numbers = numbers.as_slice();
    let mut lines = Vec::new();
    for result in unread.drain(..) {
        let (own, others) = numbers.split_at(2 + result.measures.len());
        numbers = others;
        // The norm is that of the summed gradient, in every process: so it was added up as often.
        let (loss, gradient_norm) = (own[0], own[1] / group.size() as f64);
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

/// One optimizer step, without waiting for the device. `network` holds the weights that the
/// optimizer updates, in 32 bits.
pub(super) fn step_once<N: Network>(
    stage: &mut dyn Stage<N>,
    settings: &StageSettings,
    (network, state, gradients): (&mut N, &mut TrainingState, &mut Gradients),
    group: &ProcessGroup,
) -> Result<StepResult, TrainError> {
    let step = state.optimizer.step;
    let working = network.working(settings.compute);
    gradients.clear();
    let mut losses = Vec::new();
    let mut tokens = 0;
    let batches = settings.accumulation;
    for micro in 0..batches {
        let share = Share::of_batch([group.rank(), group.size()], micro, batches);
        let batch = stage.loss(&working, step * batches + micro, share);
        if let Some(loss) = batch.own {
            working.backward(&loss, gradients);
            losses.push(loss.detach());
        }
        tokens += batch.tokens;
    }
    drop(working);
    gradients.sum_over(group, network.weights())?;
    let rate = learning_rate(
        settings.optimizer.learning_rate,
        step,
        settings.steps,
        settings.optimizer.warmup,
    );
    let gradient_norm = state.optimizer.apply(
        network.weights_mut(),
        gradients,
        settings.accumulation,
        &StepSettings {
            learning_rate: rate,
            weight_decay: settings.optimizer.weight_decay,
            max_gradient_norm: settings.optimizer.max_gradient_norm,
        },
    );
    // Early in a run the average must forget the random start: the decay warms up.
    let steps = state.optimizer.step as f64;
    let decay = settings.average_decay.min((1.0 + steps) / (10.0 + steps));
    if let Some(average) = &mut state.average {
        move_average(average, network.weights(), decay);
    }
    let loss = match losses.is_empty() {
        true => gradient_norm.zeros_like(),
        false => Tensor::stack(&losses, 0).sum(Kind::Float) / batches as f64,
    };
    Ok(StepResult {
        step,
        learning_rate: rate,
        tokens,
        loss,
        gradient_norm,
        measures: stage.measures(),
    })
}

/// The weights to judge and to ship: the moving average where there is one. They share their buffer
/// with what they come from.
fn averaged<N: Network>(network: &N, state: &TrainingState) -> N {
    let current = &network.weights().flat;
    over(network, state.average.as_ref().unwrap_or(current))
}

/// The network with other weights, which it shares.
fn over<N: Network>(network: &N, flat: &Tensor) -> N {
    network.over_weights(Weights {
        layout: network.weights().layout.clone(),
        flat: flat.shallow_clone(),
    })
}

#[cfg(test)]
mod tests;
