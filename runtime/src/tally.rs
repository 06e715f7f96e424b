//! Scores the windows of a text and of its views, says what language they are in where the model
//! can, and keeps the largest scores.

use std::ops::Range;

use crate::error::Result;
use crate::input::Span;
use crate::language_head::LanguageHead;
use crate::model::Model;
use crate::options::Coverage;
use crate::policy::Calibration;
use crate::reading::Reading;
use crate::text::view::View;
use crate::text::window::{LastWindow, windows};
use crate::verdict::{ScoredView, ViewKind};

/// A window to score, as the network takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    pub(crate) tokens: &'a [u32],
    /// Whether it is the last of its text, which more text would change.
    pub(crate) is_last: bool,
}

/// Computes the logits of windows: a row for each.
pub(crate) type Score<'a> = dyn FnMut(&[Window<'_>]) -> Result<Vec<Vec<f32>>> + 'a;

/// What has been scored so far.
pub(crate) struct Tally<'a> {
    model: &'a Model,
    last: LastWindow,
    coverage: Coverage,
    /// Per category, the largest probability, once they are judged.
    pub(crate) scores: Vec<f32>,
    pub(crate) views: Vec<ScoredView>,
    windows: Vec<ScoredWindow>,
    head: LanguageHead<'a>,
    /// The window that scored highest.
    best: Option<usize>,
}

/// A window whose logits are there.
struct ScoredWindow {
    logits: Vec<f32>,
    /// Its view among [`Tally::views`].
    index: usize,
    reading: usize,
    view: Option<usize>,
    tokens: Range<usize>,
    is_only_window: bool,
}

impl<'a> Tally<'a> {
    /// Nothing yet.
    pub(crate) fn new(model: &'a Model, last: LastWindow, coverage: Coverage) -> Self {
        Self {
            model,
            last,
            coverage,
            scores: vec![0.0; model.categories().len()],
            views: Vec::new(),
            windows: Vec::new(),
            head: LanguageHead::new(&model.manifest().languages),
            best: None,
        }
    }

    /// The language of what was added, by the model's language head.
    pub(crate) fn language(&self) -> &str {
        self.head.language()
    }

    /// Makes probabilities of the logits. `calibration` has an entry per category.
    pub(crate) fn judge(&mut self, calibration: &[Calibration]) {
        let mut best = 0.0;
        for (number, window) in self.windows.iter().enumerate() {
            let mut largest = 0.0_f32;
            let calibrated = window.logits.iter().zip(calibration);
            for ((logit, calibration), score) in calibrated.zip(&mut self.scores) {
                let probability = calibration.probability(*logit);
                *score = score.max(probability);
                largest = largest.max(probability);
            }
            let view = &mut self.views[window.index];
            view.score = view.score.max(largest);
            if self.best.is_none() || largest > best {
                best = largest;
                self.best = Some(number);
            }
        }
    }

    /// Scores a text and its other views.
    pub(crate) fn add(&mut self, reading: &Reading<'_>, score: &mut Score<'_>) -> Result<()> {
        let index = self
            .views
            .iter()
            .filter(|view| view.kind == ViewKind::Raw)
            .count();
        self.head.next_text();
        self.add_view(&reading.joined.text, ViewKind::Raw, (index, None), score)?;
        for (number, (kind, view)) in reading.others().enumerate() {
            self.add_view(view.text(), kind, (index, Some(number)), score)?;
        }
        Ok(())
    }

    fn add_view(
        &mut self,
        text: &str,
        kind: ViewKind,
        (reading, view): (usize, Option<usize>),
        score: &mut Score<'_>,
    ) -> Result<()> {
        let tokens = self.model.encode(text)?;
        let scored = self.coverage.of(tokens.len());
        self.head.next_view(kind, text);
        let mut summary = ScoredView {
            kind,
            score: 0.0,
            tokens: tokens.len(),
            tokens_scored: scored,
            windows: 0,
        };
        let limits = self.model.manifest().limits;
        let ranges: Vec<_> = windows(scored, limits, self.last).collect();
        let inputs: Vec<_> = ranges
            .iter()
            .map(|range| self.model.window(&tokens[range.clone()]))
            .collect();
        let windows: Vec<_> = ranges
            .iter()
            .zip(&inputs)
            .map(|(range, tokens)| Window {
                tokens,
                is_last: range.end == scored,
            })
            .collect();
        summary.windows = windows.len();
        let rows = score(&windows)?;
        debug_assert_eq!(rows.len(), windows.len());
        for (range, logits) in ranges.into_iter().zip(rows) {
            self.head.add(&logits[self.scores.len()..], range.len());
            self.windows.push(ScoredWindow {
                logits,
                index: self.views.len(),
                reading,
                view,
                is_only_window: range.len() == tokens.len(),
                tokens: range,
            });
        }
        self.views.push(summary);
        Ok(())
    }

    /// Where the best window lies. Only a text of several windows is tokenised again, for the
    /// places of its tokens.
    pub(crate) fn span(&self, readings: &[Reading<'_>]) -> Result<Option<Span>> {
        let Some(best) = self.best.map(|number| &self.windows[number]) else {
            return Ok(None);
        };
        let reading = &readings[best.reading];
        let view = best.view.and_then(|number| reading.others().nth(number));
        let view = view.map(|(_, view)| view);
        let text = view.map_or(&*reading.joined.text, View::text);
        let range = match best.is_only_window {
            true => 0..text.len(),
            false => self.model.token_span(text, best.tokens.clone())?,
        };
        let origin = view.map_or(range.clone(), |view| view.origin(range));
        Ok(Some(reading.joined.span(origin)))
    }
}
