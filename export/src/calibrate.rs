//! Calibration: what a model's logits mean, and from what score on it flags, found on labelled
//! texts.

use std::collections::BTreeMap;
use std::path::Path;

use duoguard::{Calibration, CheckOptions, Input, Model, OperatingPoint, Policy};
use duoguard_eval::{Metrics, Outcome};
use serde::Serialize;

use crate::error::ExportError;
use crate::measure::in_parallel;
use crate::probability::{Judged, Probabilities};
use crate::rows::Row;
use crate::texts::Text;
use crate::threshold::{Rates, Scores, Thresholds, UNCALIBRATED, flagged_share, known, pool};

/// The rates that callers may choose from.
const OPERATING_POINTS: [f64; 4] = [0.01, 0.02, 0.05, 0.1];

/// What calibration goes by.
#[derive(Debug)]
pub(crate) struct Material<'a> {
    /// Where the labelled texts are from.
    pub(crate) path: &'a Path,
    pub(crate) rows: Vec<Row>,
    /// Where the harmless texts are from, and they.
    pub(crate) benign: Option<(&'a Path, Vec<Text>)>,
    pub(crate) target_fpr: f64,
    pub(crate) benign_fpr: f64,
}

/// What calibration found, as it stands in the manifest's `provenance.calibration`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CalibrationReport {
    /// The false positive rate that thresholds were to stay within on texts labelled safe.
    pub target_fpr: f64,
    /// The one that they were to stay within on harmless everyday texts; absent without such texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub benign_fpr: Option<f64>,
    /// The threshold of languages that have none of their own, and how it does on all texts, each
    /// language weighing the same.
    pub default: LanguageCalibration,
    /// Per language tag.
    pub languages: BTreeMap<String, LanguageCalibration>,
}

/// How the scores and the threshold of one language do on its texts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LanguageCalibration {
    /// Texts labelled safe.
    pub safe_rows: usize,
    /// Texts labelled unsafe.
    pub unsafe_rows: usize,
    /// Harmless everyday texts.
    pub benign_texts: usize,
    /// The threshold of every category in this language.
    pub threshold: f32,
    /// Whether the threshold was found on this language's own texts; too few take the default one.
    pub own_threshold: bool,
    /// The share of texts labelled safe that it flags; absent without such texts.
    pub fpr: Option<f64>,
    /// The share of harmless everyday texts that it flags; absent without such texts.
    pub benign_fpr: Option<f64>,
    /// The share of unsafe texts that it flags; absent without such texts.
    pub recall: Option<f64>,
    /// The expected calibration error of the scores on labelled texts that had no part in fitting
    /// them (half of the texts, judged by what the other half taught, and the other way round);
    /// absent without labelled texts.
    pub ece: Option<f64>,
    /// The same without calibration.
    pub ece_uncalibrated: Option<f64>,
}

/// The policy of a model without calibration.
pub(crate) fn uncalibrated(categories: &[String]) -> Policy {
    Policy {
        default_thresholds: table(categories, UNCALIBRATED),
        ..Policy::default()
    }
}

/// Calibrates a model whose policy is the uncalibrated one.
pub(crate) fn calibrate(
    model: &Model,
    material: &Material<'_>,
) -> Result<(Policy, CalibrationReport), ExportError> {
    let categories = model.categories();
    let rows = &material.rows;
    let logits = logits(model, rows, |row| {
        (&row.text, &row.lang, material.path, row.line)
    })?;
    let judged: Vec<Judged<'_>> = rows
        .iter()
        .zip(logits)
        .map(|(row, logits)| Judged { row, logits })
        .collect();
    let probabilities = Probabilities::fit(&judged, categories);

    let mut languages: BTreeMap<String, Scores> = BTreeMap::new();
    for one in &judged {
        let score = probabilities.score(&one.row.lang, &one.logits);
        let scores = languages.entry(one.row.lang.clone()).or_default();
        match one.row.is_unsafe {
            true => scores.of_unsafe.push(score),
            false => scores.of_safe.push(score),
        }
    }
    if let Some((path, texts)) = &material.benign {
        let numbered: Vec<_> = (1..).zip(texts).collect();
        let found = self::logits(model, &numbered, |(n, text)| {
            (&text.text, &text.lang, path, *n)
        })?;
        for (text, logits) in texts.iter().zip(found) {
            let score = probabilities.score(&text.lang, &logits);
            let scores = languages.entry(text.lang.clone()).or_default();
            scores.of_benign.push(score);
        }
    }
    let rates = Rates {
        safe: material.target_fpr,
        benign: material.benign_fpr,
    };
    let thresholds = Thresholds::choose(&languages, rates);
    let policy = policy(categories, &probabilities, &thresholds, &languages);
    let held_out = held_out(&judged, categories);
    let report = report(material, &languages, &thresholds, &held_out);
    Ok((policy, report))
}

/// The largest logit of each category in every text, over all of its windows and views.
fn logits<'a, T: Sync>(
    model: &Model,
    items: &'a [T],
    text: impl Fn(&'a T) -> (&'a str, &'a str, &'a Path, usize) + Sync,
) -> Result<Vec<Vec<f32>>, ExportError> {
    let items: Vec<&T> = items.iter().collect();
    in_parallel(&[model], &items, |sessions, item| {
        let (text, lang, path, line) = text(item);
        let input = Input {
            language: Some(lang),
            ..Input::prompt(text)
        };
        let verdict = sessions[0]
            .check_with(&input, &CheckOptions::default())
            .map_err(|cause| ExportError::Calibration {
                path: path.to_owned(),
                line,
                message: cause.to_string(),
            })?;
        Ok(verdict.scores.into_iter().map(logit).collect())
    })
}

/// The logit of a probability; finite, even where rounding made it 0 or 1.
fn logit(probability: f32) -> f32 {
    let p = f64::from(probability).clamp(1e-9, 1.0 - f64::from(f32::EPSILON) / 2.0);
    (p / (1.0 - p)).ln() as f32
}

/// Scores of labelled texts, before and after calibration on others.
struct HeldOut<'a> {
    lang: &'a str,
    before: Outcome,
    after: Outcome,
}

fn held_out<'a>(judged: &[Judged<'a>], categories: &[String]) -> Vec<HeldOut<'a>> {
    let plain = Probabilities {
        default: vec![Calibration::IDENTITY; categories.len()],
        ..Probabilities::default()
    };
    let half = |parity| {
        let rows = judged.iter().skip(parity).step_by(2);
        rows.cloned().collect::<Vec<_>>()
    };
    let halves = [half(0), half(1)];
    let fitted = halves
        .each_ref()
        .map(|half| Probabilities::fit(half, categories));
    let tested = halves.iter().zip(fitted.iter().rev());
    let outcomes = tested.flat_map(|(half, fitted)| {
        half.iter().map(|one| {
            let outcome = |probabilities: &Probabilities| Outcome {
                score: probabilities.score(&one.row.lang, &one.logits),
                flagged: false,
                label: one.row.is_unsafe,
            };
            HeldOut {
                lang: &one.row.lang,
                before: outcome(&plain),
                after: outcome(fitted),
            }
        })
    });
    outcomes.collect()
}

/// The expected calibration errors of the texts of a language, or of all: before and after.
fn errors(held_out: &[HeldOut<'_>], lang: Option<&str>) -> [Option<f64>; 2] {
    let of = |list: fn(&HeldOut<'_>) -> Outcome| {
        let of_language = |one: &&HeldOut<'_>| lang.is_none_or(|lang| one.lang == lang);
        let outcomes: Vec<Outcome> = held_out.iter().filter(of_language).map(list).collect();
        Metrics::of(&outcomes).ece
    };
    [of(|one| one.before), of(|one| one.after)]
}

fn report(
    material: &Material<'_>,
    languages: &BTreeMap<String, Scores>,
    thresholds: &Thresholds,
    held_out: &[HeldOut<'_>],
) -> CalibrationReport {
    let of_language = |(tag, scores): (&String, &Scores)| {
        let threshold = thresholds.of(tag);
        let [ece_uncalibrated, ece] = errors(held_out, Some(tag));
        let report = LanguageCalibration {
            safe_rows: scores.of_safe.len(),
            unsafe_rows: scores.of_unsafe.len(),
            benign_texts: scores.of_benign.len(),
            threshold,
            own_threshold: thresholds.languages.contains_key(tag),
            fpr: flagged_share(&scores.of_safe, threshold),
            benign_fpr: flagged_share(&scores.of_benign, threshold),
            recall: flagged_share(&scores.of_unsafe, threshold),
            ece,
            ece_uncalibrated,
        };
        (tag.clone(), report)
    };
    let pooled = pool(languages);
    let known = known(languages);
    let count = |from: &[&Scores], list: fn(&Scores) -> usize| from.iter().map(|s| list(s)).sum();
    let mean = |from: &[&Scores], list: fn(&Scores) -> &[f32]| {
        let shares = from
            .iter()
            .filter_map(|scores| flagged_share(list(scores), thresholds.default));
        let shares: Vec<f64> = shares.collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    };
    let [ece_uncalibrated, ece] = errors(held_out, None);
    CalibrationReport {
        target_fpr: material.target_fpr,
        benign_fpr: material.benign.as_ref().map(|_| material.benign_fpr),
        default: LanguageCalibration {
            safe_rows: count(&pooled, |s| s.of_safe.len()),
            unsafe_rows: count(&pooled, |s| s.of_unsafe.len()),
            benign_texts: count(&known, |s| s.of_benign.len()),
            threshold: thresholds.default,
            own_threshold: thresholds.is_found,
            fpr: mean(&pooled, |s| &s.of_safe),
            benign_fpr: mean(&known, |s| &s.of_benign),
            recall: mean(&pooled, |s| &s.of_unsafe),
            ece,
            ece_uncalibrated,
        },
        languages: languages.iter().map(of_language).collect(),
    }
}

fn policy(
    categories: &[String],
    probabilities: &Probabilities,
    thresholds: &Thresholds,
    languages: &BTreeMap<String, Scores>,
) -> Policy {
    let lines = |lines: &[Calibration]| -> BTreeMap<String, Calibration> {
        let named = categories.iter().cloned().zip(lines.iter().copied());
        named.collect()
    };
    let own = thresholds.languages.iter();
    let points = OPERATING_POINTS.map(|rate| {
        let rates = Rates {
            safe: rate,
            benign: rate,
        };
        let thresholds = Thresholds::choose(languages, rates);
        OperatingPoint {
            target_fpr: rate as f32,
            default_threshold: thresholds.default,
            language_thresholds: thresholds.languages,
        }
    });
    Policy {
        default_thresholds: table(categories, thresholds.default),
        language_thresholds: own
            .map(|(tag, threshold)| (tag.clone(), table(categories, *threshold)))
            .collect(),
        default_calibration: lines(&probabilities.default),
        language_calibration: probabilities
            .languages
            .iter()
            .map(|(tag, own)| (tag.clone(), lines(own)))
            .collect(),
        // Without texts to find them on, every point would be the same guess.
        operating_points: match thresholds.is_found {
            true => points.into(),
            false => Vec::new(),
        },
    }
}

fn table(categories: &[String], threshold: f32) -> BTreeMap<String, f32> {
    let all = categories.iter().map(|name| (name.clone(), threshold));
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_logit_is_had_back_from_its_probability() {
        for z in [-15.0_f32, -3.0, 0.0, 0.5, 6.0] {
            let found = logit(Calibration::IDENTITY.probability(z));
            assert!((found - z).abs() < 1e-3, "{z} {found}");
        }
        assert!(logit(0.0).is_finite() && logit(1.0).is_finite());
    }

    #[test]
    fn the_policy_is_valid_and_the_error_shrinks() {
        let categories = ["a".to_owned(), "b".to_owned()];
        let rows: Vec<Row> = (0..1000)
            .map(|n| Row {
                text: String::new(),
                lang: ["en", "fr"][n % 2].to_owned(),
                // Three in four of those with a high logit, one in four of the others.
                is_unsafe: (n / 2 % 4 != 0) == (n % 20 < 10),
                categories: BTreeSet::new(),
                line: n,
            })
            .collect();
        let sure = |n: usize| if n % 20 < 10 { 4.0 } else { -4.0 };
        let judged: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(n, row)| Judged {
                row,
                logits: vec![sure(n), -9.0],
            })
            .collect();
        let held_out = held_out(&judged, &categories);
        let [before, after] = errors(&held_out, Some("en")).map(Option::unwrap);
        assert!(before > 0.2 && after < 0.05, "{before} {after}");
        let probabilities = Probabilities::fit(&judged, &categories);
        let mut languages: BTreeMap<String, Scores> = BTreeMap::new();
        for one in &judged {
            let scores = languages.entry(one.row.lang.clone()).or_default();
            let list = match one.row.is_unsafe {
                true => &mut scores.of_unsafe,
                false => &mut scores.of_safe,
            };
            list.push(probabilities.score(&one.row.lang, &one.logits));
        }
        let rates = Rates {
            safe: 0.1,
            benign: 0.1,
        };
        let thresholds = Thresholds::choose(&languages, rates);
        let policy = policy(&categories, &probabilities, &thresholds, &languages);
        policy.validate(&categories).unwrap();
        assert_eq!(policy.operating_points.len(), OPERATING_POINTS.len());
        assert_eq!(
            Vec::from_iter(policy.language_calibration.keys()),
            ["en", "fr"]
        );
        uncalibrated(&categories).validate(&categories).unwrap();
    }
}
