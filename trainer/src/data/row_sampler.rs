//! Which row comes next: a language, then a label, then a source, then a row.
//!
//! Half of the unsafe rows are hate speech and most rows are English; drawn as they come,
//! the classifier would learn where a row is from before it learns what it says.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::data::rows::Corpus;
use crate::recipe::SamplingRecipe;

/// Rows of one language, label and source, drawn without replacement: each once before any
/// comes again, in a new order.
struct Stratum {
    rows: Vec<usize>,
    weight: f64,
    next: usize,
}

/// Cells of one language and label.
struct LabelStrata {
    strata: Vec<Stratum>,
    rows: usize,
}

/// Draws rows of a corpus; the same seed gives the same endless sequence.
pub(crate) struct RowSampler {
    /// (weight, [safe, unsafe]) of each language.
    languages: Vec<(f64, [LabelStrata; 2])>,
    balance_labels: bool,
    rng: ChaCha8Rng,
}

impl RowSampler {
    /// A sampler over `corpus`.
    pub(crate) fn new(corpus: &Corpus, recipe: &SamplingRecipe, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut by_language: BTreeMap<&str, [BTreeMap<usize, Vec<usize>>; 2]> = BTreeMap::new();
        for (index, row) in corpus.rows.iter().enumerate() {
            let labels = by_language.entry(&row.lang).or_default();
            labels[usize::from(row.is_unsafe)]
                .entry(row.source)
                .or_default()
                .push(index);
        }
        let languages = by_language
            .into_iter()
            .map(|(language, labels)| {
                let labels = labels.map(|sources| label(sources, corpus, recipe, &mut rng));
                let rows = labels[0].rows + labels[1].rows;
                let factor = recipe.language_weight.get(language).unwrap_or(&1.0);
                ((rows as f64).powf(recipe.language_power) * factor, labels)
            })
            .collect();
        Self {
            languages,
            balance_labels: recipe.balance_labels,
            rng,
        }
    }

    /// The index of the next row in the corpus.
    pub(crate) fn draw(&mut self) -> usize {
        let language = weighted(
            &mut self.rng,
            self.languages.iter().map(|(weight, _)| *weight),
        );
        let labels = &mut self.languages[language].1;
        let label = weighted(
            &mut self.rng,
            labels
                .iter()
                .map(|label| match (label.rows, self.balance_labels) {
                    (0, _) => 0.0,
                    (_, true) => 1.0,
                    (rows, false) => rows as f64,
                }),
        );
        let strata = &mut labels[label].strata;
        let stratum = weighted(&mut self.rng, strata.iter().map(|stratum| stratum.weight));
        let stratum = &mut strata[stratum];
        if stratum.next == stratum.rows.len() {
            stratum.rows.shuffle(&mut self.rng);
            stratum.next = 0;
        }
        stratum.next += 1;
        stratum.rows[stratum.next - 1]
    }
}

fn label(
    sources: BTreeMap<usize, Vec<usize>>,
    corpus: &Corpus,
    recipe: &SamplingRecipe,
    rng: &mut ChaCha8Rng,
) -> LabelStrata {
    let strata: Vec<Stratum> = sources
        .into_iter()
        .map(|(source, mut rows)| {
            rows.shuffle(rng);
            let counted = if recipe.source_cap == 0 {
                rows.len()
            } else {
                rows.len().min(recipe.source_cap)
            };
            let factor = recipe
                .source_weight
                .get(&corpus.sources[source])
                .copied()
                .unwrap_or(1.0);
            Stratum {
                weight: (counted as f64).powf(recipe.source_power) * factor,
                rows,
                next: 0,
            }
        })
        .collect();
    let rows = strata.iter().map(|stratum| stratum.rows.len()).sum();
    LabelStrata { strata, rows }
}

/// An index drawn with probability proportional to its weight.
fn weighted(rng: &mut ChaCha8Rng, weights: impl Iterator<Item = f64> + Clone) -> usize {
    let mut at = rng.random::<f64>() * weights.clone().sum::<f64>();
    let mut last = 0;
    for (index, weight) in weights.enumerate().filter(|(_, weight)| *weight > 0.0) {
        last = index;
        at -= weight;
        if at < 0.0 {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::rows::SeedRow;
    use crate::recipe::Recipe;

    #[test]
    fn draws_follow_the_recipe_and_repeat_with_the_seed() {
        let mut recipe = Recipe::parse(
            Path::new("r"),
            include_str!("../../../recipes/mini-linear.toml"),
        )
        .unwrap()
        .classifier
        .sampling;
        recipe.language_power = 0.5;
        recipe.source_power = 0.0;
        recipe.balance_labels = true;
        recipe.source_weight = [("b".to_owned(), 3.0)].into();
        let mut corpus = Corpus {
            rows: vec![],
            sources: vec!["a".into(), "b".into()],
        };
        for (lang, is_unsafe, source, count) in [
            ("en", true, 0, 80),
            ("en", true, 1, 10),
            ("en", false, 0, 10),
            ("de", false, 0, 25),
        ] {
            for i in 0..count {
                corpus.rows.push(SeedRow {
                    text: i.to_string(),
                    lang: lang.into(),
                    is_unsafe,
                    categories: 0,
                    source,
                    group: None,
                });
            }
        }
        let draws = |seed| -> Vec<usize> {
            let mut sampler = RowSampler::new(&corpus, &recipe, seed);
            (0..30_000).map(|_| sampler.draw()).collect()
        };
        let drawn = draws(5);
        assert_eq!(drawn, draws(5));
        assert_ne!(drawn, draws(6));
        let share = |f: &dyn Fn(&SeedRow) -> bool| {
            drawn.iter().filter(|&&i| f(&corpus.rows[i])).count() as f64 / 30_000.0
        };
        // Languages as sqrt(100) : sqrt(25); labels evenly; sources 1 : 3.
        for (found, expected) in [
            (share(&|r| r.lang == "en"), 2.0 / 3.0),
            (share(&|r| r.is_unsafe), 1.0 / 3.0),
            (share(&|r| r.is_unsafe && r.source == 1), 0.25),
        ] {
            assert!((found - expected).abs() < 0.02, "{found} {expected}");
        }
        // Every row of a stratum is drawn before any comes again.
        let safe_german: Vec<usize> = drawn
            .iter()
            .copied()
            .filter(|&i| corpus.rows[i].lang == "de")
            .take(25)
            .collect();
        let mut distinct = safe_german.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 25);
    }
}
