//! The linear teacher of a recipe by itself: the baseline that a network has to beat.

use std::collections::BTreeMap;
use std::path::Path;

use duoguard_eval::Outcome;
use rayon::prelude::*;

use crate::data::lexicon::Lexicon;
use crate::data::rows::{Corpus, load_pairs, load_parallel, load_seed};
use crate::data::validation::split;
use crate::error::TrainError;
use crate::model::teacher::{self, Teacher};
use crate::recipe::Recipe;

/// A linear model of n-grams, trained as a recipe's `[classifier.teacher]` says.
pub struct LinearBaseline {
    teacher: Teacher,
    validation: Corpus,
    held_out_sources: Vec<String>,
}

impl LinearBaseline {
    /// Trains on the recipe's data, whose paths are relative to `data`; `None` where the recipe has
    /// no `[classifier.teacher]`.
    ///
    /// # Errors
    /// Data that cannot be read; the message names file, line and field.
    pub fn train(recipe: &Recipe, data: &Path) -> Result<Option<Self>, TrainError> {
        let Some(settings) = &recipe.classifier.teacher else {
            return Ok(None);
        };
        let corpus = load_seed(data, &recipe.data)?;
        let parallel = load_parallel(data, &recipe.data)?;
        let pairs = load_pairs(data, &recipe.data)?;
        let (training, validation) = split(&corpus, recipe);
        let lexicon = (recipe.classifier.sampling.code_switch > 0.0)
            .then(|| Lexicon::learn_all(&pairs, &parallel, &recipe.data.languages));
        let mixture = teacher::mixture(&training, &parallel, lexicon.as_ref(), recipe);
        Ok(Some(Self {
            teacher: Teacher::train(mixture, settings),
            validation,
            held_out_sources: recipe.data.held_out_sources.clone(),
        }))
    }

    /// The probability that a text is unsafe, in [0, 1]: the mean of the folds' logits.
    pub fn score(&self, text: &str) -> f32 {
        self.teacher.mean_probability(text)
    }

    /// The validation rows' outcomes at the threshold 0.5, by language and for `all`; with
    /// `unseen-` before it for rows whose whole source is held out.
    pub fn validate(&self) -> BTreeMap<String, Vec<Outcome>> {
        let rows = &self.validation.rows;
        let scores: Vec<f32> = rows.par_iter().map(|row| self.score(&row.text)).collect();
        let mut outcomes: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
        for (row, &score) in rows.iter().zip(&scores) {
            let source = &self.validation.sources[row.source];
            let kind = match self.held_out_sources.contains(source) {
                true => "unseen-",
                false => "",
            };
            for language in [row.lang.as_str(), "all"] {
                let of_language = outcomes.entry(format!("{kind}{language}")).or_default();
                of_language.push(Outcome {
                    score,
                    flagged: score > 0.5,
                    label: row.is_unsafe,
                });
            }
        }
        outcomes
    }
}
