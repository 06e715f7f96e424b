//! The linear teacher: what n-grams alone say of a text that they were not learned from.
//!
//! The rows fall into folds. One linear model is trained without each fold, and a text is judged by
//! the model that has seen neither it nor its translations: its doubts are those of a reader, not
//! of someone who knows the answer by heart.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::data::lexicon::Lexicon;
use crate::data::mixture::{Mixture, Target};
use crate::data::rows::{Corpus, ParallelRow};
use crate::model::linear::{Features, Linear};
use crate::recipe::{Recipe, TeacherRecipe};

/// One linear model per fold.
pub(crate) struct Teacher {
    folds: Vec<Linear>,
}

impl Teacher {
    /// Trains on the texts of `mixture`: deterministic, seconds to a minute.
    pub(crate) fn train(mut mixture: Mixture<'_>, recipe: &TeacherRecipe) -> Self {
        let mut folds: Vec<Linear> = (0..recipe.folds)
            .map(|_| Linear::new(recipe.learning_rate))
            .collect();
        let mut seen = 0;
        while seen < recipe.texts {
            let (_, texts) = mixture.next_pool(|drawn| {
                let target = match drawn.target {
                    Target::Safe => drawn.smoothing,
                    Target::Known | Target::UnknownCategory => 1.0 - drawn.smoothing,
                };
                let fold = fold(drawn.key, recipe.folds);
                (Features::of(&drawn.text), target, fold)
            });
            seen += texts.len();
            folds.par_iter_mut().enumerate().for_each(|(index, model)| {
                for (features, target, _) in texts.iter().filter(|(_, _, fold)| *fold != index) {
                    model.learn(features, *target);
                }
            });
        }
        Self { folds }
    }

    /// The probability that `text` is unsafe, by the model that was trained without `key`.
    pub(crate) fn probability(&self, text: &str, key: &str) -> f32 {
        sigmoid(self.folds[fold(key, self.folds.len())].logit(&Features::of(text)))
    }

    /// The probability that a text of no fold is unsafe: the mean of the models' logits.
    pub(crate) fn mean_probability(&self, text: &str) -> f32 {
        let features = Features::of(text);
        let sum: f32 = self.folds.iter().map(|model| model.logit(&features)).sum();
        sigmoid(sum / self.folds.len() as f32)
    }
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The fold of what `key` names: a text, or a group of translations.
pub(crate) fn fold(key: &str, folds: usize) -> usize {
    let hash = Sha256::digest(key);
    // Other bytes than the split into training and validation uses.
    u32::from_le_bytes([hash[8], hash[9], hash[10], hash[11]]) as usize % folds
}

/// The teacher's mixture: another order than the network's.
pub(crate) fn mixture<'a>(
    training: &'a Corpus,
    benign: &'a [ParallelRow],
    lexicon: Option<&'a Lexicon>,
    recipe: &'a Recipe,
) -> Mixture<'a> {
    Mixture::new(
        training,
        benign,
        lexicon,
        recipe,
        recipe.seed.wrapping_add(0x7EAC),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::rows::SeedRow;

    #[test]
    fn a_text_is_judged_without_knowledge_of_its_own_label() {
        let mut recipe = Recipe::parse(
            Path::new("r"),
            include_str!("../../../recipes/mini-linear.toml"),
        )
        .unwrap();
        recipe.classifier.label_smoothing = 0.0;
        recipe.classifier.sampling.source_smoothing.clear();
        let row = |text: String, is_unsafe| SeedRow {
            text,
            lang: "en".into(),
            is_unsafe,
            categories: 0,
            source: 0,
            group: None,
        };
        // A word decides the label, but for one text whose label is wrong and known by heart alone.
        let mut rows: Vec<SeedRow> = (0..60)
            .flat_map(|i| {
                [
                    row(format!("you fool number {i}"), true),
                    row(format!("warm bread number {i}"), false),
                ]
            })
            .collect();
        rows.push(row("warm bread zebra quilt".into(), true));
        let corpus = Corpus {
            rows,
            sources: vec!["s".into()],
        };
        let settings = TeacherRecipe {
            share: 0.5,
            folds: 3,
            texts: 20_000,
            learning_rate: 0.2,
        };
        let mixture = || mixture(&corpus, &[], None, &recipe);
        let teacher = Teacher::train(mixture(), &settings);
        let odd = "warm bread zebra quilt";
        assert!(
            teacher.probability(odd, odd) < 0.3,
            "{}",
            teacher.probability(odd, odd)
        );
        assert!(teacher.mean_probability(odd) > teacher.probability(odd, odd));
        let plain = "you fool number 7";
        assert!(teacher.probability(plain, plain) > 0.8);
        assert_eq!(
            Teacher::train(mixture(), &settings).probability(odd, odd),
            teacher.probability(odd, odd)
        );
    }
}
