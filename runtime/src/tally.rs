//! The windows of a text and of its views, what language they are in where the model can tell, and
//! the largest of their scores.

use std::ops::Range;

use crate::error::Result;
use crate::input::Span;
use crate::language_head::LanguageHead;
use crate::model::Model;
use crate::options::Coverage;
use crate::policy::Calibration;
use crate::reading::Reading;
use crate::text::language::{Guess, certain};
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

/// The views of texts, cut into windows.
pub(crate) struct Tally<'a> {
    model: &'a Model,
    last: LastWindow,
    coverage: Coverage,
    views: Vec<CutView>,
}

/// A view to be scored.
struct CutView {
    kind: ViewKind,
    /// Which text it is of.
    reading: usize,
    /// Which of its other views; `None` is the text itself.
    view: Option<usize>,
    tokens: usize,
    tokens_scored: usize,
    windows: Vec<CutWindow>,
    /// Whether its scores count; else they are told alone.
    counts: bool,
}

struct CutWindow {
    /// The view's tokens that it covers.
    range: Range<usize>,
    /// As the network takes them.
    input: Vec<u32>,
}

impl CutView {
    /// Its text, among those that were added.
    fn text<'t>(&self, readings: &'t [Reading<'_>]) -> &'t str {
        let reading = &readings[self.reading];
        let view = self.view.and_then(|number| reading.others().nth(number));
        view.map_or(&*reading.joined.text, |(_, view)| view.text())
    }
}

/// What the windows' scores say.
pub(crate) struct Scored {
    /// Per category, the largest probability.
    pub(crate) scores: Vec<f32>,
    pub(crate) views: Vec<ScoredView>,
    /// Where the window lies that scored highest.
    pub(crate) span: Option<Span>,
}

/// The window that scored highest.
struct Best<'a> {
    score: f32,
    view: &'a CutView,
    range: &'a Range<usize>,
}

impl<'a> Tally<'a> {
    /// Nothing yet.
    pub(crate) fn new(model: &'a Model, last: LastWindow, coverage: Coverage) -> Self {
        Self {
            model,
            last,
            coverage,
            views: Vec::new(),
        }
    }

    /// Cuts a text, the one with this index, and its other views. Where these say exactly what the
    /// text does, how it is written is scored and told, and counts for nothing.
    pub(crate) fn add(&mut self, index: usize, reading: &Reading<'_>) -> Result<()> {
        let raw = (ViewKind::Raw, !reading.views.supersede);
        self.add_view(&reading.joined.text, raw, (index, None))?;
        for (number, (kind, view)) in reading.others().enumerate() {
            self.add_view(view.text(), (kind, true), (index, Some(number)))?;
        }
        Ok(())
    }

    fn add_view(
        &mut self,
        text: &str,
        (kind, counts): (ViewKind, bool),
        (reading, view): (usize, Option<usize>),
    ) -> Result<()> {
        let tokens = self.model.encode(text)?;
        let scored = self.coverage.of(tokens.len());
        let limits = self.model.manifest().limits;
        let windows = windows(scored, limits, self.last).map(|range| CutWindow {
            input: self.model.window(&tokens[range.clone()]).into_owned(),
            range,
        });
        self.views.push(CutView {
            kind,
            reading,
            view,
            tokens: tokens.len(),
            tokens_scored: scored,
            windows: windows.collect(),
            counts,
        });
        Ok(())
    }

    /// The windows of all views.
    pub(crate) fn windows(&self) -> Vec<Window<'_>> {
        let all = self.views.iter().flat_map(|view| {
            view.windows.iter().map(|window| Window {
                tokens: &window.input,
                is_last: window.range.end == view.tokens_scored,
            })
        });
        all.collect()
    }

    /// The language that the model's language head tells. `rows` are the logits of the
    /// [`windows`](Self::windows), in order, and `readings` the texts that were added; `guess`
    /// tells what language a text looks like.
    pub(crate) fn language(
        &self,
        readings: &[Reading<'_>],
        rows: &[Vec<f32>],
        guess: &dyn Fn(&str) -> Option<Guess>,
    ) -> String {
        let categories = self.model.categories().len();
        let mut head = LanguageHead::new(&self.model.manifest().languages);
        let mut rows = rows.iter();
        for view in &self.views {
            let text = view.text(readings);
            head.next_view(view.kind, text, certain(guess(text)));
            for (window, logits) in view.windows.iter().zip(&mut rows) {
                head.add(&logits[categories..], window.range.len());
            }
        }
        head.language().to_owned()
    }

    /// The largest scores. `rows` are the logits of the [`windows`](Self::windows), in order, and
    /// `readings` the texts that were added; `calibration` has an entry for each category.
    pub(crate) fn score(
        &self,
        readings: &[Reading<'_>],
        rows: Vec<Vec<f32>>,
        calibration: &[Calibration],
    ) -> Result<Scored> {
        let mut scores = vec![0.0_f32; calibration.len()];
        let mut views = Vec::with_capacity(self.views.len());
        let mut best: Option<Best<'_>> = None;
        let mut rows = rows.into_iter();
        for view in &self.views {
            let mut summary = ScoredView {
                kind: view.kind,
                score: 0.0,
                tokens: view.tokens,
                tokens_scored: view.tokens_scored,
                windows: view.windows.len(),
            };
            for (window, logits) in view.windows.iter().zip(&mut rows) {
                let mut largest = 0.0_f32;
                let calibrated = logits.iter().zip(calibration);
                for ((logit, calibration), score) in calibrated.zip(&mut scores) {
                    let probability = calibration.probability(*logit);
                    if view.counts {
                        *score = score.max(probability);
                    }
                    largest = largest.max(probability);
                }
                summary.score = summary.score.max(largest);
                if view.counts && best.as_ref().is_none_or(|best| largest > best.score) {
                    best = Some(Best {
                        score: largest,
                        view,
                        range: &window.range,
                    });
                }
            }
            views.push(summary);
        }
        debug_assert!(rows.next().is_none(), "a row for each window");
        let span = best.map(|best| self.span(&best, readings)).transpose()?;
        Ok(Scored {
            scores,
            views,
            span,
        })
    }

    /// Where the best window lies. Only a text of several windows is tokenised again, for the
    /// places of its tokens.
    fn span(&self, best: &Best<'_>, readings: &[Reading<'_>]) -> Result<Span> {
        let reading = &readings[best.view.reading];
        let view = best
            .view
            .view
            .and_then(|number| reading.others().nth(number));
        let view = view.map(|(_, view)| view);
        let text = view.map_or(&*reading.joined.text, View::text);
        let range = match best.range.len() == best.view.tokens {
            true => 0..text.len(),
            false => self.model.token_span(text, best.range.clone())?,
        };
        let origin = view.map_or(range.clone(), |view| view.origin(range));
        Ok(reading.joined.span(origin))
    }
}
