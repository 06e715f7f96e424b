//! The table `[game]`: how the game is played.

use std::path::PathBuf;

use duoguard_export::CATEGORIES;
use serde::Deserialize;

use super::classifier::TeacherRecipe;
use super::optimizer::OptimizerRecipe;
use super::players::{GeneratorTable, JudgeTable, PlayersRecipe};
use super::range::{Check, of_table, positive, share};

/// The two-player game.
#[derive(Clone, Debug)]
pub(crate) struct GameRecipe {
    /// Rounds after round 0, which trains on the seed data alone.
    pub rounds: usize,
    /// English seed texts that a round draws, half of them unsafe.
    pub seeds: usize,
    /// Languages that proposals are written in.
    pub languages: Vec<String>,
    /// What is asked for after each seed, each kind once; prompts alone where the recipe does not
    /// say.
    pub kinds: Vec<ProposalKind>,
    /// Texts written for each seed, language and kind.
    pub proposals: usize,
    /// Divides the generator's logits.
    pub temperature: f64,
    /// Share of the probability that tokens are drawn from.
    pub top_p: f64,
    /// Tokens of a seed, and of a proposal, at most.
    pub max_tokens: usize,
    /// Characters by which a proposal's length may differ from its seed's.
    pub length_difference: usize,
    /// A round whose judge rates less than this share of its proposals, or none, stops the run; in
    /// [0, 1), 0 where the recipe does not say.
    pub least_yield: f64,
    /// Share of the proposals that the classifier judges right which join the data too, in [0, 1];
    /// 0, as in the paper, where the recipe does not say.
    pub correct_share: f64,
    /// Whether as many harmless as harmful proposals of a language join the data.
    pub balance: bool,
    /// How often a synthetic row comes at most for every time that a seed row comes: in proportion
    /// to its loss under the classifier of the round before. 1: all alike.
    pub replay: usize,
    /// Seeds of these categories are not given to the generator.
    pub exclude_categories: Vec<String>,
    /// Train the classifier of a round from the pretrained base, or from the round before.
    pub classifier_from: ClassifierStart,
    /// A folder, relative to the data, with benchmarks that proposals must not overlap; absent: not
    /// checked, and the log says so.
    pub benchmarks: Option<PathBuf>,
    /// Minutes that a run may take, all of its starts together; absent: as long as it takes.
    pub most_minutes: Option<f64>,
    /// Megabytes (10^6 bytes) that the run's folder may hold; absent: as much as there is.
    pub most_megabytes: Option<f64>,
    /// How the judge's ratings are weighed; absent: taken as they are.
    pub calibration: Option<CalibrationRecipe>,
    /// Who writes, and who rates.
    pub players: PlayersRecipe,
    /// How the generator learns.
    pub preference: PreferenceRecipe,
}

/// The table as a recipe's text has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GameTable {
    rounds: usize,
    seeds: usize,
    languages: Vec<String>,
    #[serde(default = "prompts")]
    kinds: Vec<ProposalKind>,
    proposals: usize,
    temperature: f64,
    top_p: f64,
    max_tokens: usize,
    length_difference: usize,
    #[serde(default)]
    least_yield: f64,
    #[serde(default)]
    correct_share: f64,
    #[serde(default)]
    balance: bool,
    #[serde(default = "one")]
    replay: usize,
    exclude_categories: Vec<String>,
    classifier_from: ClassifierStart,
    #[serde(default)]
    benchmarks: Option<PathBuf>,
    #[serde(default)]
    most_minutes: Option<f64>,
    #[serde(default)]
    most_megabytes: Option<f64>,
    #[serde(default)]
    calibration: Option<CalibrationRecipe>,
    generator: GeneratorTable,
    judge: JudgeTable,
    preference: PreferenceRecipe,
}

fn one() -> usize {
    1
}

fn prompts() -> Vec<ProposalKind> {
    vec![ProposalKind::Prompt]
}

/// What a generator is asked for after a seed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProposalKind {
    /// Another text with the seed's label, and for a harmful seed of its category.
    Prompt,
    /// The words of a harmful seed with a harmless intent.
    Twin,
    /// An answer to the seed, with its label.
    Response,
    /// The seed in another register, with its label.
    Register,
}

/// Where a round's classifier starts.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClassifierStart {
    /// The pretrained base, as in the paper.
    Base,
    /// The classifier of the round before.
    Previous,
}

/// How a judge's ratings are weighed: by rows that are held out, in every round.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CalibrationRecipe {
    /// Labelled rows of each language that the judge rates at most: half calibrate it, half measure
    /// it.
    pub rows: usize,
    /// Ratings that are right less often than this are not used; in [0, 1].
    pub least_precision: f64,
}

impl CalibrationRecipe {
    fn checks(&self) -> Vec<Check> {
        of_table(
            "game.calibration",
            [
                ("rows", self.rows >= 8, "at least 8"),
                (
                    "least_precision",
                    share(self.least_precision),
                    "a share in [0, 1]",
                ),
            ],
        )
    }
}

/// Direct preference optimisation of the generator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreferenceRecipe {
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
    /// How its steps are taken.
    #[serde(flatten)]
    pub optimizer: OptimizerRecipe,
}

impl GameRecipe {
    /// Puts the players of a table together; otherwise the key that does not fit, and what is
    /// expected.
    pub(super) fn new(
        table: GameTable,
        teacher: Option<&TeacherRecipe>,
    ) -> Result<Self, (&'static str, &'static str)> {
        Ok(Self {
            players: PlayersRecipe::new(table.generator, table.judge, teacher)?,
            rounds: table.rounds,
            seeds: table.seeds,
            languages: table.languages,
            kinds: table.kinds,
            proposals: table.proposals,
            temperature: table.temperature,
            top_p: table.top_p,
            max_tokens: table.max_tokens,
            length_difference: table.length_difference,
            least_yield: table.least_yield,
            correct_share: table.correct_share,
            balance: table.balance,
            replay: table.replay,
            exclude_categories: table.exclude_categories,
            classifier_from: table.classifier_from,
            benchmarks: table.benchmarks,
            most_minutes: table.most_minutes,
            most_megabytes: table.most_megabytes,
            calibration: table.calibration,
            preference: table.preference,
        })
    }

    pub(super) fn checks(&self, max_position: usize, languages: &[String]) -> Vec<Check> {
        let categories = self.exclude_categories.iter();
        let mut categories = categories.map(String::as_str);
        let mut kinds = self.kinds.clone();
        kinds.sort();
        kinds.dedup();
        let writes_english = !self.players.needs_lexicon();
        let mut checks = of_table(
            "game",
            [
                ("rounds", self.rounds > 0, "at least 1"),
                ("seeds", self.seeds > 1, "at least 2"),
                (
                    "languages",
                    !self.languages.is_empty(),
                    "at least one language",
                ),
                (
                    "languages",
                    writes_english || !self.languages.iter().any(|l| l == "en"),
                    "no en with an own generator or a consistency judge: the seeds are English, \
                     and these players translate their words",
                ),
                (
                    "languages",
                    self.languages.iter().all(|l| languages.contains(l)),
                    "languages that data.languages has too",
                ),
                (
                    "kinds",
                    !kinds.is_empty() && kinds.len() == self.kinds.len(),
                    "at least one of prompt, twin, response and register, each once",
                ),
                (
                    "kinds",
                    !self.players.is_own() || kinds == [ProposalKind::Prompt],
                    "prompt alone with an own generator, which cannot be told what to write",
                ),
                ("proposals", self.proposals > 0, "at least 1"),
                (
                    "temperature",
                    positive(self.temperature),
                    "a positive number",
                ),
                (
                    "top_p",
                    self.top_p > 0.0 && self.top_p <= 1.0,
                    "a share in (0, 1]",
                ),
                (
                    "max_tokens",
                    self.max_tokens > 0 && self.max_tokens <= max_position / 3,
                    "1 to a third of model.max_position, for a seed, a prefix and a proposal",
                ),
                (
                    "least_yield",
                    (0.0..1.0).contains(&self.least_yield),
                    "a share in [0, 1)",
                ),
                (
                    "correct_share",
                    share(self.correct_share),
                    "a share in [0, 1]",
                ),
                (
                    "most_minutes",
                    self.most_minutes.is_none_or(positive),
                    "a positive number",
                ),
                (
                    "most_megabytes",
                    self.most_megabytes.is_none_or(positive),
                    "a positive number",
                ),
                ("replay", (1..=100).contains(&self.replay), "1 to 100"),
                (
                    "exclude_categories",
                    categories.all(|c| CATEGORIES.contains(&c)),
                    "names of categories",
                ),
            ],
        );
        checks.push((
            "game.calibration".to_owned(),
            self.calibration.is_some() || !self.players.needs_calibration(),
            "a table with an ensemble as the judge: labelled rows say what its voters are worth",
        ));
        checks.extend(self.preference.checks());
        let calibration = self.calibration.iter();
        checks.extend(calibration.flat_map(CalibrationRecipe::checks));
        checks.extend(self.players.checks());
        checks
    }
}

impl PreferenceRecipe {
    fn checks(&self) -> Vec<Check> {
        let mut checks = of_table(
            "game.preference",
            [
                ("beta", positive(self.beta), "a positive number"),
                (
                    "rpo_alpha",
                    self.rpo_alpha.is_finite() && self.rpo_alpha >= 0.0,
                    "0 or more",
                ),
                ("epochs", self.epochs > 0, "at least 1"),
                ("batch_pairs", self.batch_pairs > 0, "at least 1"),
                ("accumulation", self.accumulation > 0, "at least 1"),
            ],
        );
        checks.extend(self.optimizer.checks("game.preference"));
        checks
    }
}
