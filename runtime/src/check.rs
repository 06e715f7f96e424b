//! From an input to a verdict: join, view, tokenise, score the windows, decide.

use crate::error::Result;
use crate::input::{Edges, Input, Joined, joined};
use crate::language_tag::parse_language_tag;
use crate::model::{Model, TextGuard};
use crate::options::CheckOptions;
use crate::policy::flagged_category;
use crate::reading::{Reading, identify};
use crate::tally::{Score, Tally, Window};
use crate::text::language::{self, Guess, UNDETERMINED};
use crate::text::window::LastWindow;
use crate::verdict::{MAX_CHANGES, Verdict, ViewKind};

/// How a text is read.
#[derive(Clone, Copy)]
pub(crate) struct How<'a> {
    pub(crate) last: LastWindow,
    pub(crate) edges: Edges,
    /// What language a text looks like.
    pub(crate) guess: &'a dyn Fn(&str) -> Option<Guess>,
}

impl How<'_> {
    /// A text that is there as a whole.
    pub(crate) const WHOLE: How<'static> = How {
        last: LastWindow::Full,
        edges: Edges::Trimmed,
        guess: &language::guess,
    };
}

/// Draws the verdict on an input.
pub(crate) fn check(
    model: &Model,
    input: &Input<'_>,
    options: &CheckOptions,
    how: How<'_>,
    score: &mut Score<'_>,
) -> Result<Verdict> {
    let check = Check::new(model, input, options, how)?;
    let rows = score(&check.windows())?;
    check.verdict(rows)
}

/// A check whose windows are known and not scored yet, so that several texts may be scored
/// together.
pub(crate) struct Check<'a> {
    model: &'a Model,
    options: &'a CheckOptions,
    /// Whether the caller never wants the text flagged.
    allowed: bool,
    readings: Vec<Reading<'a>>,
    /// Absent where the model's language head is to tell it.
    language: Option<String>,
    /// One for each category; of no language in particular where it is not known yet.
    thresholds: Vec<f32>,
    tally: Tally<'a>,
    guess: &'a dyn Fn(&str) -> Option<Guess>,
    _text: TextGuard<'a>,
}

impl<'a> Check<'a> {
    /// Reads and tokenises an input.
    pub(crate) fn new(
        model: &'a Model,
        input: &Input<'a>,
        options: &'a CheckOptions,
        how: How<'a>,
    ) -> Result<Self> {
        let How { last, edges, guess } = how;
        // Edges are kept in the looks at a stream.
        let text_guard = model.keeps_text(edges == Edges::Kept);
        let (categories, policy) = (model.categories(), &model.manifest().policy);
        let stated = input.language.map(parse_language_tag).transpose()?;
        let texts = joined(input, options.join, edges)?;
        let is_allowed = |texts: &[Joined<'_>]| {
            let mut texts = texts.iter();
            texts.all(|text| options.allowed.contains(&*text.text))
        };
        let allowed = !options.allowed.is_empty()
            && (is_allowed(&texts) || is_allowed(&joined(input, options.join, Edges::Kept)?));
        let readings: Vec<Reading<'_>> = texts
            .into_iter()
            .map(|text| Reading::new(model, text, options.normalize))
            .collect();
        let has_head = !model.manifest().languages.is_empty();
        let language = match stated {
            None if !has_head => Some(identify(&readings, guess).to_owned()),
            stated => stated,
        };
        // Options that do not fit are refused before anything is computed.
        let known = language.as_deref().unwrap_or(UNDETERMINED);
        let thresholds = policy.thresholds_with(categories, known, options)?;
        let mut tally = Tally::new(model, last, options.coverage.checked()?);
        for (index, reading) in readings.iter().enumerate() {
            tally.add(index, reading)?;
        }
        Ok(Self {
            allowed,
            model,
            options,
            readings,
            language,
            thresholds,
            tally,
            guess,
            _text: text_guard,
        })
    }

    /// What is to be scored.
    pub(crate) fn windows(&self) -> Vec<Window<'_>> {
        self.tally.windows()
    }

    /// Decides. `rows` are the logits of the [`windows`](Self::windows), in their order.
    pub(crate) fn verdict(self, rows: Vec<Vec<f32>>) -> Result<Verdict> {
        let Self {
            model,
            options,
            allowed,
            readings,
            language,
            thresholds,
            tally,
            guess,
            _text,
        } = self;
        let (categories, policy) = (model.categories(), &model.manifest().policy);
        let (language, thresholds) = match language {
            Some(language) => (language, thresholds),
            None => {
                let language = tally.language(&readings, &rows, guess);
                let thresholds = policy.thresholds_with(categories, &language, options)?;
                (language, thresholds)
            }
        };
        let calibration = policy.calibration(categories, &language);
        let scored = tally.score(&readings, rows, &calibration)?;
        let category = flagged_category(&scored.scores, &thresholds);
        let raw = || scored.views.iter().filter(|v| v.kind == ViewKind::Raw);
        let changes = readings.iter().flat_map(Reading::changes);
        Ok(Verdict {
            flagged: category.is_some() && !allowed,
            score: scored.scores.iter().copied().fold(0.0, f32::max),
            category: category.filter(|_| !allowed),
            language,
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
