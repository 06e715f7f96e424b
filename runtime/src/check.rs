//! From an input to a verdict: join, view, tokenise, score the windows, decide.

use crate::error::Result;
use crate::input::{Input, joined};
use crate::language_tag::parse_language_tag;
use crate::model::Model;
use crate::options::CheckOptions;
use crate::policy::flagged_category;
use crate::reading::{Reading, identify};
use crate::tally::{Score, Tally};
use crate::text::language::UNDETERMINED;
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
    let (categories, policy) = (model.categories(), &model.manifest().policy);
    let stated = input.language.map(parse_language_tag).transpose()?;
    let texts = joined(input, options.join)?;
    let readings: Vec<Reading<'_>> = texts
        .iter()
        .map(|text| Reading::new(model, text, options.normalize))
        .collect();
    // Options that do not fit are refused before anything is computed.
    policy.thresholds_with(categories, UNDETERMINED, options)?;
    let mut tally = Tally::new(model, last, options.coverage.checked()?);
    for reading in &readings {
        tally.add(reading, score)?;
    }
    let language = stated.unwrap_or_else(|| match model.manifest().languages.is_empty() {
        true => identify(&readings).to_owned(),
        false => tally.language().to_owned(),
    });
    let thresholds = policy.thresholds_with(categories, &language, options)?;
    tally.judge(&policy.calibration(categories, &language));
    let category = flagged_category(&tally.scores, &thresholds);
    let allowed = texts
        .iter()
        .all(|text| options.allowed.contains(&*text.text));
    let raw = || tally.views.iter().filter(|view| view.kind == ViewKind::Raw);
    let changes = readings.iter().flat_map(Reading::changes);
    Ok(Verdict {
        flagged: category.is_some() && !allowed,
        score: tally.scores.iter().copied().fold(0.0, f32::max),
        category: category.filter(|_| !allowed),
        language,
        tokens: raw().map(|view| view.tokens).sum(),
        tokens_scored: raw().map(|view| view.tokens_scored).sum(),
        windows: raw().map(|view| view.windows).sum(),
        changes_total: changes.clone().count(),
        changes: changes.take(MAX_CHANGES).collect(),
        span: tally.span(&readings)?,
        scores: tally.scores,
        views: tally.views,
        allowed,
    })
}
