//! The table `[classifier]`: stage 1, its teacher and how its rows are drawn.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::optimizer::OptimizerRecipe;
use super::range::{Check, below_one, of_table, positive, share};

/// Stage 1: the classifier.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClassifierRecipe {
    /// Optimizer steps.
    pub steps: usize,
    /// Tokens in a batch, padding included.
    pub batch_tokens: usize,
    /// Window in tokens: longer texts train on a random window, and are scanned in such windows.
    pub window_tokens: usize,
    /// Tokens that neighbouring windows share when a text is scanned.
    pub overlap_tokens: usize,
    /// How its steps are taken.
    #[serde(flatten)]
    pub optimizer: OptimizerRecipe,
    /// Batches whose gradients make one step.
    pub accumulation: usize,
    /// Which loss.
    pub loss: ClassifierLoss,
    /// Probability that an input token is replaced by the end-of-text token.
    pub token_dropout: f64,
    /// Label smoothing of every row.
    pub label_smoothing: f64,
    /// Decay of the moving average of the weights, which is what ships; 0 turns it off.
    pub ema: f64,
    /// How rows are drawn.
    pub sampling: SamplingRecipe,
    /// The linear model whose probabilities are mixed into the labels; absent: labels alone.
    #[serde(default)]
    pub teacher: Option<TeacherRecipe>,
    /// The stage before, in which the classifier alone learns over the base as it is (arXiv
    /// 2202.10054); absent: none. For encoders alone.
    #[serde(default)]
    pub linear_probe: Option<LinearProbeRecipe>,
    /// How much of what ships are the weights that stage 1 began with; the rest are its own (arXiv
    /// 2109.01903). In [0, 1); more than 0 for encoders alone.
    #[serde(default)]
    pub base_share: f64,
    /// Validations, one every `checkpoint_every` steps, without a gain on the sources held out
    /// whole after which stage 1 ends, with the weights that were best there; 0: all steps.
    #[serde(default)]
    pub patience: usize,
    /// Further outputs that say the text's language; absent: none. For encoders alone.
    #[serde(default)]
    pub language_head: Option<LanguageHeadRecipe>,
}

/// The stage in which the classifier alone learns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinearProbeRecipe {
    /// Optimizer steps.
    pub steps: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
}

impl LinearProbeRecipe {
    fn checks(&self) -> Vec<Check> {
        of_table(
            "classifier.linear_probe",
            [
                ("steps", self.steps > 0, "at least 1"),
                (
                    "learning_rate",
                    positive(self.learning_rate),
                    "a positive number",
                ),
            ],
        )
    }
}

/// Outputs that say the text's language.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LanguageHeadRecipe {
    /// The languages, in the order of the outputs. A text in another one trains the categories
    /// alone.
    pub languages: Vec<String>,
    /// Weight of its loss.
    pub weight: f64,
    /// Share of the rows that are a few words cut out of benign parallel texts, the languages
    /// evenly: what is short is hardest to tell.
    pub crops: f64,
    /// A last stage, in which the head alone learns; absent: none.
    #[serde(default)]
    pub tuning: Option<LanguageTuningRecipe>,
}

/// The stage in which the language head alone learns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LanguageTuningRecipe {
    /// Optimizer steps.
    pub steps: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of the rows that are crops.
    pub crops: f64,
}

impl LanguageTuningRecipe {
    fn checks(&self) -> Vec<Check> {
        of_table(
            "classifier.language_head.tuning",
            [
                ("steps", self.steps > 0, "at least 1"),
                (
                    "learning_rate",
                    positive(self.learning_rate),
                    "a positive number",
                ),
                ("crops", below_one(self.crops), "a share in [0, 1)"),
            ],
        )
    }
}

impl LanguageHeadRecipe {
    fn checks(&self) -> Vec<Check> {
        let mut sorted = self.languages.clone();
        sorted.sort();
        sorted.dedup();
        let distinct = sorted.len() > 1 && sorted.len() == self.languages.len();
        let mut checks = of_table(
            "classifier.language_head",
            [
                ("languages", distinct, "two or more languages, each once"),
                ("weight", positive(self.weight), "a positive number"),
                ("crops", below_one(self.crops), "a share in [0, 1)"),
            ],
        );
        checks.extend(self.tuning.iter().flat_map(LanguageTuningRecipe::checks));
        checks
    }
}

/// The linear teacher of the classifier stage.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeacherRecipe {
    /// How much of the target is the teacher's probability; the rest is the label.
    pub share: f64,
    /// Folds; a text's probability comes from the model that was trained without its fold.
    pub folds: usize,
    /// Texts that the teacher is trained on, drawn as the classifier's are.
    pub texts: usize,
    /// AdaGrad's learning rate.
    pub learning_rate: f64,
}

/// The losses of the classifier: the first two are those of arXiv 2502.05163, the section on the
/// classifier's training.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClassifierLoss {
    /// The sum of 12 binary cross-entropies that the paper states.
    Bce,
    /// The multi-label log-sum-exp loss that the authors' code trains with.
    LogSumExp,
    /// Whether any category applies, and then which: a binary cross-entropy of the log-sum-exp of
    /// the 12 logits, and a little of the softmax's cross-entropy where the categories are known.
    Hierarchical,
}

/// How rows are drawn: a language, then a label, then a source, then a row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SamplingRecipe {
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
    /// Share of the rows that are made up: numbers, punctuation, paths, identifiers, code, single
    /// words, greetings, wrapped sentences, all of them harmless.
    #[serde(default)]
    pub harmless: f64,
    /// Probability that a text stands in a chat template or between blanks.
    #[serde(default)]
    pub wrapped: f64,
    /// Languages that English rows are code-switched into; absent: all there are translations in.
    #[serde(default)]
    pub code_switch_languages: Option<Vec<String>>,
    /// Language -> factor on its probability (1 where absent).
    #[serde(default)]
    pub language_weight: BTreeMap<String, f64>,
    /// Source -> factor on its probability (1 where absent).
    #[serde(default)]
    pub source_weight: BTreeMap<String, f64>,
    /// Source -> label smoothing (the recipe's general one where absent).
    #[serde(default)]
    pub source_smoothing: BTreeMap<String, f64>,
}

impl ClassifierRecipe {
    pub(super) fn checks(&self, max_position: usize) -> Vec<Check> {
        let mut checks = of_table(
            "classifier",
            [
                ("steps", self.steps > 0, "at least 1"),
                (
                    "window_tokens",
                    self.window_tokens > 0 && self.window_tokens <= max_position,
                    "1 to model.max_position",
                ),
                (
                    "overlap_tokens",
                    self.overlap_tokens < self.window_tokens,
                    "less than classifier.window_tokens",
                ),
                (
                    "batch_tokens",
                    self.batch_tokens >= self.window_tokens,
                    "at least classifier.window_tokens",
                ),
                ("accumulation", self.accumulation > 0, "at least 1"),
                (
                    "token_dropout",
                    below_one(self.token_dropout),
                    "a probability in [0, 1)",
                ),
                (
                    "label_smoothing",
                    (0.0..0.5).contains(&self.label_smoothing),
                    "0 to less than 0.5",
                ),
                ("ema", below_one(self.ema), "a decay in [0, 1)"),
                (
                    "base_share",
                    below_one(self.base_share),
                    "a share in [0, 1)",
                ),
            ],
        );
        checks.extend(self.optimizer.checks("classifier"));
        checks.extend(self.sampling.checks());
        checks.extend(self.teacher.iter().flat_map(TeacherRecipe::checks));
        let probe = self.linear_probe.iter();
        checks.extend(probe.flat_map(LinearProbeRecipe::checks));
        let heads = self.language_head.iter();
        checks.extend(heads.flat_map(LanguageHeadRecipe::checks));
        checks
    }
}

impl TeacherRecipe {
    fn checks(&self) -> Vec<Check> {
        of_table(
            "classifier.teacher",
            [
                ("share", share(self.share), "a share in [0, 1]"),
                ("folds", (2..=64).contains(&self.folds), "2 to 64"),
                ("texts", self.texts > 0, "at least 1"),
                (
                    "learning_rate",
                    positive(self.learning_rate),
                    "a positive number",
                ),
            ],
        )
    }
}

impl SamplingRecipe {
    fn checks(&self) -> Vec<Check> {
        let smoothings = self.source_smoothing.values();
        let smoothings_hold = smoothings.copied().all(|s| (0.0..0.5).contains(&s));
        of_table(
            "classifier.sampling",
            [
                ("language_power", share(self.language_power), "0 to 1"),
                ("source_power", share(self.source_power), "0 to 1"),
                (
                    "code_switch",
                    share(self.code_switch),
                    "a probability in [0, 1]",
                ),
                (
                    "benign_parallel",
                    below_one(self.benign_parallel),
                    "a share in [0, 1)",
                ),
                ("harmless", below_one(self.harmless), "a share in [0, 1)"),
                (
                    "wrapped",
                    below_one(self.wrapped),
                    "a probability in [0, 1)",
                ),
                ("join", below_one(self.join), "a probability in [0, 1)"),
                (
                    "language_weight",
                    self.language_weight.values().all(|&w| positive(w)),
                    "positive numbers",
                ),
                (
                    "source_weight",
                    self.source_weight.values().all(|&w| positive(w)),
                    "positive numbers",
                ),
                ("source_smoothing", smoothings_hold, "0 to less than 0.5"),
            ],
        )
    }
}
