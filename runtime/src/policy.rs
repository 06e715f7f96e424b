//! Thresholds: the score above which a category counts as unsafe, per language.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

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
}

impl Policy {
    /// The threshold of each category, in order, for text in `language`.
    ///
    /// A tag without an entry of its own (`pt-BR`) uses its primary language (`pt`), then the default.
    /// A category without a default threshold gets 0, which flags it on any score: [`Policy::validate`]
    /// refuses such a policy.
    pub fn thresholds(&self, categories: &[String], language: &str) -> Vec<f32> {
        let primary = language.split(['-', '_']).next().unwrap_or(language);
        let find = |tag: &str| {
            let same = |entry: &&String| entry.eq_ignore_ascii_case(tag);
            let tag = self.language_thresholds.keys().find(same)?;
            self.language_thresholds.get(tag)
        };
        let tables = [
            find(language),
            find(primary),
            Some(&self.default_thresholds),
        ];
        let threshold = |category: &String| {
            let found = tables
                .iter()
                .flatten()
                .find_map(|table| table.get(category));
            found.copied().unwrap_or(0.0)
        };
        categories.iter().map(threshold).collect()
    }

    /// Checks that every category has a default threshold, that no other category is named, and that
    /// thresholds lie in (0, 1].
    pub fn validate(&self, categories: &[String]) -> Result<()> {
        if let Some(missing) = categories
            .iter()
            .find(|c| !self.default_thresholds.contains_key(*c))
        {
            return Err(Error::model(format!(
                "manifest.json: policy.default_thresholds has no entry for category {missing:?}; every category needs one"
            )));
        }
        check_table("default_thresholds", &self.default_thresholds, categories)?;
        for (tag, table) in &self.language_thresholds {
            if !is_language_tag(tag) {
                return Err(Error::model(format!(
                    "manifest.json: policy.language_thresholds: {tag:?} is not a BCP-47 language tag such as \"fr\" or \"pt-BR\""
                )));
            }
            check_table(&format!("language_thresholds.{tag}"), table, categories)?;
        }
        Ok(())
    }
}

fn check_table(field: &str, table: &BTreeMap<String, f32>, categories: &[String]) -> Result<()> {
    for (category, &threshold) in table {
        if !categories.contains(category) {
            return Err(Error::model(format!(
                "manifest.json: policy.{field} names {category:?}, which is not one of the model's categories: {}",
                categories.join(", ")
            )));
        }
        if !(threshold > 0.0 && threshold <= 1.0) {
            return Err(Error::model(format!(
                "manifest.json: policy.{field}: threshold of {category:?} is {threshold}; expected more than 0 and at most 1"
            )));
        }
    }
    Ok(())
}

/// Whether `tag` has the shape of a BCP-47 tag: subtags of 1 to 8 letters and digits, the first of 2 or 3 letters or more.
pub fn is_language_tag(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let primary = subtags.next().unwrap_or_default();
    (2..=8).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_alphabetic())
        && subtags
            .all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric()))
}
