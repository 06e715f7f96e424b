//! The views of a text: what it says, apart from how it is written.
//!
//! A view is made only where a rule found something, so that ordinary text in any script is scored
//! once, as it is.

use std::ops::Range;

use super::class::{COMPAT_LETTER, INVISIBLE, LOOKALIKE, RIGHT_TO_LEFT, STACKING};
use super::encoded::Piece;
use super::pieces::Tokens;
use super::rewrite::{ChangeKind, Editor, Edits};
use super::rotated::Rotated;
use super::scan::{Hints, scan};
use super::view::View;
use super::{encoded, invisible, leet, lookalike, marks, spelling, template};

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
    /// The texts that it holds in encoded form, and the same with disguises taken off; none, one or
    /// two.
    pub(crate) decoded: Vec<View>,
    /// Whether these say exactly what the text does, so that how it is written counts for nothing:
    /// it was encoded, or stood in a chat template.
    pub(crate) supersede: bool,
    /// What was undone, in the order of the rules, then of the text.
    pub(crate) undone: Vec<Undone>,
}

/// Reads a text in every way that it may be meant. `tokens` counts the tokens of a text: readable
/// text has fewer.
pub(crate) fn views(text: &str, tokens: Tokens<'_>) -> Views {
    let mut views = Views::default();
    let hints = scan(text);
    let unwrapped = template::unwrap(text);
    if !hints.any() && unwrapped.is_none() {
        return views;
    }
    let seen = hints.seen;
    let mut state = Stages::new(text, hints);
    if let Some(unwrapped) = unwrapped
        && state.apply(unwrapped.edits)
    {
        state.supersedes = unwrapped.is_exchange;
        state.hints = scan(state.current());
    }
    state.characters();
    // Messages are looked for before letters are put for digits, which would break base64.
    let mut pieces = state.messages();
    let noted = pieces.len();
    if noted > 0 {
        // What was encoded may be disguised as well.
        state.characters();
    }
    let written = state.words(tokens);
    if state.hints.rotated.any() {
        let written = written.as_ref().unwrap_or(&state);
        written.rotated(tokens, &mut pieces);
    }
    pieces.extend(invisible::messages(text, seen));
    // What any other rule undid on top, such as an override that shows the text backwards, is a
    // guess at what is meant, beside which the text as it is written counts too.
    let is_exact = |undone: &Undone| undone.kind.is_exact();
    views.supersede = state.supersedes && state.undone.iter().all(is_exact);
    (views.normalized, views.undone) = (state.view, state.undone);
    if pieces.is_empty() {
        return views;
    }
    for (range, _, kind) in &pieces[noted..] {
        note(&mut views.undone, *kind, range.clone(), 1);
    }
    let pieces = pieces.into_iter();
    let decoded = View::of_pieces(pieces.map(|(range, message, _)| (range, message)));
    let mut state = Stages::new(decoded.text(), scan(decoded.text()));
    state.characters();
    // Nobody asks whether a text that was encoded is rotated too.
    state.hints.rotated = Rotated::default();
    state.words(tokens);
    let (plainer, undone) = (state.view, state.undone);
    views.undone.extend(undone.into_iter().map(|undone| Undone {
        range: decoded.origin(undone.range),
        ..undone
    }));
    let plainer = plainer.map(|view| view.after(&decoded));
    views.decoded.push(decoded);
    views.decoded.extend(plainer);
    // A text that is encoded as a whole reads but one way.
    let is_all = |all: &View| views.decoded.iter().any(|view| view.text() == all.text());
    views.normalized = views.normalized.filter(|all| !is_all(all));
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
    /// Whether what was undone is exactly what the text says.
    supersedes: bool,
}

impl<'a> Stages<'a> {
    fn new(text: &'a str, hints: Hints) -> Self {
        Self {
            text,
            view: None,
            hints,
            undone: Vec::new(),
            supersedes: false,
        }
    }

    fn current(&self) -> &str {
        self.view.as_ref().map_or(self.text, View::text)
    }

    /// Makes the edits of a rule, and tells whether there are any.
    fn apply(&mut self, edits: Edits) -> bool {
        if edits.is_empty() {
            return false;
        }
        for edit in edits.iter() {
            let range = self.origin(edit.range());
            note(&mut self.undone, edit.kind, range, edit.count());
        }
        self.view = Some(match self.view.take() {
            Some(view) => view.rewritten(edits),
            None => View::edited(edits),
        });
        true
    }

    /// Undoes what is done to characters.
    fn characters(&mut self) {
        if self.hints.escaped && self.apply(encoded::escape_edits(self.current())) {
            self.supersedes = true;
            self.hints = scan(self.current());
        }
        let hints = std::mem::take(&mut self.hints);
        let mut is_changed = false;
        if hints.has(INVISIBLE) {
            let is_right_to_left = hints.has(RIGHT_TO_LEFT);
            is_changed |= self.apply(invisible::edits(self.current(), is_right_to_left));
        }
        if hints.has(STACKING) {
            is_changed |= self.apply(marks::edits(self.current()));
        }
        if hints.has(COMPAT_LETTER) {
            is_changed |= self.apply(lookalike::compatibility_edits(self.current()));
        }
        if hints.has(LOOKALIKE) && (hints.ascii_letters || hints.has(COMPAT_LETTER)) {
            is_changed |= self.apply(lookalike::confusable_edits(self.current()));
        }
        self.hints = match is_changed {
            true => scan(self.current()),
            false => hints,
        };
    }

    /// Undoes what is done to words. Gives back the text as it was written, if that may be rotated
    /// and is not what it was any more.
    fn words(&mut self, tokens: Tokens<'_>) -> Option<Self> {
        let is_rotated = self.hints.rotated.any();
        let mut written = None;
        if self.hints.spelt {
            let edits = spelling::edits(self.current());
            if !edits.is_empty() {
                written = is_rotated.then(|| self.clone());
                self.hints.leet = self.hints.leet.after(self.current(), &edits);
                self.hints.rotated = self.hints.rotated.after(self.current(), &edits);
                self.apply(edits);
            }
        }
        if self.hints.leet.seen > 0 {
            let edits = leet::edits(self.current(), &self.hints.leet, tokens);
            if !edits.is_empty() {
                let rotated = &self.hints.rotated;
                let is_wanted = rotated.any() && written.is_none();
                let mut before = is_wanted.then(|| self.clone());
                if rotated.may_change(self.current(), &edits) {
                    // Leet, which is short of vowels, looks like a language in disguise until it is
                    // undone.
                    let after = rotated.after(self.current(), &edits);
                    if let Some(before) = &mut before {
                        before.hints.rotated.retain(&edits, &after);
                    }
                    self.hints.rotated = after;
                }
                self.apply(edits);
                written = written.or(before);
            }
        }
        written
    }

    /// The texts that this one holds in encoded form, by their places in the first; and writes each
    /// in its place.
    fn messages(&mut self) -> Vec<Piece> {
        let mut pieces = encoded::decoded(self.current(), &self.hints);
        let mut editor = Editor::new(self.current());
        let mut inner = Vec::new();
        for (range, message, kind) in &pieces {
            // Those found in a message stand at its place, behind it.
            match editor.end() <= range.start {
                true => editor.replace(range.clone(), message, *kind),
                false => inner.push((*kind, self.origin(range.clone()))),
            }
        }
        let edits = editor.finish();
        for piece in &mut pieces {
            piece.0 = self.origin(piece.0.clone());
        }
        if self.apply(edits) {
            self.supersedes = true;
            self.hints = scan(self.current());
        }
        for (kind, range) in inner {
            note(&mut self.undone, kind, range, 1);
        }
        pieces
    }

    /// Adds the sentences that are a language with its letters moved to the messages, which are in
    /// order.
    fn rotated(&self, tokens: Tokens<'_>, pieces: &mut Vec<Piece>) {
        // What is base64 is not a language in disguise.
        let messages = pieces.len();
        for mut piece in encoded::rotated(self.current(), &self.hints.rotated, tokens) {
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
