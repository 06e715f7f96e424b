//! What a person sees while a stage runs, and what is kept of it: one JSON line a step.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::files::write_atomically;

/// One line of `metrics.jsonl`. Units are in the names.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct StepMetrics {
    /// `pretrain`, `generator`, `classifier` or `preference`.
    pub stage: String,
    /// Optimizer steps taken, from 1.
    pub step: usize,
    /// Mean loss of the step's batches.
    pub loss: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Global gradient norm before clipping.
    pub gradient_norm: f64,
    /// Tokens that are not padding, in the step.
    pub tokens: usize,
    /// Wall time of the step.
    pub step_ms: f64,
    /// Real (unpadded) tokens a second.
    pub tokens_per_s: f64,
    /// Language -> AUROC on the validation rows, at checkpoints of the classifier stage; with
    /// `unseen-` before it for rows whose whole source is held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_auroc: Option<BTreeMap<String, f64>>,
    /// What else the stage measures at every step, such as the margin of preference pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<String, f64>,
}

/// The metrics file and the progress bar of a stage.
pub(crate) struct Progress {
    file: File,
    path: PathBuf,
    bar: ProgressBar,
}

impl Progress {
    /// Opens `metrics.jsonl` in `run`, dropping lines of `stage` after `step`: a resumed
    /// stage writes them again, so the file ends the same as an uninterrupted one.
    pub(crate) fn resume(
        run: &Path,
        stage: &str,
        step: usize,
        steps: usize,
    ) -> Result<Self, TrainError> {
        let path = run.join("metrics.jsonl");
        let mut kept = Vec::new();
        if path.exists() {
            let file = File::open(&path).map_err(|e| TrainError::io("read", &path, e))?;
            for line in BufReader::new(file).lines() {
                let line = line.map_err(|e| TrainError::io("read", &path, e))?;
                // The last line of a killed run may be cut short; its step is written again.
                let Ok(metrics) = serde_json::from_str::<StepMetrics>(&line) else {
                    continue;
                };
                if metrics.stage != stage || metrics.step <= step {
                    kept.extend_from_slice(line.as_bytes());
                    kept.push(b'\n');
                }
            }
        }
        write_atomically(&path, &kept)?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|e| TrainError::io("append to", &path, e))?;
        let bar = bar(stage, steps, step);
        Ok(Self { file, path, bar })
    }

    /// Records one step.
    pub(crate) fn step(&mut self, metrics: &StepMetrics) -> Result<(), TrainError> {
        let mut line = serde_json::to_vec(metrics)
            .map_err(|e| TrainError::invalid(&self.path, e.to_string()))?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(|e| TrainError::io("append to", &self.path, e))?;
        self.bar.set_position(metrics.step as u64);
        self.bar.set_message(format!(
            "loss {:.4}  {:.0} tokens/s",
            metrics.loss, metrics.tokens_per_s
        ));
        Ok(())
    }

    /// Ends the bar.
    pub(crate) fn finish(self) {
        self.bar.finish();
    }
}

/// A progress bar with an estimate of the time left.
pub(crate) fn bar(name: &str, length: usize, position: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64).with_position(position as u64);
    bar.set_style(
        ProgressStyle::with_template("{prefix:>10} {bar:30} {pos}/{len}  {msg}  eta {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_prefix(name.to_owned());
    bar.reset_eta();
    bar
}
