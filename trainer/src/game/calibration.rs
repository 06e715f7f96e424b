//! What a judge's ratings are worth: measured every round on labelled rows that nobody has learned
//! from, in every language.
//!
//! Of the rows held out in a language, half say how likely each rating is to stand for an unsafe
//! text, and the other half how often the judge is then right. Ratings that are right too rarely
//! are not used.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::data::rows::{Corpus, SeedRow};
use crate::error::TrainError;
use crate::game::judge::{
    HELD_OUT, JudgeRequest, Labelled, Rating, Voter, agrees, rating_of_probability,
};
use crate::game::reviewed::{Review, Verdict};
use crate::recipe::CalibrationRecipe;

/// The file in a round's folder.
pub(crate) const JUDGE_FILE: &str = "judge.json";
/// Rows of all languages that a language's own are weighed against: where a language has few, what
/// a rating means elsewhere counts.
const PRIOR_ROWS: f64 = 10.0;
/// Ratings are 1 to 5.
const RATINGS: usize = 5;

/// What a judge's ratings mean in each language, and how good they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Calibration {
    /// Language -> probability that a text of rating 1, 2, 3, 4 and 5 is unsafe.
    pub unsafe_probability: BTreeMap<String, [f64; RATINGS]>,
    /// Of the rows that were not calibrated on, and of reviewed proposals.
    pub quality: Vec<Quality>,
    /// A rating is used from this precision on.
    pub least_precision: f64,
    /// How good each of its voters is on the rows that were not calibrated on, and all together;
    /// empty for a judge without voters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub voters: Vec<Voter>,
}

/// How good a judge is on the rows of one kind and language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quality {
    /// What was rated: a row held out, or proposals of a kind that people reviewed.
    pub kind: String,
    /// Language tag.
    pub language: String,
    /// Rows that were rated.
    pub rows: usize,
    /// Of the texts rated safe and unsafe, how many are; absent where there is none.
    pub precision: [Option<f64>; 2],
    /// Of the safe and unsafe texts, how many are rated so; absent where there is none.
    pub recall: [Option<f64>; 2],
}

/// The rows that a judge is calibrated and measured on: of each language as many as the recipe
/// says, half of them unsafe where there are enough, and what people reviewed.
pub(crate) fn labelled_rows<'a>(
    held_out: &'a Corpus,
    reviews: &'a [Review],
    languages: &'a [String],
    excluded: u16,
    recipe: &CalibrationRecipe,
) -> Vec<Labelled<'a>> {
    let english: HashMap<&str, &SeedRow> = held_out
        .rows
        .iter()
        .filter(|row| row.lang == "en")
        .map(|row| (row.key(), row))
        .collect();
    let mut labelled = Vec::new();
    for language in languages {
        for is_unsafe in [false, true] {
            let rows = held_out.rows.iter().filter(|row| {
                row.lang == *language
                    && row.is_unsafe == is_unsafe
                    && row.categories & excluded == 0
            });
            let rows: Vec<&SeedRow> = rows.collect();
            let wanted = (recipe.rows / 2).min(rows.len());
            // Evenly from all of them: neighbours are of one source.
            let chosen = (0..wanted).map(|index| rows[index * rows.len() / wanted]);
            labelled.extend(chosen.enumerate().map(|(index, row)| {
                let seed = english.get(row.key()).copied().unwrap_or(row);
                Labelled {
                    request: JudgeRequest {
                        text: &row.text,
                        language,
                        seed_text: &seed.text,
                        seed_key: row.key(),
                    },
                    kind: HELD_OUT,
                    is_unsafe,
                    calibrates: index % 2 == 0,
                }
            }));
        }
    }
    let told = reviews.iter().filter(|r| r.verdict != Verdict::Unclear);
    labelled.extend(told.map(|review| Labelled {
        request: JudgeRequest {
            text: &review.text,
            language: &review.lang,
            seed_text: &review.seed_text,
            seed_key: &review.group,
        },
        kind: review.kind.name(),
        is_unsafe: review.verdict == Verdict::Unsafe,
        calibrates: false,
    }));
    labelled
}

impl Calibration {
    /// From the ratings of labelled rows, in their order.
    ///
    /// # Errors
    /// A language in which no row has a rating.
    pub(crate) fn new(
        labelled: &[Labelled<'_>],
        ratings: &[Rating],
        languages: &[String],
        recipe: &CalibrationRecipe,
    ) -> Result<Self, TrainError> {
        let rated: Vec<(&Labelled<'_>, usize)> = labelled
            .iter()
            .zip(ratings)
            .filter_map(|(row, rating)| match rating {
                Rating::Unsafety(rating) => Some((row, usize::from(*rating) - 1)),
                Rating::Unrelated | Rating::Unparseable => None,
            })
            .collect();
        // [rating][label] of the rows that calibrate.
        let counts = |wanted: &dyn Fn(&str) -> bool| {
            let mut counts = [[0.0; 2]; RATINGS];
            for (row, rating) in &rated {
                if row.calibrates && wanted(row.request.language) {
                    counts[*rating][usize::from(row.is_unsafe)] += 1.0;
                }
            }
            counts
        };
        let everywhere =
            counts(&|_| true).map(|[safe, unsafe_]| (unsafe_ + 1.0) / (safe + unsafe_ + 2.0));
        let mut unsafe_probability = BTreeMap::new();
        for language in languages {
            let own = counts(&|l| l == language);
            if own.iter().flatten().sum::<f64>() == 0.0 {
                return Err(TrainError::Calibration(language.clone()));
            }
            let mut levels = [(0.0, 0.0); RATINGS];
            for ((level, [safe, unsafe_]), prior) in levels.iter_mut().zip(own).zip(everywhere) {
                let rows = safe + unsafe_ + PRIOR_ROWS;
                *level = ((unsafe_ + PRIOR_ROWS * prior) / rows, rows);
            }
            unsafe_probability.insert(language.clone(), rising(levels));
        }
        let mut calibration = Self {
            unsafe_probability,
            quality: Vec::new(),
            least_precision: recipe.least_precision,
            voters: Vec::new(),
        };
        calibration.measure(&rated);
        Ok(calibration)
    }

    fn measure(&mut self, rated: &[(&Labelled<'_>, usize)]) {
        // [said unsafe][is unsafe]
        let mut counts: BTreeMap<(&str, &str), [[usize; 2]; 2]> = BTreeMap::new();
        for (row, rating) in rated.iter().filter(|(row, _)| !row.calibrates) {
            let language = row.request.language;
            let Some(rating) = self.calibrated(language, *rating as u8 + 1) else {
                continue;
            };
            let of = counts.entry((row.kind, language)).or_default();
            of[usize::from(agrees(rating, true))][usize::from(row.is_unsafe)] += 1;
        }
        let share = |of: usize, all: usize| (all > 0).then(|| of as f64 / all as f64);
        let quality = counts.into_iter().map(|((kind, language), of)| Quality {
            kind: kind.to_owned(),
            language: language.to_owned(),
            rows: of.iter().flatten().sum(),
            precision: [0, 1].map(|side| share(of[side][side], of[side].iter().sum())),
            recall: [0, 1].map(|side| share(of[side][side], of[0][side] + of[1][side])),
        });
        self.quality = quality.collect();
    }

    /// What a rating is worth in a language: a fifth of its probability; `None` where the language
    /// is not calibrated.
    fn calibrated(&self, language: &str, rating: u8) -> Option<u8> {
        let probability = self.unsafe_probability.get(language)?[usize::from(rating) - 1];
        Some(rating_of_probability(probability as f32))
    }

    /// The rating that is used in place of the judge's; `None` where the judge is right too rarely
    /// about texts that it rates so.
    pub(crate) fn used(&self, language: &str, rating: u8) -> Option<u8> {
        let rating = self.calibrated(language, rating)?;
        let side = usize::from(agrees(rating, true));
        let mut quality = self.quality.iter();
        let measured = quality.find(|q| q.kind == HELD_OUT && q.language == language)?;
        (measured.precision[side]? >= self.least_precision).then_some(rating)
    }
}

/// The nearest probabilities that never fall as the rating rises (pool adjacent violators), of
/// (probability, rows) for each rating.
fn rising(levels: [(f64, f64); RATINGS]) -> [f64; RATINGS] {
    // (probability, rows, ratings)
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (probability, rows) in levels {
        pools.push((probability, rows, 1));
        while let [.., a, b] = pools[..]
            && a.0 > b.0
        {
            pools.truncate(pools.len() - 2);
            let rows = a.1 + b.1;
            pools.push(((a.0 * a.1 + b.0 * b.1) / rows, rows, a.2 + b.2));
        }
    }
    let mut rising = [0.0; RATINGS];
    let values = pools
        .iter()
        .flat_map(|(value, _, ratings)| std::iter::repeat_n(*value, *ratings));
    rising
        .iter_mut()
        .zip(values)
        .for_each(|(to, value)| *to = value);
    rising
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Corpus {
        let row = |index: usize, lang: &str, is_unsafe: bool| SeedRow {
            text: format!("{lang} {index} {is_unsafe}"),
            lang: lang.to_owned(),
            is_unsafe,
            categories: 0,
            source: 0,
            group: None,
        };
        let rows = (0..80).flat_map(|index| {
            ["de", "fr"]
                .into_iter()
                .flat_map(move |lang| [false, true].map(|is_unsafe| row(index, lang, is_unsafe)))
        });
        Corpus {
            rows: rows.collect(),
            sources: vec!["s".to_owned()],
        }
    }

    #[test]
    fn ratings_are_worth_what_they_are_in_their_language() {
        let corpus = corpus();
        let languages = ["de".to_owned(), "fr".to_owned()];
        let recipe = CalibrationRecipe {
            rows: 100,
            least_precision: 0.8,
        };
        let labelled = labelled_rows(&corpus, &[], &languages, 0, &recipe);
        assert_eq!(labelled.len(), 200);
        // In German the judge says 2 of all that is harmful and 1 of the rest; in French it
        // guesses.
        let ratings: Vec<Rating> = labelled
            .iter()
            .enumerate()
            .map(|(index, row)| match row.request.language {
                "de" => Rating::Unsafety(1 + u8::from(row.is_unsafe)),
                _ => Rating::Unsafety(1 + (index / 2 % 2) as u8),
            })
            .collect();
        let calibration = Calibration::new(&labelled, &ratings, &languages, &recipe).unwrap();
        assert_eq!(calibration.used("de", 1), Some(1));
        assert!(
            calibration
                .used("de", 2)
                .is_some_and(|rating| agrees(rating, true))
        );
        assert_eq!(calibration.used("fr", 1), None);
        assert_eq!(calibration.used("fr", 2), None);
        assert_eq!(calibration.used("es", 1), None);
        let german = &calibration.quality[0];
        assert_eq!((german.kind.as_str(), german.rows), (HELD_OUT, 50));
        assert_eq!(german.precision, [Some(1.0), Some(1.0)]);
        assert_eq!(german.recall, [Some(1.0), Some(1.0)]);

        let none = [Rating::Unparseable; 200];
        let error = Calibration::new(&labelled, &none, &languages, &recipe);
        assert!(error.unwrap_err().to_string().contains("\"de\""));
    }

    #[test]
    fn probabilities_never_fall() {
        let even = |values: [f64; RATINGS]| values.map(|value| (value, 1.0));
        assert_eq!(
            rising(even([0.1, 0.2, 0.3, 0.4, 0.5])),
            [0.1, 0.2, 0.3, 0.4, 0.5]
        );
        let found = rising(even([0.2, 0.5, 0.1, 0.9, 0.7]));
        let expected = [0.2, 0.3, 0.3, 0.8, 0.8];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }
}
