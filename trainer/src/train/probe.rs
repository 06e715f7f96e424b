//! One step of each kind on made-up tokens: what the checks of a device, and the measurements of
//! its speed, compute.

use std::fs;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::Device;

use crate::data::tokenizer::END;
use crate::distributed::{ProcessGroup, Share};
use crate::error::TrainError;
use crate::model::backward::backward;
use crate::model::decoder::Decoder;
use crate::model::gradients::Gradients;
use crate::model::head::SampledVocabulary;
use crate::model::layout::CATEGORIES;
use crate::model::likelihood::log_likelihood;
use crate::model::tensors::host;
use crate::recipe::{ClassifierLoss, ComputeRecipe, ModelRecipe, OptimizerRecipe};
use crate::train::loss::{Targets, classifier_loss, language_model_loss};
use crate::train::preference::preference_loss;
use crate::train::progress::StepMetrics;
use crate::train::stage::{BatchLoss, Stage, StageSettings, run_stage};

/// Which stage's loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeLoss {
    /// Next-token prediction over the whole vocabulary.
    Pretrain,
    /// The log-sum-exp loss on rows of every reading.
    Classifier,
    /// DPO with the likelihood term of the paper; half of the rows are chosen texts.
    Preference,
}

impl ProbeLoss {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 3] = [
        ("pretrain", Self::Pretrain),
        ("classifier", Self::Classifier),
        ("preference", Self::Preference),
    ];
}

/// A stage over made-up batches of one size. Batch `index` is a function of the index.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Which loss.
    pub kind: ProbeLoss,
    /// Rows of a batch; an even number.
    pub rows: usize,
    /// Tokens of a row; at least 4.
    pub tokens: usize,
}

impl Stage for Probe {
    fn loss(&mut self, decoder: &Decoder, index: usize, _share: Share) -> BatchLoss {
        let (rows, tokens) = (self.rows, self.tokens);
        let count = rows * tokens;
        let ids = made_up_tokens(index, count + 1, decoder.vocabulary);
        let loss = match self.kind {
            ProbeLoss::Pretrain => {
                let all = SampledVocabulary::all(ids[1..].to_vec());
                let hidden = decoder.hidden(&ids[..count], [rows, tokens], None);
                language_model_loss(decoder, &hidden, &all)
            }
            ProbeLoss::Classifier => {
                let logits = decoder.logits(&ids[..count], &vec![tokens as i32; rows], tokens);
                classifier_loss(ClassifierLoss::LogSumExp, &logits, &targets(rows))
            }
            ProbeLoss::Preference => {
                let pairs: Vec<(&[i32], &[i32])> = ids[..count]
                    .chunks(tokens)
                    .map(|row| row.split_at(tokens / 4))
                    .collect();
                let both = log_likelihood(decoder, &pairs, END);
                let half = rows / 2;
                let length = tokens - tokens / 4 + 1;
                let column = |value: f32| decoder.tensor(&vec![value; half]);
                // A reference that finds every token equally likely.
                let reference = column(-(length as f32) * (decoder.vocabulary as f32).ln());
                let half = half as i64;
                preference_loss(
                    [&both.narrow(0, 0, half), &both.narrow(0, half, half)],
                    [&reference, &reference],
                    &column(length as f32),
                    0.01,
                    0.4,
                )
            }
        };
        BatchLoss {
            own: Some(loss),
            tokens: count,
        }
    }
}

/// `count` tokens that are a function of `index`, none of them 0. Half of them are drawn from the
/// first few: some are frequent, as in any text.
pub(super) fn made_up_tokens(index: usize, count: usize, vocabulary: usize) -> Vec<i32> {
    let mut rng = ChaCha8Rng::seed_from_u64(index as u64);
    let token = |position: usize| {
        let among = if position.is_multiple_of(2) {
            vocabulary
        } else {
            vocabulary.min(16)
        };
        rng.random_range(1..among as i32)
    };
    (0..count).map(token).collect()
}

impl Probe {
    /// Takes `2 * steps` optimizer steps on a network of the shape and vocabulary `network`, and
    /// returns the measurements of the last one; times are means over the last `steps`, when
    /// kernels are compiled and memory is what it will be. `run` is an empty folder for what a
    /// stage writes, and `compute.read_every` must be `steps`.
    ///
    /// # Errors
    /// A loss that is no number; a file that cannot be written.
    pub fn time_steps(
        mut self,
        (shape, vocabulary): &Network,
        steps: usize,
        compute: ComputeRecipe,
        run: &Path,
        device: &Device,
    ) -> Result<StepMetrics, TrainError> {
        let mut decoder = Decoder::new(shape, *vocabulary, 1, device);
        let optimizer = OptimizerRecipe {
            learning_rate: 1e-5,
            warmup: 0.1,
            weight_decay: 0.0,
            max_gradient_norm: 1.0,
            // A state is saved once, after the last step, and its time is not counted.
            checkpoint_every: 2 * steps,
        };
        let settings = StageSettings::new("classifier", 2 * steps, &optimizer, compute);
        run_stage(
            &mut self,
            &settings,
            &mut decoder,
            (run, &ProcessGroup::alone()),
        )?;
        let path = run.join("metrics.jsonl");
        let text = fs::read_to_string(&path).map_err(|e| TrainError::io("read", &path, e))?;
        let last = text.lines().last();
        let last = last.ok_or_else(|| TrainError::invalid(&path, "holds no step"))?;
        serde_json::from_str(last).map_err(|e| TrainError::invalid(&path, e.to_string()))
    }
}

/// A network's shape, and its vocabulary.
pub type Network = (ModelRecipe, usize);

/// Every fourth row safe, every fourth unsafe in a category that is not known, the others in one
/// that is.
pub(super) fn targets(rows: usize) -> Targets {
    let is = |wanted: &[usize]| -> Vec<f32> {
        let held = |row: usize| f32::from(u8::from(wanted.contains(&(row % 4))));
        (0..rows).map(held).collect()
    };
    let known = is(&[1, 2]);
    let labels = (0..rows * CATEGORIES).map(|index| {
        let (row, category) = (index / CATEGORIES, index % CATEGORIES);
        known[row] * f32::from(u8::from(row % CATEGORIES == category))
    });
    Targets {
        labels: labels.collect(),
        safe: is(&[0]),
        known,
        unknown: is(&[3]),
    }
}

/// A network of a few thousand parameters that has everything a large one has.
pub fn tiny() -> Network {
    let shape = ModelRecipe {
        layers: 3,
        hidden: 64,
        heads: 4,
        kv_heads: 2,
        intermediate: 96,
        max_position: 64,
        rope_theta: 10000.0,
        norm_eps: 1e-6,
        rope_scaling: None,
        tied: true,
        qkv_bias: true,
    };
    (shape, 300)
}

/// The shape of the bundled model, and its vocabulary.
pub fn mini() -> Network {
    let shape = ModelRecipe {
        layers: 2,
        hidden: 192,
        heads: 4,
        kv_heads: 2,
        intermediate: 512,
        max_position: 1024,
        rope_theta: 10000.0,
        norm_eps: 1e-6,
        rope_scaling: None,
        tied: true,
        qkv_bias: true,
    };
    (shape, 16_000)
}

/// The shape of Qwen2.5-0.5B, and its vocabulary.
pub fn qwen_half_billion() -> Network {
    let shape = ModelRecipe {
        layers: 24,
        hidden: 896,
        heads: 14,
        kv_heads: 2,
        intermediate: 4864,
        max_position: 32_768,
        rope_theta: 1e6,
        norm_eps: 1e-6,
        rope_scaling: None,
        tied: true,
        qkv_bias: true,
    };
    (shape, 151_936)
}

/// A loss and the gradients of every parameter, on the host.
#[derive(Clone, Debug)]
pub struct LossAndGradients {
    /// The loss.
    pub loss: f64,
    /// Names and gradients in the order of the parameters; empty where none arrived.
    pub gradients: Vec<(String, Vec<f32>)>,
}

/// Batch 0 of `probe` on a network drawn from `seed`.
pub fn loss_and_gradients(
    probe: Probe,
    (shape, vocabulary): &Network,
    seed: u64,
    compute: ComputeRecipe,
    device: &Device,
) -> LossAndGradients {
    let decoder = Decoder::new(shape, *vocabulary, seed, device);
    // Fresh weights make all outputs nearly equal; larger ones do not.
    let layout = &decoder.weights.layout;
    let mut matrices = decoder.weights.flat.narrow(0, 0, layout.decayed);
    let _ = matrices.g_mul_scalar_(3.0);
    let working = decoder.working(compute);
    let mut sum = Gradients::new(&decoder.weights);
    let batch = { probe }.loss(&working, 0, Share::All);
    let loss = batch.own.expect("a whole batch has rows");
    backward(&working, &loss, &mut sum);
    LossAndGradients {
        loss: loss.double_value(&[]),
        gradients: named_gradients(&decoder, &sum),
    }
}

fn named_gradients(decoder: &Decoder, sum: &Gradients) -> Vec<(String, Vec<f32>)> {
    let entries = decoder.weights.layout.entries.iter();
    let gradients = entries.map(|entry| {
        let found = sum.of(entry.offset, entry.elements());
        (entry.name.clone(), found.map_or(Vec::new(), |g| host(&g)))
    });
    gradients.collect()
}

impl LossAndGradients {
    /// |this loss - that loss| / |that loss|.
    pub fn loss_error(&self, other: &Self) -> f64 {
        (self.loss - other.loss).abs() / other.loss.abs().max(f64::MIN_POSITIVE)
    }

    /// The parameter whose gradient differs most, and |this - that| / |that| of it. A gradient that
    /// only one has is infinitely far.
    pub fn gradient_error(&self, other: &Self) -> (&str, f64) {
        let mut worst = ("", 0.0);
        for ((name, found), (_, expected)) in self.gradients.iter().zip(&other.gradients) {
            let norm =
                |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
            let error = if found.len() == expected.len() {
                let mut off = found.iter().zip(expected).map(|(a, b)| f64::from(a - b));
                let scale = norm(&mut expected.iter().map(|&x| f64::from(x)));
                norm(&mut off) / scale.max(f64::MIN_POSITIVE)
            } else {
                f64::INFINITY
            };
            if !expected.is_empty() && (error.is_nan() || error > worst.1) {
                worst = (name, error);
            }
        }
        worst
    }
}

#[cfg(test)]
mod tests;
