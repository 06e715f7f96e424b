//! Measuring a network: its logits against those of its judges, and its speed.

use std::num::NonZeroUsize;
use std::time::Instant;

use duoguard::{EngineChoice, Model, Session, SessionOptions};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::error::ExportError;
use crate::graph::max_position;
use crate::layered;
use crate::parallel;
use crate::reference;

/// The largest difference between the fp32 graph's logits and those of its judges.
pub(crate) const PARITY_TOLERANCE: f64 = 1e-4;
/// Lengths of the random inputs: one token, a pair, and some that are no multiple of anything.
const RANDOM_LENGTHS: [usize; 5] = [1, 2, 7, 33, 90];
/// Tokens of the window whose time is taken, and how often.
const TIMED_TOKENS: usize = 128;
const TIMED_RUNS: usize = 7;

/// How far the quantised model's logits are from the fp32 model's: absolute differences over all
/// texts and categories.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogitError {
    /// Their mean.
    pub mean: f64,
    /// Their median.
    pub p50: f64,
    /// Their 95th percentile.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

impl LogitError {
    pub(crate) fn new(mut differences: Vec<f64>) -> Self {
        differences.sort_by(f64::total_cmp);
        let count = differences.len();
        let quantile = |share: f64| {
            let rank = (share * count as f64).ceil() as usize;
            differences
                .get(rank.clamp(1, count.max(1)) - 1)
                .copied()
                .unwrap_or(0.0)
        };
        Self {
            mean: differences.iter().sum::<f64>() / count.max(1) as f64,
            p50: quantile(0.5),
            p95: quantile(0.95),
            max: quantile(1.0),
        }
    }
}

/// The engine that judges, which every machine has.
pub(crate) const ENGINE: &str = "native";

/// Opens a session on the engine that judges.
pub(crate) fn session(model: &Model) -> Result<Session, ExportError> {
    let options = SessionOptions {
        engine: EngineChoice::Named(ENGINE.to_owned()),
        threads: NonZeroUsize::MIN,
    };
    Ok(model.session(&options)?)
}

/// Calls `run` on every item, on all cores, with a session of each model; results come in the order
/// of the items.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    models: &[&Model],
    items: &[T],
    run: impl Fn(&mut [Session], &T) -> Result<R, ExportError> + Sync,
) -> Result<Vec<R>, ExportError> {
    let sessions = || models.iter().map(|model| session(model)).collect();
    parallel::map(items, sessions, |sessions: &mut Vec<_>, item| {
        run(sessions, item)
    })
}

/// The largest difference between the fp32 graph and its judges; an error beyond the tolerance
/// unless `force` is set.
pub(crate) fn parity(checkpoint: &Checkpoint, force: bool) -> Result<f64, ExportError> {
    let limit = max_position(checkpoint.config());
    let golden = checkpoint.golden();
    let cases = golden.iter().flat_map(|golden| &golden.cases);
    let cases: Vec<_> = cases.filter(|case| case.input_ids.len() <= limit).collect();
    let random = random_inputs(checkpoint);
    let golden_inputs = cases.iter().map(|case| case.input_ids.clone());
    let inputs: Vec<_> = golden_inputs.chain(random.iter().cloned()).collect();
    let found = layered::logits(checkpoint, &inputs)?;

    let mut worst = 0.0_f64;
    let mut check = |expected: &'static str, tolerance: f64, index: usize, logits: &[f32]| {
        let error = differences(&found[index], logits).fold(0.0, f64::max);
        worst = worst.max(error);
        if error <= tolerance || force {
            return Ok(());
        }
        Err(ExportError::Parity {
            computed: "the exported fp32 tensors on the engine native",
            expected,
            error,
            tolerance,
            tokens: inputs[index].len(),
        })
    };
    let tolerance = golden.map_or(PARITY_TOLERANCE, |golden| {
        golden.tolerance.min(PARITY_TOLERANCE)
    });
    for (index, case) in cases.iter().enumerate() {
        check(
            "the checkpoint's golden.json",
            tolerance,
            index,
            &case.logits,
        )?;
    }
    for (index, ids) in random.iter().enumerate() {
        check(
            "the reference forward pass",
            PARITY_TOLERANCE,
            cases.len() + index,
            &reference::forward(checkpoint, ids),
        )?;
    }
    Ok(worst)
}

/// Milliseconds that one window of [`TIMED_TOKENS`] takes on the engine that `auto` picks, the
/// median of a few runs on one thread.
pub(crate) fn latency_ms(model: &Model) -> Result<f64, ExportError> {
    let architecture = &model.manifest().architecture;
    let tokens = TIMED_TOKENS.min(architecture.max_position);
    let ids: Vec<u32> = (0..tokens)
        .map(|i| (i * 37 % architecture.vocabulary) as u32)
        .collect();
    let mut session = model.session(&SessionOptions::default())?;
    let mut times = Vec::new();
    for _ in 0..TIMED_RUNS {
        let started = Instant::now();
        session.logits(&ids)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[TIMED_RUNS / 2])
}

/// Random inputs, within what the graph accepts.
fn random_inputs(checkpoint: &Checkpoint) -> Vec<Vec<u32>> {
    let limit = max_position(checkpoint.config());
    let vocabulary = checkpoint.config().vocabulary as u64;
    let mut state = 0_u64;
    let lengths = RANDOM_LENGTHS.iter().filter(|length| **length <= limit);
    lengths
        .map(|length| {
            (0..*length)
                .map(|_| (splitmix(&mut state) % vocabulary) as u32)
                .collect()
        })
        .collect()
}

/// SplitMix64: the same numbers on every machine and in every version.
pub(crate) fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn differences(a: &[f32], b: &[f32]) -> impl Iterator<Item = f64> {
    a.iter()
        .zip(b)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_known_differences() {
        let error = LogitError::new((1..=100).rev().map(f64::from).collect());
        assert_eq!(
            error,
            LogitError {
                mean: 50.5,
                p50: 50.0,
                p95: 95.0,
                max: 100.0
            }
        );
        let none = LogitError::new(Vec::new());
        assert_eq!(
            none,
            LogitError {
                mean: 0.0,
                p50: 0.0,
                p95: 0.0,
                max: 0.0
            }
        );
    }
}
