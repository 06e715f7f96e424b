//! The table `[data]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::range::{Check, of_table};

/// What to train on. Paths are relative to the data folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataRecipe {
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
    /// The file that says under which licence each source is, relative to the recipe's folder.
    pub sources: PathBuf,
    /// Sources of the sentence pairs, whose lines name none.
    #[serde(default)]
    pub pair_sources: Vec<String>,
}

impl DataRecipe {
    pub(super) fn checks(&self) -> Vec<Check> {
        let seed_languages = self
            .seed_languages
            .as_ref()
            .is_none_or(|seed| !seed.is_empty() && seed.iter().all(|l| self.languages.contains(l)));
        of_table(
            "data",
            [
                ("seed", !self.seed.is_empty(), "at least one file or folder"),
                (
                    "languages",
                    !self.languages.is_empty(),
                    "at least one language",
                ),
                (
                    "seed_languages",
                    seed_languages,
                    "at least one language, each of them among data.languages",
                ),
                (
                    "validation_fraction",
                    self.validation_fraction > 0.0 && self.validation_fraction <= 0.5,
                    "a fraction in (0, 0.5]",
                ),
            ],
        )
    }
}
