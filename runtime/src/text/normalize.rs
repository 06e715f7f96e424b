//! The views of a text: what it says, apart from how it is written.
//!
//! A view is made only where a rule found something, so that ordinary text in any script is scored once, as it is.

use std::ops::Range;

use super::class::{COMPAT_LETTER, INVISIBLE, LOOKALIKE, RIGHT_TO_LEFT, STACKING};
use super::encoded::Piece;
use super::pieces::Tokens;
use super::rewrite::{ChangeKind, Edits, View};
use super::scan::{Hints, is_rotated, scan};
use super::{encoded, invisible, leet, lookalike, marks, spelling};

/// One thing that was undone: why, where (bytes of the text), and how many characters or words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undone {
    pub(crate) kind: ChangeKind,
    pub(crate) range: Range<usize>,
    pub(crate) count: usize,
}

/// Changes this near to each other, in bytes, are told as one.
const NEAR: usize = 16;

/// How else a text reads.
#[derive(Debug, Default)]
pub(crate) struct Views {
    /// The text with its disguises taken off; absent if it has none.
    pub(crate) normalized: Option<View>,
    /// The texts that it holds in encoded form, and the same with disguises taken off; none, one or two.
    pub(crate) decoded: Vec<View>,
    /// What was undone, in the order of the rules, then of the text.
    pub(crate) undone: Vec<Undone>,
}

/// Reads a text in every way that it may be meant. `tokens` counts the tokens of a text: readable text has fewer.
pub(crate) fn views(text: &str, tokens: Tokens<'_>) -> Views {
    let mut views = Views::default();
    let hints = scan(text);
    if !hints.any() {
        return views;
    }
    let mut state = Stages::new(text, hints);
    state.characters();
    // Messages are looked for before letters are put for digits, which would break base64.
    let mut pieces = state.messages();
    let written = state.hints.rotated.then(|| state.clone());
    state.words(tokens);
    // Leet, which is short of vowels, looks like a language in disguise until it is undone.
    if let Some(written) = written.filter(|_| state.hints.rotated) {
        written.rotated(tokens, &mut pieces);
    }
    pieces.extend(invisible::messages(text, hints.seen));
    (views.normalized, views.undone) = (state.view, state.undone);
    if pieces.is_empty() {
        return views;
    }
    for (range, _, kind) in &pieces {
        note(&mut views.undone, *kind, range.clone(), 1);
    }
    let pieces = pieces.into_iter();
    let decoded = View::of_pieces(pieces.map(|(range, message, _)| (range, message)));
    let mut state = Stages::new(decoded.text(), scan(decoded.text()));
    state.characters();
    state.words(tokens);
    let (plainer, undone) = (state.view, state.undone);
    views.undone.extend(undone.into_iter().map(|undone| Undone {
        range: decoded.origin(undone.range),
        ..undone
    }));
    let plainer = plainer.map(|view| view.after(&decoded));
    views.decoded.push(decoded);
    views.decoded.extend(plainer);
    views
}

/// A text on its way through the rules.
#[derive(Clone)]
struct Stages<'a> {
    text: &'a str,
    view: Option<View>,
    /// What the text as it now is may hold.
    hints: Hints,
    undone: Vec<Undone>,
}

impl<'a> Stages<'a> {
    fn new(text: &'a str, hints: Hints) -> Self {
        Self {
            text,
            view: None,
            hints,
            undone: Vec::new(),
        }
    }

    fn current(&self) -> &str {
        self.view.as_ref().map_or(self.text, View::text)
    }

    /// Tells whether the rule changed anything.
    fn apply(&mut self, rule: impl FnOnce(&str) -> Edits) -> bool {
        let edits = rule(self.current());
        if edits.is_empty() {
            return false;
        }
        for edit in edits.iter() {
            let range = self.origin(edit.range());
            note(&mut self.undone, edit.kind, range, edit.count());
        }
        self.view = Some(match self.view.take() {
            Some(view) => view.rewritten(edits),
            None => View::edited(self.text, edits),
        });
        true
    }

    /// Undoes what is done to characters.
    fn characters(&mut self) {
        if self.hints.escaped && self.apply(encoded::escape_edits) {
            self.hints = scan(self.current());
        }
        let hints = self.hints;
        let mut is_changed = false;
        if hints.has(INVISIBLE) {
            let is_right_to_left = hints.has(RIGHT_TO_LEFT);
            is_changed |= self.apply(|text| invisible::edits(text, is_right_to_left));
        }
        if hints.has(STACKING) {
            is_changed |= self.apply(marks::edits);
        }
        if hints.has(COMPAT_LETTER) {
            is_changed |= self.apply(lookalike::compatibility_edits);
        }
        if hints.has(LOOKALIKE) && (hints.ascii_letters || hints.has(COMPAT_LETTER)) {
            is_changed |= self.apply(lookalike::confusable_edits);
        }
        if is_changed {
            self.hints = scan(self.current());
        }
    }

    /// Undoes what is done to words.
    fn words(&mut self, tokens: Tokens<'_>) {
        if self.hints.spelt && self.apply(spelling::edits) {
            self.hints = scan(self.current());
        }
        if self.hints.leet && self.apply(|text| leet::edits(text, tokens)) {
            // Nothing else is asked from here on.
            self.hints.rotated = is_rotated(self.current());
        }
    }

    /// The texts that this one holds in encoded form, by their places in the first.
    fn messages(&self) -> Vec<Piece> {
        let mut pieces = match self.hints.encoded {
            true => encoded::decoded(self.current()),
            false => Vec::new(),
        };
        for piece in &mut pieces {
            piece.0 = self.origin(piece.0.clone());
        }
        pieces
    }

    /// Adds the sentences that are a language with its letters moved to the messages, which are in order.
    fn rotated(&self, tokens: Tokens<'_>, pieces: &mut Vec<Piece>) {
        // What is base64 is not a language in disguise.
        let messages = pieces.len();
        for mut piece in encoded::rotated(self.current(), tokens) {
            piece.0 = self.origin(piece.0);
            let before =
                pieces[..messages].partition_point(|(place, ..)| place.end <= piece.0.start);
            let next = pieces[..messages].get(before);
            if next.is_none_or(|(place, ..)| piece.0.end <= place.start) {
                pieces.push(piece);
            }
        }
    }

    fn origin(&self, range: Range<usize>) -> Range<usize> {
        match &self.view {
            Some(view) => view.origin(range),
            None => range,
        }
    }
}

impl Hints {
    fn has(self, flags: u32) -> bool {
        self.seen & flags != 0
    }

    fn any(self) -> bool {
        self.spelt
            || self.leet
            || self.encoded
            || self.escaped
            || self.rotated
            || self.has(INVISIBLE | STACKING | COMPAT_LETTER)
            || self.has(LOOKALIKE) && self.ascii_letters
    }
}

fn note(undone: &mut Vec<Undone>, kind: ChangeKind, range: Range<usize>, count: usize) {
    if let Some(last) = undone.last_mut()
        && last.kind == kind
        && (last.range.end..=last.range.end + NEAR).contains(&range.start)
    {
        last.range.end = range.end;
        last.count += count;
        return;
    }
    undone.push(Undone { kind, range, count });
}
