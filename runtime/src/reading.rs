//! A text as it is written, and how else it reads.

use crate::input::Joined;
use crate::model::Model;
use crate::text::language::{Guess, UNDETERMINED};
use crate::text::normalize::{Views, views};
use crate::text::view::View;
use crate::verdict::{Change, ViewKind};

/// A text and its other views.
pub(crate) struct Reading<'a> {
    pub(crate) joined: Joined<'a>,
    pub(crate) views: Views,
}

impl<'a> Reading<'a> {
    /// Reads a text; with `normalize`, in every way that it may be meant.
    pub(crate) fn new(model: &Model, joined: Joined<'a>, normalize: bool) -> Self {
        let views = match normalize {
            true => views(&joined.text, &|text, most| model.count_tokens(text, most)),
            false => Views::default(),
        };
        Self { joined, views }
    }

    /// Every view but the text itself.
    pub(crate) fn others(&self) -> impl Iterator<Item = (ViewKind, &View)> {
        let normalized = self.views.normalized.iter();
        let decoded = self.views.decoded.iter();
        normalized
            .map(|view| (ViewKind::Normalized, view))
            .chain(decoded.map(|view| (ViewKind::Decoded, view)))
    }

    /// What was undone to read it so, by its places in the caller's input.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Change> + Clone {
        self.views.undone.iter().map(|undone| Change {
            kind: undone.kind,
            span: self.joined.span(undone.range.clone()),
            count: undone.count,
        })
    }
}

/// The language of the text as it reads without disguises or of the texts that it holds, whichever
/// is surer: what is encoded looks like some language too.
pub(crate) fn identify(
    readings: &[Reading<'_>],
    guess: &dyn Fn(&str) -> Option<Guess>,
) -> &'static str {
    let plain = readings
        .iter()
        .map(|reading| match &reading.views.normalized {
            Some(view) => view.text(),
            None => &reading.joined.text,
        });
    let decoded = readings
        .iter()
        .flat_map(|reading| reading.views.decoded.iter().map(View::text));
    let guesses = plain.chain(decoded).filter_map(guess);
    let surest = guesses.reduce(|best, next| if next.1 > best.1 { next } else { best });
    surest.map_or(UNDETERMINED, |(tag, _)| tag)
}
