//! What the rounds of a run left, read for its report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use duoguard_eval::{Metrics, Outcome, ScoreLine};
use serde::de::DeserializeOwned;

use crate::error::TrainError;
use crate::game::calibration::{Calibration, JUDGE_FILE};
use crate::game::summary::Summary;
use crate::report::samples::ProposalLine;
use crate::report::scores::{SCORES_FILE, VALIDATION};
use crate::train::progress::StepMetrics;

/// What is known of a round.
pub(super) struct Round {
    pub(super) number: usize,
    /// Whose rows (a benchmark, or validation) -> language -> outcomes.
    pub(super) outcomes: BTreeMap<String, BTreeMap<String, Vec<Outcome>>>,
    /// Round 0 plays no game and has none.
    pub(super) summary: Option<Summary>,
    /// What its judge was worth; absent where the recipe does not ask.
    pub(super) judge: Option<Calibration>,
    /// What was proposed.
    pub(super) proposals: Vec<ProposalLine>,
    /// Margin and reward accuracy at every step of the preference stage.
    pub(super) preference: Vec<StepMetrics>,
}

impl Round {
    pub(super) fn read(number: usize, folder: &Path) -> Result<Self, TrainError> {
        let mut outcomes: BTreeMap<String, BTreeMap<String, Vec<Outcome>>> = BTreeMap::new();
        for line in json_lines::<ScoreLine>(&folder.join(SCORES_FILE))? {
            let of_language = outcomes.entry(line.benchmark).or_default();
            of_language.entry(line.language).or_default().push(Outcome {
                score: line.score,
                flagged: line.flagged,
                label: line.label == 1,
            });
        }
        let summary = match number {
            0 => None,
            _ => Some(json_file(&folder.join("summary.json"))?),
        };
        let judge = folder.join(JUDGE_FILE);
        let judge = judge.exists().then(|| json_file(&judge)).transpose()?;
        let proposals = match number {
            0 => Vec::new(),
            _ => json_lines(&folder.join("proposals.jsonl"))?,
        };
        let mut preference: Vec<StepMetrics> = json_lines(&folder.join("metrics.jsonl"))?;
        preference.retain(|line| line.stage == "preference");
        Ok(Self {
            number,
            outcomes,
            summary,
            judge,
            proposals,
            preference,
        })
    }

    pub(super) fn title(&self) -> String {
        format!("round {}", self.number)
    }

    /// The mean of a metric over the sets on which it is defined: over the benchmarks, or on the
    /// validation rows.
    pub(super) fn mean(
        &self,
        validation: bool,
        language: &str,
        metric: impl Fn(&Metrics) -> Option<f64>,
    ) -> Option<f64> {
        let values: Vec<f64> = self
            .outcomes
            .iter()
            .filter(|(set, _)| (set.as_str() == VALIDATION) == validation)
            .filter_map(|(_, languages)| metric(&Metrics::of(languages.get(language)?)))
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    pub(super) fn languages(&self, validation: bool) -> BTreeSet<&str> {
        self.outcomes
            .iter()
            .filter(|(set, _)| (set.as_str() == VALIDATION) == validation)
            .flat_map(|(_, languages)| languages.keys().map(String::as_str))
            .collect()
    }
}

/// Reads a JSON file.
pub(super) fn json_file<T: DeserializeOwned>(path: &Path) -> Result<T, TrainError> {
    let bytes = fs::read(path).map_err(|e| TrainError::io("read", path, e))?;
    serde_json::from_slice(&bytes).map_err(|e| TrainError::invalid(path, e.to_string()))
}

fn json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, TrainError> {
    let text = fs::read_to_string(path).map_err(|e| TrainError::io("read", path, e))?;
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line)
                .map_err(|e| TrainError::invalid(path, format!("line {}: {e}", index + 1)))
        })
        .collect()
}

/// (title, summary) of the rounds that were played to their end.
pub(super) fn summaries(rounds: &[Round]) -> Vec<(String, &Summary)> {
    let played = rounds.iter();
    played
        .filter_map(|r| Some((r.title(), r.summary.as_ref()?)))
        .collect()
}

/// A share in per cent.
pub(super) fn percent(fraction: Option<f64>) -> Option<f64> {
    fraction.map(|f| 100.0 * f)
}

/// A share in per cent, for a table.
pub(super) fn text(percent: Option<f64>) -> String {
    percent.map_or_else(|| "-".to_owned(), |p| format!("{p:.1}"))
}
