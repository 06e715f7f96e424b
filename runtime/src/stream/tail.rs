//! Verdicts on the way: the latest text is scored, and the text before it counts with the largest
//! scores that it had.

use std::cell::RefCell;
use std::ops::Range;

use crate::check::{How, check};
use crate::error::Result;
use crate::input::{Edges, Input, Span, is_edge};
use crate::model::Model;
use crate::options::{CheckOptions, Coverage};
use crate::policy::flagged_category;
use crate::tally::Score;
use crate::text::language;
use crate::text::window::{LastWindow, windows};
use crate::verdict::{MAX_CHANGES, Verdict};

/// Where the parts of the caller's input lie in the text that a stream scores.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The prompt, where it is not the stream itself.
    pub(super) prompt: Range<usize>,
    /// Where the streamed text begins.
    pub(super) stream_start: usize,
    /// Whether the stream is a response.
    pub(super) is_response: bool,
}

impl Layout {
    fn span(&self, range: Range<usize>) -> Span {
        let within = |part: Range<usize>| {
            let overlap = range.start.max(part.start)..range.end.min(part.end);
            match overlap.is_empty() {
                true => 0..0,
                false => overlap.start - part.start..overlap.end - part.start,
            }
        };
        let streamed = within(self.stream_start..usize::MAX);
        match self.is_response {
            true => Span {
                prompt: within(self.prompt.clone()),
                response: streamed,
            },
            false => Span {
                prompt: streamed,
                response: 0..0,
            },
        }
    }
}

/// How far the early looks at a text have come.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    /// Where the unsettled rest of the text begins.
    start: usize,
    /// Whether what lies before is more than white space.
    has_moved: bool,
    /// The verdict on what lies before.
    settled: Option<Verdict>,
    languages: language::Growing,
}

impl Tail {
    /// A tail behind another text that has a verdict.
    pub(super) fn after(settled: Option<Verdict>) -> Self {
        Self {
            settled,
            ..Self::default()
        }
    }

    /// The verdict on all of `text` so far, which only ever grows.
    pub(super) fn check(
        &mut self,
        model: &Model,
        (text, layout): (&str, &Layout),
        (options, language, last): (&CheckOptions, Option<&str>, LastWindow),
        score: &mut Score<'_>,
    ) -> Result<Verdict> {
        if !self.has_moved {
            self.start = text.len() - text.trim_start_matches(is_edge).len();
        }
        let mut of_rest = CheckOptions {
            allowed: Default::default(),
            ..options.clone()
        };
        if let (Coverage::Partial { max_tokens }, Some(settled)) = (options.coverage, &self.settled)
        {
            // A cap counts from the beginning. Where it is used up, one token more is scored than
            // asked for.
            let left = max_tokens.saturating_sub(settled.tokens).max(1);
            of_rest.coverage = Coverage::Partial { max_tokens: left };
        }
        // A language head tells it from what is scored.
        let known = match language.is_none() && model.manifest().languages.is_empty() {
            true => self.languages.guess(text).map(|(tag, _)| tag),
            false => language,
        };
        let input = Input {
            language: known,
            // What stands at its end may yet turn out to be within the text.
            ..Input::prompt(text[self.start..].trim_end_matches(is_edge))
        };
        let languages = RefCell::new(&mut self.languages);
        let how = How {
            last,
            edges: Edges::Kept,
            guess: &|text: &str| languages.borrow_mut().guess(text),
        };
        let latest = check(model, &input, &of_rest, how, score)?;
        let rest_tokens = latest.tokens;
        let mut verdict = self.placed(latest, layout);
        if let Some(settled) = &self.settled {
            merge(&mut verdict, settled);
        }
        let policy = &model.manifest().policy;
        let thresholds = policy.thresholds_with(model.categories(), &verdict.language, options)?;
        verdict.allowed =
            options.allowed.contains(text) || options.allowed.contains(text.trim_matches(is_edge));
        verdict.category =
            flagged_category(&verdict.scores, &thresholds).filter(|_| !verdict.allowed);
        verdict.flagged = verdict.category.is_some();
        self.settle(model, text, rest_tokens, &verdict)?;
        Ok(verdict)
    }

    /// The verdict on the rest with its places told in the caller's input.
    fn placed(&self, mut latest: Verdict, layout: &Layout) -> Verdict {
        let place = |span: &mut Span| {
            let range = &span.prompt;
            *span = layout.span(range.start + self.start..range.end + self.start);
        };
        latest.span.iter_mut().for_each(place);
        latest
            .changes
            .iter_mut()
            .for_each(|change| place(&mut change.span));
        latest
    }

    /// Moves the start past windows that are complete, once there are enough, and keeps two
    /// windows' worth of text.
    ///
    /// It moves by whole strides of tokens, to where a token begins, so that the windows of the
    /// rest are those of the whole text wherever the tokenizer agrees with itself.
    fn settle(
        &mut self,
        model: &Model,
        text: &str,
        rest_tokens: usize,
        verdict: &Verdict,
    ) -> Result<()> {
        let limits = model.manifest().limits;
        let stride = limits.window_tokens - limits.overlap_tokens;
        let strides = rest_tokens.saturating_sub(2 * limits.window_tokens) / stride;
        if strides == 0 {
            return Ok(());
        }
        let rest = &text[self.start..];
        // The end of the token before, not the beginning of the next: tokenizers leave the space
        // between them out of both.
        let end = model.token_span(rest, 0..strides * stride)?.end;
        self.start += rest.floor_char_boundary(end);
        self.has_moved = true;
        let mut settled = verdict.clone();
        settled.tokens -= rest_tokens - strides * stride;
        settled.tokens_scored = settled.tokens_scored.min(settled.tokens);
        settled.windows -= windows(rest_tokens, limits, LastWindow::Full).count() - strides;
        self.settled = Some(settled);
        Ok(())
    }
}

/// Adds what was found before to what was found in the rest.
fn merge(verdict: &mut Verdict, settled: &Verdict) {
    if settled.score >= verdict.score {
        verdict.span = settled.span.clone();
    }
    for (score, before) in verdict.scores.iter_mut().zip(&settled.scores) {
        *score = score.max(*before);
    }
    verdict.score = verdict.score.max(settled.score);
    verdict.tokens += settled.tokens;
    verdict.tokens_scored += settled.tokens_scored;
    verdict.windows += settled.windows;
    // The rest begins before the settled part ends, and may tell of the same disguise again.
    let new: Vec<_> = verdict
        .changes
        .drain(..)
        .filter(|c| !settled.changes.contains(c))
        .collect();
    verdict.changes_total = settled.changes_total + new.len();
    verdict.changes = settled
        .changes
        .iter()
        .cloned()
        .chain(new)
        .take(MAX_CHANGES)
        .collect();
}
