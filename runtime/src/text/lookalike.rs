//! Letters that pass for others: compatibility forms (NFKC) and confusables (UTS 39).

use std::ops::Range;
use std::sync::LazyLock;

use unicode_script::Script;

use super::alphabet::{ALL, ALPHABETS, LATIN, LATIN_BIT};
use super::bits::{SIZE, each, ends_of_runs_with, run_with};
use super::block::{Block, each_odd};
use super::class::{self, COMPAT_ASCII, COMPAT_LETTER, Class, LETTER, LOOKALIKE, MARK, NUMBER};
use super::rewrite::{ChangeKind, Editor, Edits};

/// Shorter words in letters of another alphabet are no disguise by themselves.
const MIN_WORD: usize = 3;

/// Replaces compatibility forms of letters, and what stands beside them, by the plain characters.
pub(super) fn compatibility_edits(text: &str) -> Edits {
    let mut editor = Editor::new(text);
    let (mut after_letter, mut after_number) = (false, false);
    let mut end = 0;
    each_odd(text, |at, c, class| {
        if at > end {
            let before = text.as_bytes()[at - 1];
            (after_letter, after_number) = (false, before.is_ascii_digit());
        }
        end = at + c.len_utf8();
        let is_letter = class.is(COMPAT_LETTER);
        let before_letter = || text[end..].starts_with(|c| class::of(c).is(COMPAT_LETTER));
        // An ordinal, as in 1ª, is no disguise.
        let is_hit = is_letter && !after_number
            || class.is(COMPAT_ASCII) && (after_letter || before_letter());
        if is_hit && let Some(plain) = class::forms(c).plain {
            editor.swap(at..end, plain, ChangeKind::Compatibility);
        }
        (after_letter, after_number) = (is_letter, class.is(NUMBER));
    });
    editor.finish()
}

/// Replaces letters of other alphabets in words that would read as words of one.
///
/// A word of letters of two alphabets is read in the one that all of its letters can pass for. A
/// word of one alphabet, all of whose letters pass for Latin, is read as Latin in a text that is
/// mostly Latin.
pub(super) fn confusable_edits(text: &str) -> Edits {
    let mut reader = Reader {
        text,
        mostly_latin: is_mostly_latin(text),
        editor: Editor::new(text),
        has_words: false,
    };
    match reader.mostly_latin {
        true => reader.read_latin(),
        false => reader.read_words(0..text.len()),
    }
    match reader.has_words {
        true => reader.editor.finish(),
        false => Edits::default(),
    }
}

/// Whether most of the letters that can be of one alphabet only are Latin.
fn is_mostly_latin(text: &str) -> bool {
    let (mut latin, mut other) = (0_usize, 0_usize);
    let mut at = 0;
    // What is left may turn it.
    while at < text.len() && latin.abs_diff(other) <= text.len() - at {
        let block = Block::of(text, at, |_, _, class| {
            if class.is(LETTER) {
                let is_latin = class.script == Script::Latin;
                latin += usize::from(is_latin);
                other += usize::from(!is_latin && !class.is(LOOKALIKE));
            }
        });
        let bytes = &text.as_bytes()[at..at + block.len];
        let surely = bytes.iter().map(|byte| SURELY_LATIN[usize::from(*byte)]);
        latin += surely.map(usize::from).sum::<usize>();
        at += block.len;
    }
    latin > other
}

/// The letters from A to z that are no others in disguise.
static SURELY_LATIN: LazyLock<[bool; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| {
        let letter = char::from(byte as u8);
        let fitting = || class::of(letter).alphabets().fitting;
        letter.is_ascii_alphabetic() && fitting() == LATIN_BIT
    })
});

/// Reads words, and writes their letters as those of the alphabet that they are read in.
struct Reader<'a> {
    text: &'a str,
    mostly_latin: bool,
    editor: Editor<'a>,
    /// Whether one of the words is long enough. One letter alone, or two of two alphabets (ΔT), are
    /// a symbol more often than a word, unless there are disguised words around them.
    has_words: bool,
}

impl Reader<'_> {
    /// Reads a text that is mostly Latin: a word is Latin if all of its letters can be, and the
    /// words of a block are asked at once.
    fn read_latin(&mut self) {
        let mut at = 0;
        while at < self.text.len() {
            let (mut unfit, mut found) = (0, 0);
            let mut block = Block::of(self.text, at, |index, _, class| {
                let bit = u64::from(class.is(LETTER)) << index;
                let fits = class.alphabets().fitting & LATIN_BIT != 0;
                unfit |= if fits { 0 } else { bit };
                let is_foreign = class.script != Script::Latin || class.is(LOOKALIKE);
                found |= if is_foreign { bit } else { 0 };
            });
            let letters = block.sets.letters | block.sets.cased | block.sets.uncased;
            let gaps = block.all() & !letters;
            if at + block.len < self.text.len() {
                if gaps == 0 {
                    let length = self.text[at..].find(|c| !is_part(c));
                    let end = length.map_or(self.text.len(), |length| at + length);
                    self.read_words(at..end);
                    at = end;
                    continue;
                }
                // Only whole words.
                block.len = SIZE - gaps.leading_zeros() as usize;
            }
            let letters = letters & block.all();
            self.read_block(&block, letters, unfit & letters, found & letters);
            at += block.len;
        }
    }

    /// Reads the words of a block, whose letters are `letters`. Of these, `unfit` cannot be Latin,
    /// and `found` would be in disguise.
    fn read_block(&mut self, block: &Block, letters: u64, unfit: u64, mut found: u64) {
        let mut ends = match unfit {
            0 => 0,
            _ => ends_of_runs_with(letters, unfit),
        };
        while ends != 0 {
            let end = ends.trailing_zeros() as usize;
            let word = run_with(letters, end - 1);
            let start = word.trailing_zeros() as usize;
            let before = found & !(u64::MAX << start);
            self.swap(block, letters, before);
            self.read_word(block.start + start..block.start + end);
            found &= !(before | word);
            ends &= ends - 1;
        }
        self.swap(block, letters, found);
    }

    /// Writes Latin letters for those that are `found` in a block.
    fn swap(&mut self, block: &Block, letters: u64, found: u64) {
        each(found, |index| {
            let at = block.start + index;
            let c = self.text[at..].chars().next().unwrap_or(' ');
            let Some(letter) = class::forms(c).like[LATIN] else {
                return;
            };
            self.editor
                .swap(at..at + c.len_utf8(), letter, ChangeKind::Confusable);
            if !self.has_words {
                let word = run_with(letters, index);
                self.has_words = block.characters(word) >= MIN_WORD;
            }
        });
    }

    /// Reads words one after the other, in a part of the text that begins and ends between them.
    fn read_words(&mut self, range: Range<usize>) {
        let text = self.text;
        let mut start = range.start;
        // Each with what is no part of one after it.
        for word in text[range].split_inclusive(|c| !is_part(c)) {
            let length = word.find(|c| !is_part(c)).unwrap_or(word.len());
            if length > 0 {
                self.read_word(start..start + length);
            }
            start += word.len();
        }
    }

    fn read_word(&mut self, range: Range<usize>) {
        let text = &self.text[range.clone()];
        let word = Word::of(text);
        let Some(alphabet) = word.reads_as(text, self.mostly_latin) else {
            return;
        };
        let script = ALPHABETS[alphabet].0;
        for (at, c) in text.char_indices() {
            let own = class::of(c);
            let is_foreign = own.script != script || !c.is_ascii() && own.is(LOOKALIKE);
            if is_foreign
                && own.is(LETTER)
                && let Some(letter) = class::forms(c).like[alphabet]
            {
                let start = range.start + at;
                self.editor
                    .swap(start..start + c.len_utf8(), letter, ChangeKind::Confusable);
                self.has_words |= word.characters >= MIN_WORD;
            }
        }
    }
}

/// Whether a character is part of a word: a letter or mark.
fn is_part(c: char) -> bool {
    class::of(c).is(LETTER | MARK)
}

/// What is known of a run of letters and marks.
struct Word {
    characters: usize,
    is_ascii: bool,
    /// The script of its first letter.
    script: Option<Script>,
    is_mixed: bool,
    /// The alphabets that all of its letters can be read in, a bit for each.
    fitting: u8,
}

impl Default for Word {
    fn default() -> Self {
        Self {
            characters: 0,
            is_ascii: true,
            script: None,
            is_mixed: false,
            fitting: u8::MAX,
        }
    }
}

impl Word {
    fn of(text: &str) -> Self {
        let mut word = Self::default();
        text.chars().for_each(|c| word.add(c, class::of(c)));
        word
    }

    fn add(&mut self, c: char, class: Class) {
        self.characters += 1;
        self.is_ascii &= c.is_ascii();
        if !class.is(LETTER) {
            return;
        }
        self.is_mixed |= *self.script.get_or_insert(class.script) != class.script;
        self.fitting &= class.alphabets().fitting;
    }

    /// The alphabet that a word with letters of another would be read in; `None` to leave it as it
    /// is.
    fn reads_as(&self, text: &str, mostly_latin: bool) -> Option<usize> {
        if self.is_ascii && mostly_latin {
            return None;
        }
        if !self.is_mixed && self.script? != Script::Latin {
            return (mostly_latin && self.fitting & LATIN_BIT != 0).then_some(LATIN);
        }
        let fitting = self.fitting & ALL;
        if fitting.count_ones() <= 1 {
            return (fitting != 0).then_some(fitting.trailing_zeros() as usize);
        }
        // Where a word could be of either, it is of the one that the text is of, then of the one
        // with more of its letters.
        let own = |index: &usize| {
            let letters = text.chars().map(class::of).filter(|c| c.is(LETTER));
            letters
                .filter(|c| c.alphabets().own >> index & 1 != 0)
                .count()
        };
        (0..ALPHABETS.len())
            .filter(|index| fitting >> index & 1 != 0)
            .max_by_key(|index| (mostly_latin == (*index == LATIN), own(index)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::rewrite::edited;

    fn plain(text: &str) -> String {
        let text = edited(text, compatibility_edits(text));
        edited(&text, confusable_edits(&text))
    }

    #[test]
    fn compatibility_forms() {
        assert_eq!(plain("ｂａｋｅ　ｂｒｅａｄ！"), "bake bread!");
        assert_eq!(plain("𝕓𝕒𝕜𝕖 𝖇𝖗𝖊𝖆𝖉"), "bake bread");
        assert_eq!(plain("ⓑⓐⓚⓔ"), "bake");
        for benign in ["1ª 2º", "ﬁn", "ㅋㅋㅋ", "ｱｲｳ", "10 ℃", "½ m²", "你好！"]
        {
            assert_eq!(plain(benign), benign);
        }
    }

    #[test]
    fn confusable_letters() {
        assert_eq!(plain("bаkе brеаd"), "bake bread"); // Cyrillic a, e
        assert_eq!(plain("Іnside Ваkery"), "Inside Bakery");
        assert_eq!(plain("we eat with a сосоа"), "we eat with a cocoa");
        assert_eq!(plain("І wаnt tо а nісе lоаf"), "I want to a nice loaf");
        assert_eq!(plain("хлеб с мaслoм"), "хлеб с маслом"); // Latin a, o
        for benign in [
            "the Greek letter ο",
            "хлеб и масло",
            "Москва и рот",
            "Wi-Fi сеть",
            "ψωμί και βούτυρο",
            "kadın ışık",
            "5 μm, ΔT, Ω",
            "PDFки",
        ] {
            assert_eq!(plain(benign), benign);
        }
    }

    /// What a text says after its words were read by blocks, or one after the other.
    fn read(text: &str, by_blocks: bool) -> (String, Vec<Range<usize>>) {
        let mut reader = Reader {
            text,
            mostly_latin: true,
            editor: Editor::new(text),
            has_words: false,
        };
        match by_blocks {
            true => reader.read_latin(),
            false => reader.read_words(0..text.len()),
        }
        let edits = reader.editor.finish();
        let ranges = edits.iter().map(|edit| edit.range()).collect();
        (edited(text, edits), ranges)
    }

    proptest! {
        #[test]
        fn words_of_blocks_are_read_as_words_are(
            // Latin, Cyrillic and Greek letters that are alike and that are not, marks, numbers,
            // and words longer than a block.
            text in "([a-eа-еαοѕјɑ\u{301}é0½中 .-]|[aаcсeеoо]{1,9} |[хцяa]{1,4}|x{50,90}а?){0,60}",
        ) {
            prop_assert_eq!(read(&text, true), read(&text, false));
        }
    }
}
