//! The views of a text: what it says, apart from how it is written.
//!
//! A view is made only where a rule found something, so that ordinary text in any script is scored once, as it is.

use std::ops::Range;

use super::class::{COMPAT_LETTER, INVISIBLE, LOOKALIKE, STACKING};
use super::rewrite::{ChangeKind, Edit, View};
use super::scan::{Hints, scan};
use super::{encoded, invisible, lookalike, marks, spelling};

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
pub(crate) fn views(text: &str, tokens: &dyn Fn(&str) -> usize) -> Views {
    let mut views = Views::default();
    let hints = scan(text);
    if !hints.any() {
        return views;
    }
    let mut state = Stages {
        view: None,
        text,
        undone: &mut views.undone,
    };
    state.characters(hints);
    let (now, so_far) = (state.current().to_owned(), state.view.clone());
    let hints = match &so_far {
        Some(view) => scan(view.text()),
        None => hints,
    };
    state.words(hints, tokens);
    views.normalized = state.view;

    // Messages are looked for before letters are put for digits, which would break base64.
    let mut pieces = Vec::new();
    if hints.encoded {
        pieces.extend(encoded::decoded(&now));
    }
    if hints.rotated {
        // What is base64 is not a language in disguise.
        let others = pieces.clone();
        let is_apart = |range: &Range<usize>| {
            others
                .iter()
                .all(|(other, ..)| other.end <= range.start || range.end <= other.start)
        };
        let rotated = encoded::rotated(&now, tokens).into_iter();
        pieces.extend(rotated.filter(|(range, ..)| is_apart(range)));
    }
    if let Some(view) = &so_far {
        for piece in &mut pieces {
            piece.0 = view.origin(piece.0.clone());
        }
    }
    if scanned(text, INVISIBLE) {
        pieces.extend(invisible::messages(text));
    }
    if pieces.is_empty() {
        return views;
    }
    for (range, _, kind) in &pieces {
        note(&mut views.undone, *kind, range.clone());
    }
    let decoded = View::of_pieces(
        pieces
            .into_iter()
            .map(|(range, message, _)| (range, message)),
    );
    let mut inner = Vec::new();
    let mut state = Stages {
        view: None,
        text: decoded.text(),
        undone: &mut inner,
    };
    let hints = scan(decoded.text());
    state.characters(hints);
    state.words(scan(state.current()), tokens);
    let plainer = state.view.map(|view| view.after(&decoded));
    for undone in inner {
        views.undone.push(Undone {
            range: decoded.origin(undone.range),
            ..undone
        });
    }
    views.decoded.push(decoded);
    views.decoded.extend(plainer);
    views
}

/// Whether the text has characters with any of these properties outside ASCII.
fn scanned(text: &str, flags: u32) -> bool {
    scan(text).seen & flags != 0
}

/// A text on its way through the rules.
struct Stages<'a> {
    text: &'a str,
    view: Option<View>,
    undone: &'a mut Vec<Undone>,
}

impl Stages<'_> {
    fn current(&self) -> &str {
        self.view.as_ref().map_or(self.text, View::text)
    }

    fn apply(&mut self, rule: impl FnOnce(&str) -> Vec<Edit>) {
        let edits = rule(self.current());
        if edits.is_empty() {
            return;
        }
        let view = self.view.take().unwrap_or_else(|| View::of(self.text));
        for edit in &edits {
            note(self.undone, edit.kind, view.origin(edit.range.clone()));
        }
        self.view = Some(view.rewritten(edits));
    }

    /// Undoes what is done to characters.
    fn characters(&mut self, mut hints: Hints) {
        if hints.escaped {
            self.apply(encoded::escape_edits);
            hints = scan(self.current());
        }
        if hints.has(INVISIBLE) {
            self.apply(invisible::edits);
        }
        if hints.has(STACKING) {
            self.apply(marks::edits);
        }
        if hints.has(COMPAT_LETTER) {
            self.apply(lookalike::compatibility_edits);
        }
        if hints.has(LOOKALIKE) && (hints.ascii_letters || hints.has(COMPAT_LETTER)) {
            self.apply(lookalike::confusable_edits);
        }
    }

    /// Undoes what is done to words.
    fn words(&mut self, hints: Hints, tokens: &dyn Fn(&str) -> usize) {
        let mut leet = hints.leet;
        if hints.spelt {
            self.apply(spelling::spelt_edits);
            leet = scan(self.current()).leet;
        }
        if leet {
            self.apply(|text| spelling::leet_edits(text, tokens));
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

fn note(undone: &mut Vec<Undone>, kind: ChangeKind, range: Range<usize>) {
    if let Some(last) = undone.last_mut()
        && last.kind == kind
        && (last.range.end..=last.range.end + NEAR).contains(&range.start)
    {
        last.range.end = range.end;
        last.count += 1;
        return;
    }
    undone.push(Undone {
        kind,
        range,
        count: 1,
    });
}
