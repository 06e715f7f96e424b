//! Thresholds: the score above which a category counts as unsafe, per language.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::language_tag::parse_language_tag;
use crate::options::CheckOptions;

/// The thresholds of a bundle.
///
/// A category is flagged when its score is strictly greater than its threshold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// One threshold for every category, for languages that have none of their own.
    pub default_thresholds: BTreeMap<String, f32>,
    /// Thresholds that replace the default ones: BCP-47 tag, then category. May name a subset.
    #[serde(default)]
    pub language_thresholds: BTreeMap<String, BTreeMap<String, f32>>,
    /// How logits become probabilities, for languages that have no calibration of their own. A
    /// category that is not named has the identity.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub default_calibration: BTreeMap<String, Calibration>,
    /// Calibration that replaces the default one: BCP-47 tag, then category. May name a subset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub language_calibration: BTreeMap<String, BTreeMap<String, Calibration>>,
    /// Other thresholds to choose from, by the false positive rate they were set for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operating_points: Vec<OperatingPoint>,
}

/// A category's probability: `1 / (1 + exp(-(scale * logit + offset)))`. A temperature `T` is a
/// scale of `1 / T`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// More than 0, so that calibration never reorders texts within a category.
    pub scale: f32,
    /// Any finite number.
    pub offset: f32,
}

impl Calibration {
    /// Leaves logits as they are.
    pub const IDENTITY: Self = Self {
        scale: 1.0,
        offset: 0.0,
    };

    /// The probability that a logit stands for, in [0, 1].
    pub fn probability(self, logit: f32) -> f32 {
        1.0 / (1.0 + (-(self.scale * logit + self.offset)).exp())
    }
}

/// Thresholds, one for all categories, that flag at most a certain share of safe texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// The share of safe texts that may be flagged, in (0, 1).
    pub target_fpr: f32,
    /// The threshold of languages that have none of their own, in (0, 1].
    pub default_threshold: f32,
    /// By BCP-47 tag, in (0, 1].
    #[serde(default)]
    pub language_thresholds: BTreeMap<String, f32>,
}

impl Policy {
    /// The threshold of each category, in order, for text in `language`.
    ///
    /// A tag without an entry of its own (`pt-BR`) uses its primary language (`pt`), then the
    /// default. A category without a default threshold gets 0, which flags it on any score:
    /// [`Policy::validate`] refuses such a policy.
    pub fn thresholds(&self, categories: &[String], language: &str) -> Vec<f32> {
        let own = of_language(&self.language_thresholds, language);
        let tables: Vec<_> = own.chain([&self.default_thresholds]).collect();
        let threshold = |category: &String| {
            let found = tables.iter().find_map(|table| table.get(category));
            found.copied().unwrap_or(0.0)
        };
        categories.iter().map(threshold).collect()
    }

    /// The thresholds that apply under the caller's options.
    pub(crate) fn thresholds_with(
        &self,
        categories: &[String],
        language: &str,
        options: &CheckOptions,
    ) -> Result<Vec<f32>> {
        let mut thresholds = match options.target_fpr {
            None => self.thresholds(categories, language),
            Some(target) => {
                let point = self.operating_point(target)?;
                let own = of_language(&point.language_thresholds, language).next();
                vec![*own.unwrap_or(&point.default_threshold); categories.len()]
            }
        };
        for (category, &threshold) in &options.thresholds {
            let Some(index) = categories.iter().position(|c| c == category) else {
                return Err(Error::argument(format!(
                    "a threshold for {category:?}, which is not one of the model's categories: {}",
                    categories.join(", ")
                )));
            };
            if !is_threshold(threshold) {
                return Err(Error::argument(format!(
                    "a threshold of {threshold} for {category:?}; expected more than 0 and at \
                     most 1"
                )));
            }
            thresholds[index] = threshold;
        }
        Ok(thresholds)
    }

    /// The operating point with the largest rate that is at most `target_fpr`.
    fn operating_point(&self, target_fpr: f32) -> Result<&OperatingPoint> {
        if !(target_fpr > 0.0 && target_fpr < 1.0) {
            return Err(Error::argument(format!(
                "a target false positive rate of {target_fpr}; expected more than 0 and less than 1"
            )));
        }
        let rates = || self.operating_points.iter().map(|point| point.target_fpr);
        let eligible = self.operating_points.iter();
        eligible
            .filter(|point| point.target_fpr <= target_fpr)
            .max_by(|a, b| a.target_fpr.total_cmp(&b.target_fpr))
            .ok_or_else(|| {
                let offered: Vec<_> = rates().map(|rate| rate.to_string()).collect();
                let offered = match offered.is_empty() {
                    true => "none: it was exported without calibration texts".to_owned(),
                    false => offered.join(", "),
                };
                Error::argument(format!(
                    "a false positive rate of at most {target_fpr} is asked for; the model has \
                     thresholds for {offered}"
                ))
            })
    }

    /// How each category's logit becomes a probability, in order, for text in `language`.
    pub fn calibration(&self, categories: &[String], language: &str) -> Vec<Calibration> {
        let own = of_language(&self.language_calibration, language);
        let tables: Vec<_> = own.chain([&self.default_calibration]).collect();
        let find = |category| tables.iter().find_map(|table| table.get(category));
        let calibration = |category| find(category).copied().unwrap_or(Calibration::IDENTITY);
        categories.iter().map(calibration).collect()
    }

    /// Checks that every category has a default threshold, that no other category is named, and
    /// that thresholds lie in (0, 1].
    pub fn validate(&self, categories: &[String]) -> Result<()> {
        if let Some(missing) = categories
            .iter()
            .find(|c| !self.default_thresholds.contains_key(*c))
        {
            return Err(Error::model(format!(
                "manifest.json: policy.default_thresholds has no entry for category {missing:?}; \
                 every category needs one"
            )));
        }
        check_table("default_thresholds", &self.default_thresholds, categories)?;
        for (tag, table) in &self.language_thresholds {
            check_tag("language_thresholds", tag)?;
            check_table(&format!("language_thresholds.{tag}"), table, categories)?;
        }
        check_calibration("default_calibration", &self.default_calibration, categories)?;
        for (tag, table) in &self.language_calibration {
            check_tag("language_calibration", tag)?;
            check_calibration(&format!("language_calibration.{tag}"), table, categories)?;
        }
        self.operating_points.iter().try_for_each(check_point)
    }
}

/// The entries of a language: of the tag itself, then of its primary language (`pt` for `pt-BR`).
fn of_language<'a, T>(
    table: &'a BTreeMap<String, T>,
    language: &str,
) -> impl Iterator<Item = &'a T> + use<'a, T> {
    let primary = language.split(['-', '_']).next().unwrap_or(language);
    let find = |tag: &str| {
        let mut entries = table.iter();
        let entry = entries.find(|(entry, _)| entry.eq_ignore_ascii_case(tag));
        entry.map(|(_, value)| value)
    };
    find(language).into_iter().chain(find(primary))
}

/// An entry is found only under a tag without extensions, with `-` between its subtags.
fn check_tag(field: &str, tag: &str) -> Result<()> {
    match parse_language_tag(tag) {
        Ok(canonical) if canonical.eq_ignore_ascii_case(tag) => Ok(()),
        _ => Err(Error::model(format!(
            "manifest.json: policy.{field}: {tag:?} is not a BCP-47 language tag such as \"fr\" or \
             \"pt-BR\", without extensions"
        ))),
    }
}

fn check_category(field: &str, category: &String, categories: &[String]) -> Result<()> {
    match categories.contains(category) {
        true => Ok(()),
        false => Err(Error::model(format!(
            "manifest.json: policy.{field} names {category:?}, which is not one of the model's \
             categories: {}",
            categories.join(", ")
        ))),
    }
}

fn check_table(field: &str, table: &BTreeMap<String, f32>, categories: &[String]) -> Result<()> {
    for (category, &threshold) in table {
        check_category(field, category, categories)?;
        if !is_threshold(threshold) {
            return Err(Error::model(format!(
                "manifest.json: policy.{field}: threshold of {category:?} is {threshold}; \
                 expected more than 0 and at most 1"
            )));
        }
    }
    Ok(())
}

fn check_calibration(
    field: &str,
    table: &BTreeMap<String, Calibration>,
    categories: &[String],
) -> Result<()> {
    for (category, Calibration { scale, offset }) in table {
        check_category(field, category, categories)?;
        if !(*scale > 0.0 && scale.is_finite() && offset.is_finite()) {
            return Err(Error::model(format!(
                "manifest.json: policy.{field}: {category:?} has scale {scale} and offset \
                 {offset}; expected finite numbers and a scale above 0"
            )));
        }
    }
    Ok(())
}

fn check_point(point: &OperatingPoint) -> Result<()> {
    let rate = point.target_fpr;
    let thresholds = point
        .language_thresholds
        .values()
        .chain([&point.default_threshold]);
    if !(rate > 0.0 && rate < 1.0) || thresholds.into_iter().any(|t| !is_threshold(*t)) {
        return Err(Error::model(format!(
            "manifest.json: policy.operating_points: the one for {rate}: expected a rate between \
             0 and 1 and thresholds above 0 and at most 1"
        )));
    }
    let mut tags = point.language_thresholds.keys();
    tags.try_for_each(|tag| check_tag("operating_points.language_thresholds", tag))
}

fn is_threshold(threshold: f32) -> bool {
    threshold > 0.0 && threshold <= 1.0
}

/// The category that exceeds its threshold by most; `None` if none does. Both lists have one entry
/// per category.
pub(crate) fn flagged_category(scores: &[f32], thresholds: &[f32]) -> Option<usize> {
    let mut category = None;
    let mut largest_excess = 0.0;
    for (index, (score, threshold)) in scores.iter().zip(thresholds).enumerate() {
        if score - threshold > largest_excess {
            largest_excess = score - threshold;
            category = Some(index);
        }
    }
    category
}
