//! The tables `[game.generator]` and `[game.judge]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::classifier::TeacherRecipe;
use super::optimizer::OptimizerRecipe;
use super::range::{Check, of_table, positive, share};

/// The generator and the judge, together: only a generator that runs here can be the judge too.
#[derive(Clone, Debug)]
pub(crate) enum PlayersRecipe {
    /// The generator runs here, and learns from preferences.
    Local {
        /// Who writes.
        generator: LocalGeneratorRecipe,
        /// Who rates; `None`: the generator as it was before the first round. An instructed one is
        /// told to rate, our own weighs which prefix the text is likelier under.
        judge: Option<JudgeRecipe>,
    },
    /// The generator is a language model behind an endpoint. It learns nothing: pairs are written
    /// for whoever trains it.
    Endpoint {
        /// Who writes.
        generator: EndpointRecipe,
        /// Who rates.
        judge: JudgeRecipe,
    },
}

/// A generator that runs here.
#[derive(Clone, Debug)]
pub(crate) enum LocalGeneratorRecipe {
    /// Our own decoder, fine-tuned to translate with what pairs and translated seeds there are.
    Own(OwnGeneratorRecipe),
    /// An instructed checkpoint.
    Checkpoint(CheckpointGeneratorRecipe),
}

/// Who rates proposals from 1 (safe) to 5 (unsafe), if not the generator.
#[derive(Clone, Debug)]
pub(crate) enum JudgeRecipe {
    /// For runs without an instructed model: the linear teacher of other folds, and whether the
    /// proposal's words translate the seed's.
    Consistency {
        /// Least share of a proposal's words that must translate a word of the seed, in [0, 1].
        least_agreement: f64,
        /// The classifier's teacher, which is asked.
        teacher: TeacherRecipe,
    },
    /// Classifiers that were each trained on one fold of the seed data, and vote.
    Ensemble(EnsembleRecipe),
    /// An instructed model behind an endpoint.
    Endpoint(EndpointRecipe),
}

/// A judge of several classifiers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnsembleRecipe {
    /// Folds of the seed data, and classifiers. That of a seed's fold does not vote on its
    /// proposals, so that one fewer votes.
    pub folds: usize,
    /// Optimizer steps of each of them; the rest is as the recipe's classifier.
    pub steps: usize,
    /// Whether the generator as it was before the first round votes too.
    #[serde(default)]
    pub generator: bool,
    /// Least share of a proposal's words that must translate a word of the seed, and of the seed's
    /// that the proposal must translate, in [0, 1]; absent: not asked. For an own generator alone.
    #[serde(default)]
    pub least_agreement: Option<f64>,
}

/// Who writes proposals, as a recipe's text says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum GeneratorTable {
    Own(OwnGeneratorRecipe),
    Checkpoint(CheckpointGeneratorRecipe),
    Endpoint(EndpointRecipe),
}

/// Who rates proposals, as a recipe's text says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum JudgeTable {
    Consistency { least_agreement: f64 },
    Generator,
    Ensemble(EnsembleRecipe),
    Endpoint(EndpointRecipe),
}

/// Our own generator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnGeneratorRecipe {
    /// How it learns to write.
    pub translation: TranslationRecipe,
    /// Nats added to the logits of the gloss's tokens, each until it is generated; 0: none. A small
    /// network knows better how words go together than which ones it was given.
    pub token_bonus: f64,
    /// Nats added further to the gloss's token that follows there what was written last: what is
    /// begun is written to its end, and in the gloss's order where the network has no better one.
    /// 0: none.
    #[serde(default)]
    pub order_bonus: f64,
}

/// An instructed checkpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointGeneratorRecipe {
    /// Of the Qwen2 or Llama family: its Hugging Face folder or GGUF file, relative to the data.
    pub folder: PathBuf,
    /// What it learns before the first round: to write in languages that it knows little of.
    /// Absent: nothing.
    #[serde(default)]
    pub translation: Option<TranslationRecipe>,
}

/// Fine-tuning on texts that stand in English and in a language of the game: given the English one
/// as a seed is given, the generator learns to write the other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TranslationRecipe {
    /// Optimizer steps.
    pub steps: usize,
    /// Tokens in a batch, padding included.
    pub batch_tokens: usize,
    /// How its steps are taken.
    #[serde(flatten)]
    pub optimizer: OptimizerRecipe,
    /// Random tokens that join the batch's own in the softmax; 0: the whole vocabulary.
    pub negatives: usize,
    /// Share of the examples that are labelled seeds with translations; the others are benign.
    pub seed_share: f64,
}

/// An OpenAI-compatible endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndpointRecipe {
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
    pub extra_body: BTreeMap<String, serde_json::Value>,
    /// Tokens of an answer at most.
    pub max_tokens: usize,
}

impl PlayersRecipe {
    /// Puts the two tables together; otherwise the key that does not fit, and what is expected.
    pub(super) fn new(
        generator: GeneratorTable,
        judge: JudgeTable,
        teacher: Option<&TeacherRecipe>,
    ) -> Result<Self, (&'static str, &'static str)> {
        let judge = match judge {
            JudgeTable::Generator => None,
            JudgeTable::Endpoint(endpoint) => Some(JudgeRecipe::Endpoint(endpoint)),
            JudgeTable::Ensemble(ensemble) => Some(JudgeRecipe::Ensemble(ensemble)),
            JudgeTable::Consistency { least_agreement } => Some(JudgeRecipe::Consistency {
                least_agreement,
                teacher: teacher.cloned().ok_or((
                    "game.judge.kind",
                    "a [classifier.teacher], whose probabilities the consistency judge asks for",
                ))?,
            }),
        };
        let local = match generator {
            GeneratorTable::Own(own) => LocalGeneratorRecipe::Own(own),
            GeneratorTable::Checkpoint(found) => LocalGeneratorRecipe::Checkpoint(found),
            GeneratorTable::Endpoint(generator) => {
                let judge = judge.ok_or((
                    "game.judge.kind",
                    "endpoint, ensemble or consistency: a generator behind an endpoint rates there",
                ))?;
                if matches!(&judge, JudgeRecipe::Ensemble(ensemble) if ensemble.generator) {
                    let expected = "false: the likelihoods of a generator behind an endpoint are \
                                    not known here";
                    return Err(("game.judge.generator", expected));
                }
                return Ok(Self::Endpoint { generator, judge });
            }
        };
        Ok(Self::Local {
            generator: local,
            judge,
        })
    }

    pub(super) fn checks(&self) -> Vec<Check> {
        let (mut checks, judge) = match self {
            Self::Local { generator, judge } => (generator.checks(), judge.as_ref()),
            Self::Endpoint { generator, judge } => {
                (generator.checks("game.generator"), Some(judge))
            }
        };
        checks.extend(judge.iter().flat_map(|judge| judge.checks(self.is_own())));
        checks
    }

    /// Whether the judge is worth only what labelled rows say it is.
    pub(super) fn needs_calibration(&self) -> bool {
        matches!(self.judge(), Some(JudgeRecipe::Ensemble(_)))
    }

    /// Who rates, if not the generator.
    fn judge(&self) -> Option<&JudgeRecipe> {
        match self {
            Self::Local { judge, .. } => judge.as_ref(),
            Self::Endpoint { judge, .. } => Some(judge),
        }
    }

    /// Whether our own decoder writes.
    pub(crate) fn is_own(&self) -> bool {
        let own = LocalGeneratorRecipe::is_own;
        matches!(self, Self::Local { generator, .. } if own(generator))
    }

    /// Whether a player translates words, for which a lexicon is learned.
    pub(crate) fn needs_lexicon(&self) -> bool {
        self.is_own() || matches!(self.judge(), Some(JudgeRecipe::Consistency { .. }))
    }
}

impl JudgeRecipe {
    fn checks(&self, with_own_generator: bool) -> Vec<Check> {
        match self {
            Self::Ensemble(ensemble) => ensemble.checks(with_own_generator),
            Self::Consistency {
                least_agreement, ..
            } => of_table(
                "game.judge",
                [(
                    "least_agreement",
                    share(*least_agreement),
                    "a share in [0, 1]",
                )],
            ),
            Self::Endpoint(endpoint) => endpoint.checks("game.judge"),
        }
    }
}

impl EnsembleRecipe {
    fn checks(&self, with_own_generator: bool) -> Vec<Check> {
        let mut checks = of_table(
            "game.judge",
            [
                ("folds", (3..=16).contains(&self.folds), "3 to 16"),
                ("steps", self.steps > 0, "at least 1"),
            ],
        );
        let least = self.least_agreement;
        let holds = least.is_none_or(|least| share(least) && with_own_generator);
        let expected = "a share in [0, 1], and none but with an own generator: others do not \
                        translate their seeds";
        checks.push(("game.judge.least_agreement".to_owned(), holds, expected));
        checks
    }
}

impl LocalGeneratorRecipe {
    fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    fn checks(&self) -> Vec<Check> {
        let (mut checks, translation) = match self {
            Self::Own(own) => (own.checks(), Some(&own.translation)),
            Self::Checkpoint(found) => (Vec::new(), found.translation.as_ref()),
        };
        checks.extend(
            translation
                .iter()
                .flat_map(|translation| translation.checks()),
        );
        checks
    }
}

impl OwnGeneratorRecipe {
    fn checks(&self) -> Vec<Check> {
        of_table(
            "game.generator",
            [
                (
                    "token_bonus",
                    self.token_bonus >= 0.0 && self.token_bonus.is_finite(),
                    "0 or a positive number",
                ),
                (
                    "order_bonus",
                    self.order_bonus >= 0.0 && self.order_bonus.is_finite(),
                    "0 or a positive number",
                ),
            ],
        )
    }
}

impl TranslationRecipe {
    fn checks(&self) -> Vec<Check> {
        let table = "game.generator.translation";
        let mut checks = of_table(
            table,
            [
                ("steps", self.steps > 0, "at least 1"),
                ("batch_tokens", self.batch_tokens > 0, "at least 1"),
                ("seed_share", share(self.seed_share), "a share in [0, 1]"),
            ],
        );
        checks.extend(self.optimizer.checks(table));
        checks
    }
}

impl EndpointRecipe {
    fn checks(&self, table: &str) -> Vec<Check> {
        of_table(
            table,
            [
                (
                    "base_url",
                    self.base_url.starts_with("http://") || self.base_url.starts_with("https://"),
                    "an http or https address",
                ),
                ("concurrency", self.concurrency > 0, "at least 1"),
                ("timeout_s", positive(self.timeout_s), "a positive number"),
                ("max_tokens", self.max_tokens > 0, "at least 1"),
            ],
        )
    }
}
