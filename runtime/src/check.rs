//! From an input to a verdict: join, view, tokenise, score the windows, decide.

use crate::error::Result;
use crate::input::{Input, joined};
use crate::language_tag::parse_language_tag;
use crate::model::Model;
use crate::options::CheckOptions;
use crate::policy::flagged_category;
use crate::reading::{Reading, identify};
use crate::tally::{Score, Tally, Window};
use crate::text::window::LastWindow;
use crate::verdict::{MAX_CHANGES, Verdict, ViewKind};

/// Draws the verdict on an input.
pub(crate) fn check(
    model: &Model,
    input: &Input<'_>,
    options: &CheckOptions,
    last: LastWindow,
    score: &mut Score<'_>,
) -> Result<Verdict> {
    let check = Check::new(model, input, options, last)?;
    let rows = score(&check.windows())?;
    check.verdict(rows)
}

/// A check whose windows are known and not scored yet, so that several texts may be scored
/// together.
pub(crate) struct Check<'a> {
    options: &'a CheckOptions,
    readings: Vec<Reading<'a>>,
    language: String,
    /// One for each category.
    thresholds: Vec<f32>,
    tally: Tally<'a>,
}

impl<'a> Check<'a> {
    /// Reads and tokenises an input.
    pub(crate) fn new(
        model: &'a Model,
        input: &Input<'a>,
        options: &'a CheckOptions,
        last: LastWindow,
    ) -> Result<Self> {
        let (categories, policy) = (model.categories(), &model.manifest().policy);
        let stated = input.language.map(parse_language_tag).transpose()?;
        let readings: Vec<Reading<'_>> = joined(input, options.join)?
            .into_iter()
            .map(|text| Reading::new(model, text, options.normalize))
            .collect();
        let language = stated.unwrap_or_else(|| identify(&readings).to_owned());
        let thresholds = policy.thresholds_with(categories, &language, options)?;
        let calibration = policy.calibration(categories, &language);
        let mut tally = Tally::new(model, last, options.coverage.checked()?, calibration);
        for (index, reading) in readings.iter().enumerate() {
            tally.add(index, reading)?;
        }
        Ok(Self {
            options,
            readings,
            language,
            thresholds,
            tally,
        })
    }

    /// What is to be scored.
    pub(crate) fn windows(&self) -> Vec<Window<'_>> {
        self.tally.windows()
    }

    /// Decides. `rows` are the logits of the [`windows`](Self::windows), in their order.
    pub(crate) fn verdict(self, rows: Vec<Vec<f32>>) -> Result<Verdict> {
        let Self {
            options, readings, ..
        } = self;
        let scored = self.tally.score(&readings, rows)?;
        let category = flagged_category(&scored.scores, &self.thresholds);
        let allowed = readings
            .iter()
            .all(|reading| options.allowed.contains(&*reading.joined.text));
        let raw = || scored.views.iter().filter(|v| v.kind == ViewKind::Raw);
        let changes = readings.iter().flat_map(Reading::changes);
        Ok(Verdict {
            flagged: category.is_some() && !allowed,
            score: scored.scores.iter().copied().fold(0.0, f32::max),
            category: category.filter(|_| !allowed),
            language: self.language,
            tokens: raw().map(|view| view.tokens).sum(),
            tokens_scored: raw().map(|view| view.tokens_scored).sum(),
            windows: raw().map(|view| view.windows).sum(),
            changes_total: changes.clone().count(),
            changes: changes.take(MAX_CHANGES).collect(),
            span: scored.span,
            scores: scored.scores,
            views: scored.views,
            allowed,
        })
    }
}
