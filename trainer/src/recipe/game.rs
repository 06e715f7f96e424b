//! The part of a recipe that says how the game is played.

use std::path::PathBuf;

use serde::Deserialize;

use super::checks::{Check, below_one, positive, share};

/// The two-player game.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GameRecipe {
    /// Rounds after round 0, which trains on the seed data alone.
    pub rounds: usize,
    /// English seed texts that a round draws, half of them unsafe.
    pub seeds: usize,
    /// Languages that proposals are written in.
    pub languages: Vec<String>,
    /// Texts written for each seed and language.
    pub proposals: usize,
    /// Divides the generator's logits.
    pub temperature: f64,
    /// Share of the probability that tokens are drawn from.
    pub top_p: f64,
    /// Tokens of a seed, and of a proposal, at most.
    pub max_tokens: usize,
    /// Characters by which a proposal's length may differ from its seed's.
    pub length_difference: usize,
    /// Seeds of these categories are not given to the generator.
    pub exclude_categories: Vec<String>,
    /// Train the classifier of a round from the pretrained base, or from the round before.
    pub classifier_from: ClassifierStart,
    /// A folder, relative to the data, with benchmarks that proposals must not overlap; absent: not
    /// checked, and the log says so.
    #[serde(default)]
    pub benchmarks: Option<PathBuf>,
    /// Who writes.
    pub generator: GeneratorRecipe,
    /// Who rates.
    pub judge: JudgeRecipe,
    /// How the generator learns.
    pub preference: PreferenceRecipe,
}

/// Where a round's classifier starts.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ClassifierStart {
    /// The pretrained base, as in the paper.
    Base,
    /// The classifier of the round before.
    Previous,
}

/// Who writes proposals.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum GeneratorRecipe {
    /// Our own decoder, fine-tuned to translate with what pairs and translated seeds there are.
    Own(OwnGeneratorRecipe),
    /// An instructed checkpoint of the Qwen2 or Llama family, which learns from preferences.
    Checkpoint {
        /// Its Hugging Face folder, relative to the data.
        folder: PathBuf,
    },
    /// A language model behind an OpenAI-compatible endpoint. It learns nothing: pairs are written
    /// for whoever trains it.
    Endpoint(EndpointRecipe),
}

impl GeneratorRecipe {
    /// Nats by which words that a writer is given are bonus_tokens: our own one's.
    pub fn token_bonus(&self) -> f64 {
        match self {
            Self::Own(own) => own.token_bonus,
            _ => 0.0,
        }
    }
}

/// Fine-tuning of our own generator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnGeneratorRecipe {
    /// Optimizer steps.
    pub steps: usize,
    /// Tokens in a batch, padding included.
    pub batch_tokens: usize,
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
    /// Share of the examples that are labelled seeds with translations, which teach the safe and
    /// unsafe prefixes.
    pub seed_share: f64,
    /// Nats by which words of the gloss are bonus_tokens when it writes, each until it is written; 0:
    /// not at all. A small network knows better how words go together than which ones it was given.
    pub token_bonus: f64,
    /// Steps between saved states.
    pub checkpoint_every: usize,
}

/// An OpenAI-compatible endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointRecipe {
    /// Such as `http://localhost:8000/v1`.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// The environment variable that holds the key; absent: no key is sent.
    #[serde(default)]
    pub api_key_variable: Option<String>,
    /// Requests under way at once.
    pub concurrency: usize,
    /// Seconds until an answer is given up.
    pub timeout_s: f64,
    /// Tries after the first.
    pub retries: usize,
    /// Seconds before the first new try; doubled before each further one.
    pub backoff_s: f64,
    /// Failures in a row after which the run stops.
    pub stop_after_failures: usize,
    /// Further fields of the request's body, as the server wants them.
    #[serde(default)]
    pub extra_body: std::collections::BTreeMap<String, serde_json::Value>,
    /// Tokens of an answer at most.
    pub max_tokens: usize,
}

/// Who rates proposals from 1 (safe) to 5 (unsafe).
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum JudgeRecipe {
    /// For runs without an instructed model: the linear teacher of other folds, and whether the
    /// proposal's words translate the seed's.
    Consistency {
        /// Least share of a proposal's words that must translate a word of the seed, in [0, 1].
        least_agreement: f64,
    },
    /// The generator as it was before the first round: an instructed one is told to rate, our own
    /// weighs which prefix the text is likelier under.
    Generator,
    /// An instructed model behind an endpoint.
    Endpoint(EndpointRecipe),
}

/// Direct preference optimisation of the generator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreferenceRecipe {
    /// How strongly the generator is held to the frozen reference.
    pub beta: f64,
    /// Weight of the chosen texts' negative log-likelihood.
    pub rpo_alpha: f64,
    /// Passes over the pairs.
    pub epochs: usize,
    /// Pairs in a batch.
    pub batch_pairs: usize,
    /// Batches whose gradients make one step.
    pub accumulation: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Fraction of the steps spent warming up.
    pub warmup: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Gradients are clipped to this global norm.
    pub max_gradient_norm: f64,
    /// Steps between saved states.
    pub checkpoint_every: usize,
}

impl GameRecipe {
    pub(super) fn checks(&self, max_position: usize, has_teacher: bool) -> Vec<Check> {
        let preference = &self.preference;
        let mut checks = vec![
            ("game.rounds", self.rounds > 0, "at least 1"),
            ("game.seeds", self.seeds > 1, "at least 2"),
            (
                "game.languages",
                !self.languages.is_empty() && !self.languages.iter().any(|l| l == "en"),
                "at least one language, and not en: the seeds are English",
            ),
            ("game.proposals", self.proposals > 0, "at least 1"),
            (
                "game.temperature",
                positive(self.temperature),
                "a positive number",
            ),
            (
                "game.top_p",
                self.top_p > 0.0 && self.top_p <= 1.0,
                "a share in (0, 1]",
            ),
            (
                "game.max_tokens",
                self.max_tokens > 0 && 3 * self.max_tokens <= max_position,
                "1 to a third of model.max_position, for a seed, a prefix and a proposal",
            ),
            (
                "game.exclude_categories",
                self.exclude_categories
                    .iter()
                    .all(|c| crate::data::rows::CATEGORIES.contains(&c.as_str())),
                "names of categories",
            ),
            (
                "game.preference.beta",
                positive(preference.beta),
                "a positive number",
            ),
            (
                "game.preference.rpo_alpha",
                preference.rpo_alpha.is_finite() && preference.rpo_alpha >= 0.0,
                "0 or more",
            ),
            (
                "game.preference.epochs",
                preference.epochs > 0,
                "at least 1",
            ),
            (
                "game.preference.batch_pairs",
                preference.batch_pairs > 0,
                "at least 1",
            ),
            (
                "game.preference.accumulation",
                preference.accumulation > 0,
                "at least 1",
            ),
            (
                "game.preference.learning_rate",
                positive(preference.learning_rate),
                "a positive number",
            ),
            (
                "game.preference.warmup",
                below_one(preference.warmup),
                "a fraction in [0, 1)",
            ),
            (
                "game.preference.weight_decay",
                share(preference.weight_decay),
                "0 to 1",
            ),
            (
                "game.preference.max_gradient_norm",
                positive(preference.max_gradient_norm),
                "a positive number",
            ),
            (
                "game.preference.checkpoint_every",
                preference.checkpoint_every > 0,
                "at least 1",
            ),
        ];
        match &self.generator {
            GeneratorRecipe::Own(own) => checks.extend(own.checks()),
            GeneratorRecipe::Checkpoint { .. } => {}
            GeneratorRecipe::Endpoint(endpoint) => checks.extend(endpoint.checks()),
        }
        match &self.judge {
            JudgeRecipe::Consistency { least_agreement } => checks.extend([
                (
                    "game.judge.least_agreement",
                    share(*least_agreement),
                    "a share in [0, 1]",
                ),
                (
                    "game.judge.kind",
                    has_teacher,
                    "a [classifier.teacher], whose opinion the consistency judge asks",
                ),
            ]),
            JudgeRecipe::Generator => checks.push((
                "game.judge.kind",
                !matches!(self.generator, GeneratorRecipe::Endpoint(_)),
                "endpoint or consistency: a generator behind an endpoint rates there",
            )),
            JudgeRecipe::Endpoint(endpoint) => checks.extend(endpoint.checks()),
        }
        checks
    }
}

impl OwnGeneratorRecipe {
    fn checks(&self) -> Vec<Check> {
        vec![
            ("game.generator.steps", self.steps > 0, "at least 1"),
            (
                "game.generator.batch_tokens",
                self.batch_tokens > 0,
                "at least 1",
            ),
            (
                "game.generator.learning_rate",
                positive(self.learning_rate),
                "a positive number",
            ),
            (
                "game.generator.warmup",
                below_one(self.warmup),
                "a fraction in [0, 1)",
            ),
            (
                "game.generator.weight_decay",
                share(self.weight_decay),
                "0 to 1",
            ),
            (
                "game.generator.max_gradient_norm",
                positive(self.max_gradient_norm),
                "a positive number",
            ),
            (
                "game.generator.seed_share",
                share(self.seed_share),
                "a share in [0, 1]",
            ),
            (
                "game.generator.token_bonus",
                self.token_bonus >= 0.0 && self.token_bonus.is_finite(),
                "0 or a positive number",
            ),
            (
                "game.generator.checkpoint_every",
                self.checkpoint_every > 0,
                "at least 1",
            ),
        ]
    }
}

impl EndpointRecipe {
    fn checks(&self) -> Vec<Check> {
        vec![
            (
                "base_url",
                self.base_url.starts_with("http://") || self.base_url.starts_with("https://"),
                "an http or https address",
            ),
            ("concurrency", self.concurrency > 0, "at least 1"),
            ("timeout_s", positive(self.timeout_s), "a positive number"),
            ("max_tokens", self.max_tokens > 0, "at least 1"),
        ]
    }
}
