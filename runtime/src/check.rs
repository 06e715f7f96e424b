//! From an input to a verdict: join, view, tokenise, score the windows, decide.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::language_tag::parse_language_tag;
use crate::model::Model;
use crate::options::{CheckOptions, Coverage, Join};
use crate::policy::Calibration;
use crate::text::normalize::{Undone, Views, views};
use crate::text::rewrite::View;
use crate::text::window::{LastWindow, windows};
use crate::text::{MAX_TEXT_BYTES, language};
use crate::verdict::{
    Change, Input, MAX_CHANGES, ScoredView, Span, Verdict, ViewKind, flagged_category,
};

/// A window to score, as the network takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    pub(crate) tokens: &'a [u32],
    /// Whether it is the last of its text, which more text would change.
    pub(crate) is_last: bool,
}

/// Computes the logits of windows: a row for each.
pub(crate) type Score<'a> = dyn FnMut(&[Window<'_>]) -> Result<Vec<Vec<f32>>> + 'a;

/// Draws the verdict on an input.
pub(crate) fn check(
    model: &Model,
    input: &Input<'_>,
    options: &CheckOptions,
    last: LastWindow,
    score: &mut Score<'_>,
) -> Result<Verdict> {
    let policy = &model.manifest().policy;
    let stated = input.language.map(parse_language_tag).transpose()?;
    let texts = joined(input, options.join);
    let length = texts.iter().map(|text| text.text.len()).sum::<usize>();
    if length > MAX_TEXT_BYTES {
        return Err(Error::argument(format!(
            "text of {length} bytes; at most {MAX_TEXT_BYTES} are checked in one call: check it in parts"
        )));
    }
    let readings: Vec<Reading<'_>> = texts
        .iter()
        .map(|text| Reading::new(model, text, options.normalize))
        .collect();
    let language = stated.unwrap_or_else(|| identify(&readings).to_owned());
    let thresholds = policy.thresholds_with(model.categories(), &language, options)?;
    let mut tally = Tally {
        model,
        last,
        coverage: options.coverage.checked()?,
        calibration: policy.calibration(model.categories(), &language),
        scores: vec![0.0; model.categories().len()],
        views: Vec::new(),
        best: None,
    };
    for reading in &readings {
        tally.add(reading, score)?;
    }
    let category = flagged_category(&tally.scores, &thresholds);
    let allowed = match &texts[..] {
        [text] => options.allowed.contains(&*text.text),
        _ => {
            !texts.is_empty()
                && texts
                    .iter()
                    .all(|text| options.allowed.contains(&*text.text))
        }
    };
    let raw = || tally.views.iter().filter(|view| view.kind == ViewKind::Raw);
    let undone = readings.iter().flat_map(|reading| {
        reading
            .views
            .undone
            .iter()
            .map(|undone| reading.change(undone))
    });
    Ok(Verdict {
        flagged: category.is_some() && !allowed,
        score: tally.scores.iter().copied().fold(0.0, f32::max),
        category: category.filter(|_| !allowed),
        language,
        tokens: raw().map(|view| view.tokens).sum(),
        tokens_scored: raw().map(|view| view.tokens_scored).sum(),
        windows: raw().map(|view| view.windows).sum(),
        changes_total: undone.clone().count(),
        changes: undone.take(MAX_CHANGES).collect(),
        span: tally.span(&readings)?,
        scores: tally.scores,
        views: tally.views,
        allowed,
    })
}

/// A text to score, and where the prompt and the response lie in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined<'a> {
    pub(crate) text: Cow<'a, str>,
    prompt: Range<usize>,
    response: Range<usize>,
}

impl Joined<'_> {
    /// The parts of the caller's strings that `range` of the text covers, widened to whole
    /// characters.
    fn span(&self, range: Range<usize>) -> Span {
        let start = self.text.floor_char_boundary(range.start);
        let end = self.text.ceil_char_boundary(range.end);
        let within = |part: &Range<usize>| {
            let overlap = start.max(part.start)..end.min(part.end);
            match overlap.is_empty() {
                true => 0..0,
                false => overlap.start - part.start..overlap.end - part.start,
            }
        };
        Span {
            prompt: within(&self.prompt),
            response: within(&self.response),
        }
    }
}

/// The texts that are scored. A response without a prompt, and a prompt without a response, are
/// scored alone.
fn joined<'a>(input: &Input<'a>, join: Join) -> Vec<Joined<'a>> {
    let prompt = |text| Joined {
        text: Cow::Borrowed(text),
        prompt: 0..text.len(),
        response: 0..0,
    };
    let response = |text| Joined {
        text: Cow::Borrowed(text),
        prompt: 0..0,
        response: 0..text.len(),
    };
    let together = |separator: &str, answer: &str| {
        let start = input.prompt.len() + separator.len();
        Joined {
            text: Cow::Owned([input.prompt, separator, answer].concat()),
            prompt: 0..input.prompt.len(),
            response: start..start + answer.len(),
        }
    };
    match (input.response, join) {
        (None, _) => vec![prompt(input.prompt)],
        (Some(answer), _) if input.prompt.is_empty() => vec![response(answer)],
        (Some(answer), Join::Space) => vec![together(" ", answer)],
        (Some(answer), Join::Newline) => vec![together("\n", answer)],
        (Some(answer), Join::Separate) => vec![prompt(input.prompt), response(answer)],
    }
}

/// A text and its other views.
struct Reading<'a> {
    joined: &'a Joined<'a>,
    views: Views,
}

impl<'a> Reading<'a> {
    fn new(model: &Model, joined: &'a Joined<'a>, normalize: bool) -> Self {
        let views = match normalize {
            true => views(&joined.text, &|text, most| model.count_tokens(text, most)),
            false => Views::default(),
        };
        Self { joined, views }
    }

    /// Every view but the text itself.
    fn others(&self) -> impl Iterator<Item = (ViewKind, &View)> {
        let normalized = self.views.normalized.iter();
        let decoded = self.views.decoded.iter();
        normalized
            .map(|view| (ViewKind::Normalized, view))
            .chain(decoded.map(|view| (ViewKind::Decoded, view)))
    }

    fn change(&self, undone: &Undone) -> Change {
        Change {
            kind: undone.kind,
            span: self.joined.span(undone.range.clone()),
            count: undone.count,
        }
    }
}

/// The language of the text as it reads without disguises or of the texts that it holds, whichever
/// is surer: what is encoded looks like some language too.
fn identify(readings: &[Reading<'_>]) -> &'static str {
    let plain = readings
        .iter()
        .map(|reading| match &reading.views.normalized {
            Some(view) => view.text(),
            None => &reading.joined.text,
        });
    let decoded = readings
        .iter()
        .flat_map(|reading| reading.views.decoded.iter().map(View::text));
    let guesses = plain.chain(decoded).filter_map(language::guess);
    let surest = guesses.reduce(|best, next| if next.1 > best.1 { next } else { best });
    surest.map_or(language::UNDETERMINED, |(tag, _)| tag)
}

/// What has been scored so far.
struct Tally<'a> {
    model: &'a Model,
    last: LastWindow,
    coverage: Coverage,
    calibration: Vec<Calibration>,
    scores: Vec<f32>,
    views: Vec<ScoredView>,
    best: Option<Best>,
}

/// The window that scored highest.
struct Best {
    score: f32,
    reading: usize,
    view: Option<usize>,
    tokens: Range<usize>,
    is_only_window: bool,
}

impl Tally<'_> {
    fn add(&mut self, reading: &Reading<'_>, score: &mut Score<'_>) -> Result<()> {
        let index = self
            .views
            .iter()
            .filter(|view| view.kind == ViewKind::Raw)
            .count();
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
        let rows = score(&windows)?;
        debug_assert_eq!(rows.len(), windows.len());
        for (range, logits) in ranges.into_iter().zip(rows) {
            let mut largest = 0.0_f32;
            let calibrated = logits.iter().zip(&self.calibration);
            for ((logit, calibration), score) in calibrated.zip(&mut self.scores) {
                let probability = calibration.probability(*logit);
                *score = score.max(probability);
                largest = largest.max(probability);
            }
            summary.windows += 1;
            summary.score = summary.score.max(largest);
            if self.best.as_ref().is_none_or(|best| largest > best.score) {
                self.best = Some(Best {
                    score: largest,
                    reading,
                    view,
                    is_only_window: range.len() == tokens.len(),
                    tokens: range,
                });
            }
        }
        self.views.push(summary);
        Ok(())
    }

    /// Where the best window lies. Only a text of several windows is tokenised again, for the
    /// places of its tokens.
    fn span(&self, readings: &[Reading<'_>]) -> Result<Option<Span>> {
        let Some(best) = &self.best else {
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

impl Coverage {
    fn checked(self) -> Result<Self> {
        match self {
            Self::Partial { max_tokens: 0 } => Err(Error::argument(
                "coverage of at most 0 tokens; expected at least 1: a text of which nothing is scored gets no verdict",
            )),
            coverage => Ok(coverage),
        }
    }

    fn of(self, tokens: usize) -> usize {
        match self {
            Self::Full => tokens,
            Self::Partial { max_tokens } => tokens.min(max_tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_joining_rules() {
        let texts = |prompt, response, join| -> Vec<String> {
            let input = Input {
                prompt,
                response,
                language: None,
            };
            joined(&input, join)
                .into_iter()
                .map(|text| text.text.into_owned())
                .collect()
        };
        for join in [Join::Space, Join::Newline, Join::Separate] {
            assert_eq!(texts("a", None, join), ["a"]);
            assert_eq!(texts("", Some("b"), join), ["b"]);
            assert_eq!(texts("", Some(""), join), [""]);
        }
        assert_eq!(texts("a", Some("b"), Join::Space), ["a b"]);
        assert_eq!(texts("a", Some("b"), Join::Newline), ["a\nb"]);
        assert_eq!(texts("a", Some("b"), Join::Separate), ["a", "b"]);
    }

    #[test]
    fn spans_are_told_apart_by_prompt_and_response() {
        let input = Input::exchange("añb", "cd");
        let text = &joined(&input, Join::Space)[0];
        assert_eq!(text.text, "añb cd");
        let span = |range| text.span(range);
        assert_eq!(
            span(0..7),
            Span {
                prompt: 0..4,
                response: 0..2
            }
        );
        assert_eq!(
            span(2..4),
            Span {
                prompt: 1..4,
                response: 0..0
            }
        );
        assert_eq!(
            span(4..6),
            Span {
                prompt: 0..0,
                response: 0..1
            }
        );
        assert_eq!(span(4..5), Span::default());
    }
}
