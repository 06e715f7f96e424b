//! A recipe: one TOML file that says everything about a training run.
//!
//! It is validated once, when it is read. Errors name the file, the line, the key, what was
//! found and what is expected.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use duoguard_export::Llama3Scaling;
use serde::Deserialize;
use sha2::{Digest, Sha256};

mod checks;
mod game;

pub use game::{
    ClassifierStart, EndpointRecipe, GameRecipe, GeneratorRecipe, JudgeRecipe, OwnGeneratorRecipe,
    PreferenceRecipe,
};

/// A head's width is a multiple of this: ONNX Runtime's rotary attention takes no other.
const HEAD_SIZE_STEP: usize = 16;

/// Why a recipe was refused.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {reason}", path.display(), line.map(|l| format!(":{l}")).unwrap_or_default())]
pub struct RecipeError {
    /// The recipe file.
    pub path: PathBuf,
    /// The line, from 1, where one can be named.
    pub line: Option<usize>,
    /// Key, expected, found.
    pub reason: String,
}

/// A whole recipe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Names the run's folder and the model; letters, digits, `-` and `_`.
    pub name: String,
    /// Every random choice of the run follows from it.
    pub seed: u64,
    /// What to train on.
    pub data: DataRecipe,
    /// The language model to start from; absent: one is trained as the next three tables say.
    #[serde(default)]
    pub base: Option<BaseRecipe>,
    /// The tokenizer.
    #[serde(default)]
    pub tokenizer: Option<TokenizerRecipe>,
    /// The network's shape.
    #[serde(default)]
    pub model: Option<ModelRecipe>,
    /// Stage 0.
    #[serde(default)]
    pub pretrain: Option<PretrainRecipe>,
    /// Stage 1.
    pub classifier: ClassifierRecipe,
    /// How the stages compute; absent: as is best on a CPU.
    #[serde(default)]
    pub compute: ComputeRecipe,
    /// The two-player game; absent: round 0 alone.
    #[serde(default)]
    pub game: Option<GameRecipe>,
    /// The file's text, kept with the run and in the model's provenance.
    #[serde(skip)]
    pub text: String,
}

/// What to train on. Paths are relative to the data folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// Labelled files, or folders of `*.jsonl` and `*.jsonl.gz`.
    pub seed: Vec<PathBuf>,
    /// Benign texts in several languages, grouped by meaning.
    pub parallel: Vec<PathBuf>,
    /// Sentence pairs, English and one other language a line.
    pub pairs: Vec<PathBuf>,
    /// Languages to keep; the first must be the one that is code-switched.
    pub languages: Vec<String>,
    /// Languages of the labelled texts to train on; absent: all. Texts of the others still
    /// validate.
    #[serde(default)]
    pub seed_languages: Option<Vec<String>>,
    /// Sources to leave out.
    pub exclude_sources: Vec<String>,
    /// Share of the seed groups held out, in (0, 0.5].
    pub validation_fraction: f64,
    /// Sources that are validated on and never trained on: how a guard does on texts of a kind it
    /// has not seen is what a benchmark will ask. Empty for a model that ships.
    #[serde(default)]
    pub held_out_sources: Vec<String>,
    /// Source -> licence; goes into the model's provenance.
    #[serde(default)]
    pub licences: BTreeMap<String, String>,
}

/// How the stages compute: what changes memory and speed, and not what is learned.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComputeRecipe {
    /// What the network computes with while it is trained. The optimizer always keeps 32-bit
    /// weights and moments.
    #[serde(default)]
    pub precision: Precision,
    /// Activation checkpointing: keep what enters a layer, and compute the layer again in the
    /// backward pass.
    #[serde(default)]
    pub recompute_layers: bool,
    /// Steps whose losses and gradient norms are read from the device at once. Absent: 1 on a CPU,
    /// 20 on a GPU, which must not wait for the host at every step.
    #[serde(default)]
    pub read_every: Option<usize>,
}

/// A type of float.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// bfloat16: the range of 32-bit floats with 8 bits of mantissa.
    Bf16,
}

/// A language model that somebody else trained.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseRecipe {
    /// A Hugging Face folder of the Qwen2 or Llama family, relative to the data.
    pub checkpoint: PathBuf,
}

/// Where a run starts.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// From a checkpoint with its tokenizer.
    Checkpoint(&'a BaseRecipe),
    /// From random weights: tokenizer, shape and stage 0 are the recipe's.
    Scratch(&'a TokenizerRecipe, &'a ModelRecipe, &'a PretrainRecipe),
}

/// The tokenizer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerRecipe {
    /// Tokens, the 256 bytes and the end-of-text token included.
    pub vocabulary: usize,
}

/// The network's shape: a Qwen2 decoder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads; `hidden` is a multiple of 16 times this.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width inside the feed-forward part.
    pub intermediate: usize,
    /// Longest input in tokens.
    pub max_position: usize,
    /// Base of the rotary position encoding.
    pub rope_theta: f64,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f64,
    /// How the rotary frequencies of an imported network are stretched.
    #[serde(skip)]
    pub rope_scaling: Option<Llama3Scaling>,
    /// Whether the language-model head is the embedding; an imported network may have one of its
    /// own.
    #[serde(skip, default = "tied")]
    pub tied: bool,
}

fn tied() -> bool {
    true
}

impl ModelRecipe {
    /// Width of one head.
    pub fn head_size(&self) -> usize {
        self.hidden / self.heads
    }
}

/// Stage 0: language-model pre-training.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainRecipe {
    /// Optimizer steps; 0 leaves the stage out.
    pub steps: usize,
    /// Tokens in a batch.
    pub batch_tokens: usize,
    /// Tokens in a packed row.
    pub window_tokens: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Fraction of the steps spent warming up.
    pub warmup: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Gradients are clipped to this global norm.
    pub max_gradient_norm: f64,
    /// Random tokens that join the batch's own in the softmax; 0: the whole vocabulary.
    pub negatives: usize,
    /// Steps between saved states.
    pub checkpoint_every: usize,
}

/// Stage 1: the classifier.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierRecipe {
    /// Optimizer steps.
    pub steps: usize,
    /// Tokens in a batch, padding included.
    pub batch_tokens: usize,
    /// Window in tokens: longer texts train on a random window, and are scanned in such windows.
    pub window_tokens: usize,
    /// Tokens that neighbouring windows share when a text is scanned.
    pub overlap_tokens: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Fraction of the steps spent warming up.
    pub warmup: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Gradients are clipped to this global norm.
    pub max_gradient_norm: f64,
    /// Batches whose gradients make one step.
    pub accumulation: usize,
    /// Which loss.
    pub loss: ClassifierLoss,
    /// Probability that an input token is replaced by the end-of-text token.
    pub token_dropout: f64,
    /// Label smoothing of every row.
    pub label_smoothing: f64,
    /// Steps between saved states.
    pub checkpoint_every: usize,
    /// Decay of the moving average of the weights, which is what ships; 0 turns it off.
    pub ema: f64,
    /// How rows are drawn.
    pub sampling: SamplingRecipe,
    /// The linear model whose opinion is mixed into the labels; absent: labels alone.
    #[serde(default)]
    pub teacher: Option<TeacherRecipe>,
}

/// The linear teacher of the classifier stage.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherRecipe {
    /// How much of the target is the teacher's opinion; the rest is the label.
    pub share: f64,
    /// Folds; a text's opinion comes from the model that was trained without its fold.
    pub folds: usize,
    /// Texts that the teacher is trained on, drawn as the classifier's are.
    pub texts: usize,
    /// AdaGrad's learning rate.
    pub learning_rate: f64,
}

/// The two losses of the paper (PAPER.md, "The classifier").
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ClassifierLoss {
    /// The sum of 12 binary cross-entropies that the paper states.
    Bce,
    /// The multi-label log-sum-exp loss that the authors' code trains with.
    LogSumExp,
}

/// How rows are drawn: a language, then a label, then a source, then a row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingRecipe {
    /// A language is drawn with probability proportional to (its rows)^this, in [0, 1].
    pub language_power: f64,
    /// The same for sources within a language and label.
    pub source_power: f64,
    /// Draw safe and unsafe equally often; otherwise as they come.
    pub balance_labels: bool,
    /// Rows of one source, language and label that count at most; 0: no cap.
    pub source_cap: usize,
    /// Probability that an English row is code-switched into another language.
    pub code_switch: f64,
    /// Share of the rows that are benign parallel texts.
    pub benign_parallel: f64,
    /// Probability that a text is followed by another, and that by another, up to four in all.
    #[serde(default)]
    pub join: f64,
    /// Source -> factor on its probability (1 where absent).
    #[serde(default)]
    pub source_weight: BTreeMap<String, f64>,
    /// Source -> label smoothing (the recipe's general one where absent).
    #[serde(default)]
    pub source_smoothing: BTreeMap<String, f64>,
}

impl Recipe {
    /// Reads and validates a recipe.
    ///
    /// # Errors
    /// Unreadable file, broken TOML, unknown or missing key, a value of the wrong type or
    /// out of its range.
    pub fn load(path: &Path) -> Result<Self, RecipeError> {
        let text = fs::read_to_string(path).map_err(|e| RecipeError {
            path: path.to_owned(),
            line: None,
            reason: format!("cannot read the recipe: {e}"),
        })?;
        Self::parse(path, &text)
    }

    /// Parses a recipe's text; `path` is for messages.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, RecipeError> {
        let mut recipe: Self = toml::from_str(text).map_err(|e| RecipeError {
            path: path.to_owned(),
            line: e.span().map(|span| line_of(text, span.start)),
            reason: e.message().to_owned(),
        })?;
        recipe.text = text.to_owned();
        for (key, holds, expected) in recipe.checks() {
            if !holds {
                return Err(RecipeError {
                    path: path.to_owned(),
                    line: line_of_key(text, key),
                    reason: format!("{key}: expected {expected}"),
                });
            }
        }
        Ok(recipe)
    }

    /// Where the run starts; a recipe that was read has one answer.
    pub fn start(&self) -> Option<Start<'_>> {
        match (&self.base, &self.tokenizer, &self.model, &self.pretrain) {
            (Some(base), None, None, None) => Some(Start::Checkpoint(base)),
            (None, Some(tokenizer), Some(model), Some(pretrain)) => {
                Some(Start::Scratch(tokenizer, model, pretrain))
            }
            _ => None,
        }
    }

    /// Hex sha256 of the recipe's text.
    pub fn sha256(&self) -> String {
        Sha256::digest(self.text.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}

/// The line where a dotted key is set, found by its table header and its last part.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut current = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            current = header
                .split(']')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned();
            if current == key {
                return Some(index + 1);
            }
        } else if current == table
            && line
                .split('=')
                .next()
                .is_some_and(|left| left.trim() == name)
        {
            return Some(index + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests;
