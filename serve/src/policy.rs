//! The policy: one TOML file that says what is unsafe, and what happens then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use duoguard::{CheckOptions, Manifest, Verdict};
use serde::Deserialize;

use crate::ServeError;

/// The longest policy file, in bytes.
const MAX_POLICY_BYTES: u64 = 16 << 20;

/// What happens to a text that is flagged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// It does not pass.
    #[default]
    Block,
    /// It passes, and the answer's head, the log and the metrics say that it is flagged.
    Flag,
    /// Texts of this direction are not checked.
    Pass,
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Flag => "flag",
            Self::Pass => "pass",
        }
    }
}

/// Which messages of a chat are checked before the upstream sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Messages {
    /// The last one of the user.
    #[default]
    Last,
    /// Every one, of whatever role.
    All,
}

/// How a blocked prompt is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BlockedAs {
    /// Status 200 and a completion without text, whose `finish_reason` is `content_filter`.
    #[default]
    Completion,
    /// Status 400 and an error object whose `code` is `content_filter`.
    Error,
}

/// What happens to requests that bring something to the upstream at an address that is not guarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unguarded {
    /// They pass unchecked.
    #[default]
    Pass,
    /// Status 403.
    Refuse,
}

/// What holds for prompts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Prompts {
    pub(crate) action: Action,
    pub(crate) messages: Messages,
    /// Whether tool results and the arguments of tool calls in a chat are checked too.
    pub(crate) tools: bool,
    pub(crate) blocked_as: BlockedAs,
}

/// What holds for responses.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Responses {
    pub(crate) action: Action,
    /// The most bytes of streamed text that were found safe and are held back all the same.
    pub(crate) holdback_bytes: usize,
    /// New bytes after which a stream is looked at; the first are looked at as they come.
    pub(crate) look_bytes: usize,
    /// Whether a response is judged together with the last user message.
    pub(crate) with_prompt: bool,
}

impl Default for Responses {
    /// About 30 tokens of English held back, and a look every 8.
    fn default() -> Self {
        Self {
            action: Action::Block,
            holdback_bytes: 128,
            look_bytes: 32,
            with_prompt: true,
        }
    }
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    target_fpr: Option<f32>,
    audit: bool,
    fail_open: bool,
    unguarded: Unguarded,
    allow: BTreeSet<String>,
    thresholds: BTreeMap<String, f32>,
    languages: BTreeMap<String, BTreeMap<String, f32>>,
    prompts: Prompts,
    responses: Responses,
}

/// What the command line says over the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyOverrides {
    /// Bytes of a streamed response that are held back.
    pub holdback_bytes: Option<usize>,
    /// Only record.
    pub audit: bool,
    /// Let pass what could not be checked.
    pub fail_open: bool,
}

/// A policy that fits the model.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Only record: nothing is blocked.
    pub(crate) audit: bool,
    /// Whether a text passes that could not be checked.
    pub(crate) fail_open: bool,
    pub(crate) unguarded: Unguarded,
    pub(crate) prompts: Prompts,
    pub(crate) responses: Responses,
    /// How texts are scored. Thresholds are not in it: they depend on the language, below.
    pub(crate) check: Arc<CheckOptions>,
    thresholds: duoguard::Policy,
    categories: Vec<String>,
}

/// What a verdict means under the policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judgement {
    pub(crate) flagged: bool,
    /// The flagged category that exceeds its threshold by most.
    pub(crate) category: Option<usize>,
    /// One for each category.
    pub(crate) thresholds: Vec<f32>,
}

impl Policy {
    /// The policy of a file, or the one of no file.
    pub(crate) fn load(
        path: Option<&Path>,
        overrides: PolicyOverrides,
        manifest: &Manifest,
    ) -> Result<Self, ServeError> {
        let Some(path) = path else {
            return Self::new(File::default(), overrides, manifest).map_err(ServeError::new);
        };
        let shown = path.display();
        let size = std::fs::metadata(path).map(|data| data.len());
        if size.is_ok_and(|size| size > MAX_POLICY_BYTES) {
            return Err(ServeError::new(format!(
                "{shown}: larger than the {MAX_POLICY_BYTES} bytes a policy may have"
            )));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ServeError::new(format!("{shown}: cannot read: {cause}")))?;
        let failed = |why: String| ServeError::new(format!("{shown}: {why}"));
        let file = toml::from_str(&text).map_err(|cause| failed(cause.to_string()))?;
        Self::new(file, overrides, manifest).map_err(failed)
    }

    fn new(file: File, overrides: PolicyOverrides, manifest: &Manifest) -> Result<Self, String> {
        let mut responses = file.responses;
        if let Some(bytes) = overrides.holdback_bytes {
            responses.holdback_bytes = bytes;
        }
        if responses.holdback_bytes > MAX_HOLDBACK_BYTES {
            return Err(format!(
                "responses.holdback_bytes is {}; expected at most {MAX_HOLDBACK_BYTES}",
                responses.holdback_bytes
            ));
        }
        if responses.look_bytes > MAX_HOLDBACK_BYTES {
            return Err(format!(
                "responses.look_bytes is {}; expected at most {MAX_HOLDBACK_BYTES}",
                responses.look_bytes
            ));
        }
        let mut thresholds = manifest.policy.clone();
        if let Some(target) = file.target_fpr {
            take_operating_point(&mut thresholds, target, &manifest.categories)?;
        }
        check_table("thresholds", &file.thresholds, &manifest.categories)?;
        for table in thresholds.language_thresholds.values_mut() {
            table.extend(file.thresholds.clone());
        }
        thresholds.default_thresholds.extend(file.thresholds);
        for (tag, table) in file.languages {
            check_table(&format!("languages.{tag}"), &table, &manifest.categories)?;
            let tag = duoguard::parse_language_tag(&tag)
                .map_err(|cause| format!("languages: {cause}"))?;
            let own = thresholds.language_thresholds.entry(tag).or_default();
            own.extend(table);
        }
        Ok(Self {
            audit: file.audit || overrides.audit,
            fail_open: file.fail_open || overrides.fail_open,
            unguarded: file.unguarded,
            prompts: file.prompts,
            responses,
            check: Arc::new(CheckOptions {
                allowed: file.allow,
                ..CheckOptions::default()
            }),
            thresholds,
            categories: manifest.categories.clone(),
        })
    }

    /// The threshold of each category, in order, for text in a language.
    pub(crate) fn thresholds(&self, language: &str) -> Vec<f32> {
        self.thresholds.thresholds(&self.categories, language)
    }

    /// What a verdict means: which categories are above their thresholds here.
    pub(crate) fn judge(&self, verdict: &Verdict) -> Judgement {
        let thresholds = self.thresholds(&verdict.language);
        let excess = verdict.scores.iter().zip(&thresholds).map(|(s, t)| s - t);
        let most = excess.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        let above = most.filter(|(_, excess)| *excess > 0.0 && !verdict.allowed);
        Judgement {
            flagged: above.is_some(),
            category: above.map(|(category, _)| category),
            thresholds,
        }
    }
}

/// The most that may be held back of a stream.
const MAX_HOLDBACK_BYTES: usize = 1 << 16;

/// Puts the thresholds of the operating point with the largest rate that is at most `target` in
/// place of the model's.
fn take_operating_point(
    policy: &mut duoguard::Policy,
    target: f32,
    categories: &[String],
) -> Result<(), String> {
    let points = &policy.operating_points;
    let fitting = points.iter().filter(|point| point.target_fpr <= target);
    let Some(point) = fitting.max_by(|a, b| a.target_fpr.total_cmp(&b.target_fpr)) else {
        let rates: Vec<_> = points.iter().map(|p| p.target_fpr.to_string()).collect();
        return Err(format!(
            "target_fpr is {target}; the model has thresholds for the rates [{}]",
            rates.join(", ")
        ));
    };
    let all = |threshold: f32| categories.iter().map(move |c| (c.clone(), threshold));
    let languages = point.language_thresholds.iter();
    let languages = languages.map(|(tag, threshold)| (tag.clone(), all(*threshold).collect()));
    let (default, languages) = (all(point.default_threshold).collect(), languages.collect());
    policy.default_thresholds = default;
    policy.language_thresholds = languages;
    Ok(())
}

fn check_table(
    field: &str,
    table: &BTreeMap<String, f32>,
    categories: &[String],
) -> Result<(), String> {
    for (category, &threshold) in table {
        if !categories.contains(category) {
            return Err(format!(
                "{field} names {category:?}, which is not one of the model's categories: {}",
                categories.join(", ")
            ));
        }
        if !(threshold > 0.0 && threshold <= 1.0) {
            return Err(format!(
                "{field}.{category} is {threshold}; expected more than 0 and at most 1"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
