//! Words with digits and signs for letters.

mod speller;
mod words;

use super::class::{self, CASED};
use super::pieces::Tokens;
use super::rewrite::{ChangeKind, Editor, Edits};
use super::scan::Leet;
use speller::{Speller, Spelling};
use words::{ALPHABETIC, LEET, NUMERAL, Word, groups_around, leet, words, words_at};

/// A text is in leet, down to its numbers, from this many words on, if they are this share (a
/// quarter) of its words.
const MIN_LEET_WORDS: usize = 3;
const MIN_LEET_SHARE: usize = 4;
/// The longest number that stands for a word in such a text.
const MAX_LEET_NUMBER: usize = 4;
/// No tokenizer knows longer words of mixed case.
const MAX_KNOWN_WORD: usize = 24;
/// A word that only begins with a digit has at least this many letters after it: "4th" is not
/// "ath".
const MIN_AFTER_DIGIT: usize = 3;

/// Puts letters for digits and signs in words, where that makes a word the tokenizer knows better:
/// where it takes fewer tokens.
///
/// A word with a digit or sign among its letters is taken by itself. Others, numbers among them,
/// only in a text that is in leet.
pub(super) fn edits(text: &str, hints: &Leet, tokens: Tokens<'_>) -> Edits {
    let mut reader = Reader {
        speller: Speller::new(text, tokens),
        editor: Editor::new(text),
        is_leet: is_leet(hints.mixed, hints.lettered),
        words: 0,
        likely: Vec::new(),
    };
    match hints.places.as_deref().filter(|_| !reader.is_leet) {
        // Where too few words can be in leet, only those that are by themselves are looked at.
        Some(places) => words_at(text, places).for_each(|word| reader.read(word)),
        None => words(text).for_each(|word| reader.read(word)),
    }
    reader.finish()
}

/// Whether a text is in leet, by how many of its words are likely to be.
fn is_leet(likely: usize, words: usize) -> bool {
    likely >= MIN_LEET_WORDS && likely * MIN_LEET_SHARE >= words
}

/// Reads words that may be in leet.
struct Reader<'a> {
    speller: Speller<'a>,
    editor: Editor<'a>,
    /// Whether the text is taken to be in leet. Whether so many of its words are, only the last one
    /// tells.
    is_leet: bool,
    /// Words with letters.
    words: usize,
    /// Which edits are of words that are likely to be in leet.
    likely: Vec<u32>,
}

impl Reader<'_> {
    fn read(&mut self, mut word: Word<'_>) {
        let has_letters = word.seen & ALPHABETIC != 0;
        self.words += usize::from(has_letters);
        if word.text.starts_with('@') && has_letters {
            self.speller.leave_address(&mut word);
        }
        if word.seen & LEET == 0 || !has_letters && !self.is_leet || is_encoded(word.text) {
            return;
        }
        let Some(spelling) = self.speller.spell(&word) else {
            return;
        };
        let is_read = match (self.is_leet, has_letters) {
            (true, true) => true,
            // Numbers short enough to be words, that are words the tokenizer knows.
            (true, false) => {
                spelling.is_better || word.text.len() <= MAX_LEET_NUMBER && spelling.is_known
            }
            (false, _) => self.is_likely(&word, spelling) && is_leet_shaped(word.text),
        };
        if !is_read {
            return;
        }
        if has_letters && self.is_likely(&word, spelling) {
            self.likely.push(self.editor.count() as u32);
        }
        let range = word.start..word.start + word.text.len();
        let spelt = self.speller.spelt(spelling);
        self.editor.replace(range, spelt, ChangeKind::Leet);
    }

    /// Whether a word is likely to be in leet by itself, and not to be an identifier or a part of
    /// one.
    fn is_likely(&mut self, word: &Word<'_>, spelling: Spelling) -> bool {
        let text = self.speller.text;
        let is_other_readable = |group: Word<'_>| {
            let is_number = group.seen & ALPHABETIC == 0;
            match group.seen & (LEET | NUMERAL) {
                0 => true,
                _ if is_number => group.text.len() == 1,
                _ => {
                    let spelling = self.speller.spell(&group);
                    spelling.is_some_and(|s| s.is_better && s.is_like_word)
                }
            }
        };
        spelling.is_better
            && spelling.is_like_word
            && groups_around(text, word).all(is_other_readable)
    }

    fn finish(self) -> Edits {
        let edits = self.editor.finish();
        if !self.is_leet || is_leet(self.likely.len(), self.words) {
            return edits;
        }
        // It is not in leet after all: only words that are so by themselves.
        let text = self.speller.text;
        let mut editor = Editor::new(text);
        for index in self.likely {
            let (range, spelt) = edits.nth(index as usize);
            if is_leet_shaped(&text[range.clone()]) {
                editor.replace(range, spelt, ChangeKind::Leet);
            }
        }
        editor.finish()
    }
}

/// Whether a word is too long to be known as a whole and in such capitals or digits as only
/// encodings have: no word, whatever it may be spelt as.
fn is_encoded(word: &str) -> bool {
    word.len() > MAX_KNOWN_WORD && (speller::is_hexadecimal(word) || speller::is_mixed_case(word))
}

/// Whether a word has a digit or sign among its letters, and not just a number before or behind it.
fn is_leet_shaped(word: &str) -> bool {
    let is_letter = |c: char| class::of(c).is(CASED);
    let letters = word.chars().filter(|c| is_letter(*c)).count();
    let (Some(first), Some(last)) = (word.find(is_letter), word.rfind(is_letter)) else {
        return false;
    };
    let has_inside = word[first..last].chars().any(|c| leet(c).is_some());
    let starts = first == 1 && letters >= MIN_AFTER_DIGIT;
    has_inside || starts
}

#[cfg(test)]
mod tests {
    use super::speller::text_of;
    use super::*;
    use crate::text::rewrite::edited;
    use crate::text::scan::scan;

    /// Knows the words of the tests: one token each, and one per character of any other word.
    fn tokens(text: &[u8], most: usize) -> usize {
        let text = text_of(text);
        const KNOWN: [&str; 10] = [
            "bake", "bread", "at", "At", "home", "illegal", "pastry", "BAKE", "to", "I",
        ];
        let count = match KNOWN.contains(&text.trim()) {
            true => 1,
            false => text.chars().count(),
        };
        count.min(most)
    }

    fn plain(text: &str) -> String {
        let edits = edits(text, &scan(text).leet, &tokens);
        edited(text, edits)
    }

    #[test]
    fn digits_and_signs_for_letters() {
        for (leet, expected) in [
            ("b4k3 br34d", "bake bread"),
            ("B4K3", "BAKE"),
            ("1ll3g4l p@$try", "illegal pastry"),
            ("b4k€", "bake"),
            ("@t h0m3 b4k3 br34d", "At home bake bread"),
            ("@b4k3ry b4k3", "@b4k3ry bake"),
            ("h0m3 b4k3 br34d 70 100 47", "home bake bread to 100 at"),
            ("1 b4k3 br34d 47 h0m3", "I bake bread at home"),
            ("47 h0m3 1 b4k3 br34d", "At home I bake bread"),
            ("b4k3!|+ !br34d 1945", "bake!|+ !bread 1945"),
        ] {
            assert_eq!(plain(leet), expected, "{leet}");
        }
        for benign in [
            "",
            "!!",
            "Serial number HTF9H7JT3634",
            "3f0a9c41-77b0-4e15-a3d1-9c0e5be7a413",
            "sha512-dGhlIHF1aWNrIGJyb3duIGZveA8sK3Zq0Tn5xW9",
            "K7T5B-4H3JQ-9XW0P-T6R4N-HM8Q3",
            "the 4th at 5pm",
            "mp3 and h264, 3D",
            "win10!",
            "47 and 15",
            "a@b.example",
            "@baker @bakery @home",
        ] {
            assert_eq!(plain(benign), benign);
        }
    }

    #[test]
    fn words_are_told_apart() {
        let found: Vec<_> = words("|b4ke| é1! 中2 +|! x, ½ 12")
            .map(|word| {
                let has = |kind| word.seen & kind != 0;
                (word.start, word.text, has(ALPHABETIC), has(LEET))
            })
            .collect();
        assert_eq!(
            found,
            [
                (1, "b4ke", true, true),
                (7, "é1", true, true),
                (12, "中2", true, false),
                (17, "", false, false),
                (21, "x", true, false),
                (24, "½", false, false),
                (27, "12", false, true),
            ]
        );
    }
}
