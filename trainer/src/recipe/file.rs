//! A recipe file as a whole: its text, its tables, and what they must be together.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::classifier::ClassifierRecipe;
use super::compute::{ComputeRecipe, Precision};
use super::data::DataRecipe;
use super::distill::DistillRecipe;
use super::error::RecipeError;
use super::game::{GameRecipe, GameTable};
use super::model::{BaseRecipe, ModelRecipe, Start, TokenizerRecipe};
use super::optimizer::OptimizerRecipe;
use super::pretrain::PretrainRecipe;
use super::range::Check;
use super::sources::Sources;

/// A whole recipe.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Names the run's folder and the model; letters, digits, `-` and `_`.
    pub(crate) name: String,
    /// Every random choice of the run follows from it.
    pub(crate) seed: u64,
    /// What to train on.
    pub(crate) data: DataRecipe,
    /// The licences of the sources in it.
    pub(crate) sources: Sources,
    /// Where the run starts.
    pub(crate) start: Start,
    /// Stage 1.
    pub(crate) classifier: ClassifierRecipe,
    /// The teacher of stage 1; absent: none.
    pub(crate) distill: Option<DistillRecipe>,
    /// How the stages compute.
    pub(crate) compute: ComputeRecipe,
    /// The two-player game; absent: round 0 alone.
    pub(crate) game: Option<GameRecipe>,
    /// The file's text, kept with the run and in the model's provenance.
    pub(crate) text: String,
}

/// The tables as a file has them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    name: String,
    seed: u64,
    data: DataRecipe,
    #[serde(default)]
    base: Option<BaseRecipe>,
    #[serde(default)]
    tokenizer: Option<TokenizerRecipe>,
    #[serde(default)]
    model: Option<ModelRecipe>,
    #[serde(default)]
    pretrain: Option<PretrainRecipe>,
    classifier: ClassifierRecipe,
    #[serde(default)]
    distill: Option<DistillRecipe>,
    #[serde(default)]
    compute: ComputeRecipe,
    #[serde(default)]
    game: Option<GameTable>,
}

/// Tables whose optimizer's keys are flattened into them.
const STAGE_TABLES: [&str; 4] = [
    "pretrain",
    "classifier",
    "game.generator.translation",
    "game.preference",
];

impl Recipe {
    /// Reads and validates a recipe, and the file of sources that it refers to.
    ///
    /// # Errors
    /// Unreadable file, broken TOML, unknown or missing key, a value of the wrong type or
    /// out of its range.
    pub fn load(path: &Path) -> Result<Self, RecipeError> {
        let text = fs::read_to_string(path)
            .map_err(|e| RecipeError::new(path, None, format!("cannot read the recipe: {e}")))?;
        let mut recipe = Self::parse(path, &text)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        recipe.sources = Sources::load(&folder.join(&recipe.data.sources))?;
        if let Some(distill) = &mut recipe.distill {
            distill.teacher = folder.join(&distill.teacher);
        }
        Ok(recipe)
    }

    /// Parses a recipe's text; `path` is for messages. It knows no sources yet.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, RecipeError> {
        check_optimizer_types(path, text)?;
        let text = duoguard::strip_byte_order_mark(text);
        let tables: Tables = toml::from_str(text).map_err(|e| {
            let line = e.span().map(|span| line_of(text, span.start));
            let line = unknown_key(e.message())
                .and_then(|key| line_of_name(text, line, key))
                .or(line);
            RecipeError::new(path, line, e.message())
        })?;
        let refuse = |key: &str, expected: &str| {
            let reason = format!("{key}: expected {expected}");
            RecipeError::new(path, line_of_key(text, key), reason)
        };
        let start = match (tables.base, tables.tokenizer, tables.model, tables.pretrain) {
            (Some(base), None, None, None) => Start::Checkpoint(base),
            (None, Some(tokenizer), Some(model), Some(pretrain)) => Start::Scratch {
                tokenizer,
                model,
                pretrain,
            },
            _ => {
                let expected = "either [base] alone, or [tokenizer], [model] and [pretrain]";
                return Err(refuse("base", expected));
            }
        };
        let teacher = tables.classifier.teacher.as_ref();
        let game = tables.game.map(|table| GameRecipe::new(table, teacher));
        let game = game
            .transpose()
            .map_err(|(key, expected)| refuse(key, expected))?;
        let recipe = Self {
            name: tables.name,
            seed: tables.seed,
            data: tables.data,
            sources: Sources::default(),
            start,
            classifier: tables.classifier,
            distill: tables.distill,
            compute: tables.compute,
            game,
            text: text.to_owned(),
        };
        match recipe.checks().into_iter().find(|(_, holds, _)| !holds) {
            Some((key, _, expected)) => Err(refuse(&key, expected)),
            None => Ok(recipe),
        }
    }

    /// Every range a value must be in.
    fn checks(&self) -> Vec<Check> {
        let max_position = self.start.max_position();
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let named = !self.name.is_empty() && self.name.chars().all(is_allowed);
        let name = "name".to_owned();
        let mut checks = vec![(name, named, "letters, digits, - and _ only")];
        checks.extend(self.data.checks());
        checks.extend(self.start.checks());
        checks.extend(self.classifier.checks(max_position));
        checks.extend(self.compute.checks());
        checks.extend(self.encoder_checks());
        let watches = !self.data.held_out_sources.is_empty();
        checks.push((
            "classifier.patience".to_owned(),
            self.classifier.patience == 0 || watches,
            "0 without data.held_out_sources, whose rows say when to end",
        ));
        checks.extend(self.distill_checks());
        if let Some(game) = &self.game {
            checks.extend(game.checks(max_position, &self.data.languages));
        }
        checks
    }

    /// What holds where the run starts from an encoder, and where it does not.
    fn encoder_checks(&self) -> Vec<Check> {
        let is_encoder = self.start.encoder().is_some();
        let is_plain = self.compute.precision == Precision::F32 && !self.compute.recompute_layers;
        let none = self.classifier.token_dropout == 0.0;
        let head = self.classifier.language_head.as_ref();
        let check = |key: &str, holds: bool, expected| (key.to_owned(), holds, expected);
        vec![
            check(
                "compute",
                !is_encoder || is_plain,
                "precision \"f32\" and recompute_layers false with [base.encoder]",
            ),
            check(
                "classifier.token_dropout",
                !is_encoder || none,
                "0 with [base.encoder]",
            ),
            check(
                "game.generator.kind",
                !is_encoder || !self.game.as_ref().is_some_and(|game| game.players.is_own()),
                "checkpoint or endpoint with [base.encoder]: an encoder cannot write",
            ),
            check(
                "classifier.linear_probe",
                is_encoder || self.classifier.linear_probe.is_none(),
                "no table without [base.encoder]",
            ),
            check(
                "classifier.base_share",
                is_encoder || self.classifier.base_share == 0.0,
                "0 without [base.encoder]",
            ),
            check(
                "classifier.language_head",
                is_encoder || self.distill.is_some() || head.is_none(),
                "no table without [base.encoder] or [distill]",
            ),
            check(
                "classifier.language_head.tuning",
                is_encoder || head.is_none_or(|head| head.tuning.is_none()),
                "no table without [base.encoder]",
            ),
        ]
    }

    /// What holds of a recipe with a teacher.
    fn distill_checks(&self) -> Vec<Check> {
        let Some(distill) = &self.distill else {
            return Vec::new();
        };
        let from_scratch = matches!(self.start, Start::Scratch { .. });
        let is_alone = self.game.is_none() && self.classifier.teacher.is_none();
        let mut checks = distill.checks();
        checks.push((
            "distill".to_owned(),
            from_scratch && is_alone,
            "[tokenizer], [model] and [pretrain], and neither [game] nor [classifier.teacher]",
        ));
        checks
    }

    /// Hex sha256 of the recipe's text.
    pub fn sha256(&self) -> String {
        Sha256::digest(self.text.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Flattened values lose their keys and lines before their type is known to be wrong, so that
/// those of the optimizers are looked at first.
fn check_optimizer_types(path: &Path, text: &str) -> Result<(), RecipeError> {
    // What is no TOML is refused, with its line, when it is read again.
    let Ok(root) = text.parse::<toml::Table>() else {
        return Ok(());
    };
    let root = toml::Value::Table(root);
    for table in STAGE_TABLES {
        let value = |key: &str| {
            let parts = table.split('.').chain([key]);
            parts
                .into_iter()
                .try_fold(&root, |value, part| value.get(part))
        };
        let numbers = OptimizerRecipe::NUMBERS.map(|key| (key, false));
        let whole = OptimizerRecipe::WHOLE_NUMBERS.map(|key| (key, true));
        for (key, is_whole) in numbers.into_iter().chain(whole) {
            let Some(found) = value(key) else { continue };
            if found.is_integer() || (found.is_float() && !is_whole) {
                continue;
            }
            let expected = if is_whole {
                "a whole number"
            } else {
                "a number"
            };
            let key = format!("{table}.{key}");
            let reason = format!("{key}: expected {expected}, found {found}");
            return Err(RecipeError::new(path, line_of_key(text, &key), reason));
        }
    }
    Ok(())
}

/// The key that a message of the parser does not know.
fn unknown_key(message: &str) -> Option<&str> {
    let key = message.strip_prefix("unknown field `")?;
    Some(key.split_once('`')?.0)
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}

/// The name that a line sets, if it sets one.
fn set_name(line: &str) -> Option<&str> {
    Some(line.split_once('=')?.0.trim())
}

/// The first line at or after `from` that sets `name`.
fn line_of_name(text: &str, from: Option<usize>, name: &str) -> Option<usize> {
    let mut lines = text
        .lines()
        .enumerate()
        .skip(from.map_or(0, |line| line - 1));
    lines.find_map(|(index, line)| (set_name(line) == Some(name)).then_some(index + 1))
}

/// The line where a dotted key is set, found by its table header and its last part.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let (table, name) = match key.rsplit_once('.') {
        Some((table, name)) => (table, name),
        None => ("", key),
    };
    let mut current = "";
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some((header, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            current = header.trim();
            if current == key {
                return Some(index + 1);
            }
        } else if current == table && set_name(line) == Some(name) {
            return Some(index + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests;
