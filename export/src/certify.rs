//! The certificate: what quantising changed, per language and category, and whether that is within
//! a tolerance.

use std::collections::BTreeMap;

use duoguard::Policy;
use duoguard_eval::{Metrics, Outcome};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::measure::{ENGINE, LogitError, splitmix};
use crate::texts::Text;

/// How often the texts are drawn anew for an interval.
const RESAMPLES: usize = 1000;
/// The share of the resampled changes that lies below the interval, and above it.
const TAIL: f64 = 0.025;

/// How much quantising may change in any language.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// The largest change of the false positive rate, up or down.
    pub fpr: f64,
    /// The largest change of the recall, up or down.
    pub recall: f64,
    /// The largest share of verdicts that change: of texts, and of texts by category.
    pub flips: f64,
}

impl Default for Tolerance {
    /// One point of each.
    fn default() -> Self {
        Self {
            fpr: 0.01,
            recall: 0.01,
            flips: 0.01,
        }
    }
}

/// What quantising changed, as it stands in the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Whether every language is within the tolerance.
    pub passed: bool,
    /// The scheme's name in the manifest.
    pub scheme: String,
    /// The engine that computed both guards; absent in bundles from before there was a choice.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub engine: Option<String>,
    /// Where the texts are from: the name of a file, or "built-in".
    pub texts: String,
    /// How much may change. One text may always change: where a language has few, that is more than
    /// the shares allow.
    pub tolerance: Tolerance,
    /// What changed by more; empty if the certificate passed.
    pub violations: Vec<String>,
    /// All texts together.
    pub all: Effect,
    /// Per language tag.
    pub languages: BTreeMap<String, LanguageEffect>,
}

/// The effect on the texts of one language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LanguageEffect {
    /// On the verdict.
    #[serde(flatten)]
    pub verdict: Effect,
    /// On each category by itself.
    pub categories: BTreeMap<String, Effect>,
}

/// What quantising does to one yes-or-no question on a list of texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Number of texts.
    pub texts: usize,
    /// Texts that are labelled safe.
    pub safe: usize,
    /// Texts that are labelled unsafe.
    pub r#unsafe: usize,
    /// How far the logits moved.
    pub logit_error: LogitError,
    /// Texts that are flagged by one and not by the other.
    pub flips: usize,
    /// The change of F1; absent, as the others, where it is undefined: without labels, or without
    /// texts of both.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub f1: Option<Change>,
    /// The change of the false positive rate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fpr: Option<Change>,
    /// The change of the recall.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recall: Option<Change>,
    /// The change of the area under the ROC curve.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auroc: Option<Change>,
}

/// A metric before and after, and how sure the difference is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The metric of the fp32 guard.
    pub fp32: f64,
    /// The metric of the quantised guard.
    pub quantized: f64,
    /// The difference, quantised less fp32.
    pub change: f64,
    /// The lower end of its 95 % interval, by bootstrap over the texts, in pairs.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The texts, with the logits of both guards: the maximum over a text's windows,
/// `[texts][categories]`.
pub(crate) struct Comparison<'a> {
    pub(crate) texts: &'a [Text],
    pub(crate) fp32: &'a [Vec<f32>],
    pub(crate) quantized: &'a [Vec<f32>],
    pub(crate) categories: &'a [String],
    pub(crate) policy: &'a Policy,
}

/// One text, as one question sees it.
struct Pair {
    label: Option<bool>,
    fp32: (f32, bool),
    quantized: (f32, bool),
    logit_errors: Vec<f64>,
}

impl Comparison<'_> {
    /// Compares the two and judges the difference.
    pub(crate) fn certify(&self, scheme: &str, texts: &str, tolerance: Tolerance) -> Certificate {
        let mut languages: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, text) in self.texts.iter().enumerate() {
            languages.entry(&text.lang).or_default().push(index);
        }
        let every: Vec<usize> = (0..self.texts.len()).collect();
        let all = effect(&self.verdicts(&every));
        let languages: Vec<_> = languages.into_iter().collect();
        let languages: BTreeMap<String, LanguageEffect> = languages
            .par_iter()
            .map(|(tag, rows)| ((*tag).to_owned(), self.language(rows)))
            .collect();
        let violations: Vec<String> = languages
            .iter()
            .flat_map(|(tag, language)| violations(tag, language, tolerance))
            .collect();
        Certificate {
            passed: violations.is_empty(),
            scheme: scheme.to_owned(),
            engine: Some(ENGINE.to_owned()),
            texts: texts.to_owned(),
            tolerance,
            violations,
            all,
            languages,
        }
    }

    fn language(&self, rows: &[usize]) -> LanguageEffect {
        let category = |(index, name): (usize, &String)| {
            let pairs: Vec<Pair> = rows
                .iter()
                .map(|row| self.pair(*row, &[index], self.texts[*row].label_of(name)))
                .collect();
            (name.clone(), effect(&pairs))
        };
        LanguageEffect {
            verdict: effect(&self.verdicts(rows)),
            categories: self
                .categories
                .par_iter()
                .enumerate()
                .map(|(i, n)| category((i, n)))
                .collect(),
        }
    }

    fn verdicts(&self, rows: &[usize]) -> Vec<Pair> {
        let categories: Vec<usize> = (0..self.categories.len()).collect();
        rows.iter()
            .map(|row| self.pair(*row, &categories, self.texts[*row].label()))
            .collect()
    }

    fn pair(&self, row: usize, categories: &[usize], label: Option<bool>) -> Pair {
        let thresholds = self
            .policy
            .thresholds(self.categories, &self.texts[row].lang);
        let calibration = self
            .policy
            .calibration(self.categories, &self.texts[row].lang);
        let judge = |logits: &[f32]| {
            let score = |c: &usize| (*c, calibration[*c].probability(logits[*c]));
            let scores = || categories.iter().map(score);
            let score = scores().fold(0.0, |largest: f32, (_, score)| largest.max(score));
            (score, scores().any(|(c, score)| score > thresholds[c]))
        };
        let (fp32, quantized) = (&self.fp32[row], &self.quantized[row]);
        let error = |c: &usize| f64::from((fp32[*c] - quantized[*c]).abs());
        Pair {
            label,
            fp32: judge(fp32),
            quantized: judge(quantized),
            logit_errors: categories.iter().map(error).collect(),
        }
    }
}

fn effect(pairs: &[Pair]) -> Effect {
    let outcomes = |of: fn(&Pair) -> (f32, bool)| -> Vec<Outcome> {
        let outcome = |pair: &Pair| {
            let (score, flagged) = of(pair);
            let outcome = |label| Outcome {
                score,
                flagged,
                label,
            };
            pair.label.map(outcome)
        };
        pairs.iter().filter_map(outcome).collect()
    };
    let (before, after) = (outcomes(|pair| pair.fp32), outcomes(|pair| pair.quantized));
    let positives = before.iter().filter(|outcome| outcome.label).count();
    let flips = |pair: &&Pair| pair.fp32.1 != pair.quantized.1;
    let errors = pairs.iter().flat_map(|pair| &pair.logit_errors).copied();
    let [f1, fpr, recall, auroc] = changes(&before, &after);
    Effect {
        texts: pairs.len(),
        safe: before.len() - positives,
        r#unsafe: positives,
        logit_error: LogitError::new(errors.collect()),
        flips: pairs.iter().filter(flips).count(),
        f1,
        fpr,
        recall,
        auroc,
    }
}

/// The metrics that a certificate tells of.
fn metrics(outcomes: &[Outcome]) -> [Option<f64>; 4] {
    let metrics = Metrics::of(outcomes);
    [metrics.f1, metrics.fpr, metrics.recall, metrics.auroc]
}

fn changes(before: &[Outcome], after: &[Outcome]) -> [Option<Change>; 4] {
    let (fp32, quantized) = (metrics(before), metrics(after));
    let mut differences: [Vec<f64>; 4] = Default::default();
    let mut state = before.len() as u64;
    let mut draw = |outcomes: usize| (splitmix(&mut state) % outcomes as u64) as usize;
    let is_defined = fp32.iter().any(Option::is_some);
    for _ in 0..if is_defined { RESAMPLES } else { 0 } {
        let rows: Vec<usize> = before.iter().map(|_| draw(before.len())).collect();
        let of = |outcomes: &[Outcome]| {
            metrics(&rows.iter().map(|row| outcomes[*row]).collect::<Vec<_>>())
        };
        let (fp32, quantized) = (of(before), of(after));
        for (metric, differences) in differences.iter_mut().enumerate() {
            // A draw may lack the texts that a metric needs.
            if let (Some(a), Some(b)) = (fp32[metric], quantized[metric]) {
                differences.push(b - a);
            }
        }
    }
    std::array::from_fn(|metric| {
        let (fp32, quantized) = (fp32[metric]?, quantized[metric]?);
        let drawn = &mut differences[metric];
        drawn.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (share * drawn.len() as f64) as usize;
            drawn.get(place.min(drawn.len().saturating_sub(1))).copied()
        };
        Some(Change {
            fp32,
            quantized,
            change: quantized - fp32,
            low: at(TAIL)?,
            high: at(1.0 - TAIL)?,
        })
    })
}

fn violations(tag: &str, language: &LanguageEffect, tolerance: Tolerance) -> Vec<String> {
    let effect = &language.verdict;
    // One text may change in any case: of fewer than a hundred, each is more than a point.
    let is_beyond = |share: f64, count: usize, allowed: f64| {
        (share * count as f64).round() > (allowed * count as f64).floor().max(1.0)
    };
    let rate = |name: &str, change: Option<Change>, count: usize, allowed: f64| {
        let change = change.filter(|c| is_beyond(c.change.abs(), count, allowed))?;
        Some(format!(
            "{tag}: {name} goes from {:.1} % to {:.1} %, a change of more than {:.1} points ({count} texts)",
            100.0 * change.fp32,
            100.0 * change.quantized,
            100.0 * allowed
        ))
    };
    let flips = |what: &str, flips: usize, count: usize| {
        let share = flips as f64 / count.max(1) as f64;
        is_beyond(share, count, tolerance.flips).then(|| {
            format!(
                "{tag}: {flips} of {count} {what} change, more than {:.1} %",
                100.0 * tolerance.flips
            )
        })
    };
    let categories = language.categories.values();
    let (category_flips, decisions) = categories
        .map(|category| (category.flips, category.texts))
        .fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
    let verdicts = flips("verdicts", effect.flips, effect.texts);
    // A guard that flags nearly everything, for one category or another, changes no verdict.
    let categories = flips("verdicts on single categories", category_flips, decisions);
    let fpr = rate(
        "the false positive rate",
        effect.fpr,
        effect.safe,
        tolerance.fpr,
    );
    let recall = rate(
        "the recall",
        effect.recall,
        effect.r#unsafe,
        tolerance.recall,
    );
    let all = [fpr, recall, verdicts, categories];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
#[path = "certify_tests.rs"]
mod tests;
