//! Letters that pass for others: compatibility forms (NFKC) and confusables (UTS 39).

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use unicode_script::{Script, UnicodeScript};
use unicode_security::GeneralSecurityProfile;
use unicode_security::confusable_detection::skeleton;

use super::class::{
    self, Alphabets, COMPAT_ASCII, COMPAT_LETTER, Class, Forms, LETTER, LOOKALIKE, MARK, NUMBER,
};
use super::rewrite::{ChangeKind, Edits};

/// The alphabets whose letters are mixed to deceive: those whose words have case and share shapes.
pub(super) const ALPHABETS: [(Script, RangeInclusive<char>); 3] = [
    (Script::Latin, 'A'..='z'),
    (Script::Greek, 'Α'..='ω'),
    (Script::Cyrillic, 'А'..='я'),
];
/// The place of Latin among them.
const LATIN: usize = 0;
const LATIN_BIT: u8 = 1 << LATIN;
/// The bits of them all.
const ALL: u8 = (1 << ALPHABETS.len()) - 1;

/// Shorter words in letters of another alphabet are no disguise by themselves.
const MIN_WORD: usize = 3;

/// Per skeleton, the letters of each alphabet that look so: the small one and the capital one, where they do.
type Shapes = HashMap<String, [Vec<char>; ALPHABETS.len()]>;

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let mut shapes = Shapes::new();
    for (index, (script, letters)) in ALPHABETS.into_iter().enumerate() {
        for letter in letters.filter(|c| c.is_alphabetic() && c.script() == script) {
            shapes.entry(shape(letter)).or_default()[index].push(letter);
        }
    }
    shapes
});

fn shape(c: char) -> String {
    skeleton(c.encode_utf8(&mut [0; 4])).collect()
}

/// The letter of each alphabet that looks like `c`, in the same case where there is one.
pub(super) fn letters_like(c: char) -> [Option<char>; ALPHABETS.len()] {
    let Some(letters) = SHAPES.get(&shape(c)).filter(|_| c.is_alphabetic()) else {
        return [None; ALPHABETS.len()];
    };
    letters.each_ref().map(|letters| {
        let same_case = |letter: &&char| letter.is_uppercase() == c.is_uppercase();
        let letter = letters.iter().find(same_case).or(letters.first());
        letter.copied().filter(|letter| *letter != c)
    })
}

/// The alphabets that a letter can be read in, by its script and the letters that it looks like.
pub(super) fn alphabets(own: Script, forms: &Forms) -> Alphabets {
    let mut alphabets = Alphabets::default();
    for (index, (script, _)) in ALPHABETS.iter().enumerate() {
        let is_own = own == *script;
        alphabets.own |= u8::from(is_own) << index;
        alphabets.fitting |= u8::from(is_own || forms.like[index].is_some()) << index;
    }
    alphabets
}

/// Whether a letter looks like one of another alphabet, or is an unusual form of one of its own.
pub(super) fn passes_for_another(c: char, forms: &Forms) -> bool {
    if c.is_ascii() || !c.is_alphabetic() || forms.plain.is_some() {
        return false;
    }
    // Letters such as the Turkish dotless i are part of how languages are written.
    let is_ordinary_latin =
        c.script() == Script::Latin && GeneralSecurityProfile::identifier_allowed(c);
    !is_ordinary_latin && forms.like.iter().any(Option::is_some)
}

/// Replaces compatibility forms of letters, and what stands beside them, by the plain characters.
pub(super) fn compatibility_edits(text: &str) -> Edits {
    let mut edits = Edits::default();
    let mut characters = text
        .char_indices()
        .map(|(at, c)| (at, c, class::of(c)))
        .peekable();
    let (mut after_letter, mut after_number) = (false, false);
    while let Some((at, c, class)) = characters.next() {
        let is_letter = class.is(COMPAT_LETTER);
        let mut before_letter = || {
            let next = characters.peek();
            next.is_some_and(|(.., class)| class.is(COMPAT_LETTER))
        };
        // An ordinal, as in 1ª, is no disguise.
        let is_hit = is_letter && !after_number
            || class.is(COMPAT_ASCII) && (after_letter || before_letter());
        if is_hit && let Some(plain) = class::forms(c).plain {
            edits.swap(at..at + c.len_utf8(), plain, ChangeKind::Compatibility);
        }
        (after_letter, after_number) = (is_letter, class.is(NUMBER));
    }
    edits
}

/// Replaces letters of other alphabets in words that would read as words of one.
///
/// A word of letters of two alphabets is read in the one that all of its letters can pass for. A word of one alphabet, all of
/// whose letters pass for Latin, is read as Latin in a text that is mostly Latin.
pub(super) fn confusable_edits(text: &str) -> Edits {
    let mostly_latin = is_mostly_latin(text);
    let mut edits = Edits::default();
    // One letter alone, or two of two alphabets (ΔT), are a symbol more often than a word, unless there are disguised words around
    // them.
    let mut has_words = false;
    let mut read = |word: Option<(usize, Word)>, end: usize| {
        let (start, word) = word?;
        let text = &text[start..end];
        let alphabet = word.reads_as(text, mostly_latin)?;
        let script = ALPHABETS[alphabet].0;
        for (at, c) in text.char_indices() {
            let own = class::of(c);
            let is_foreign = own.script != script || !c.is_ascii() && own.is(LOOKALIKE);
            if is_foreign
                && own.is(LETTER)
                && let Some(letter) = class::forms(c).like[alphabet]
            {
                let range = start + at..start + at + c.len_utf8();
                edits.swap(range, letter, ChangeKind::Confusable);
                has_words |= word.characters >= MIN_WORD;
            }
        }
        Some(())
    };
    let mut word: Option<(usize, Word)> = None;
    for (at, c) in text.char_indices() {
        let class = class::of(c);
        if class.is(LETTER | MARK) {
            let (_, word) = word.get_or_insert_with(|| (at, Word::default()));
            word.add(c, class);
        } else {
            read(word.take(), at);
        }
    }
    read(word, text.len());
    match has_words {
        true => edits,
        false => Edits::default(),
    }
}

/// Whether most of the letters that can be of one alphabet only are Latin.
fn is_mostly_latin(text: &str) -> bool {
    let (mut latin, mut other) = (0_usize, 0_usize);
    for (at, c) in text.char_indices() {
        // What is left cannot turn it.
        if latin.abs_diff(other) > text.len() - at {
            break;
        }
        let class = class::of(c);
        if !class.is(LETTER) {
            continue;
        }
        let is_latin = class.script == Script::Latin;
        // A letter from A to z may be one of another alphabet in disguise.
        let is_doubtful = c.is_ascii() && class.alphabets().fitting & !LATIN_BIT != 0;
        latin += usize::from(is_latin && !is_doubtful);
        other += usize::from(!is_latin && !class.is(LOOKALIKE));
    }
    latin > other
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
    fn add(&mut self, c: char, class: Class) {
        self.characters += 1;
        self.is_ascii &= c.is_ascii();
        if !class.is(LETTER) {
            return;
        }
        self.is_mixed |= *self.script.get_or_insert(class.script) != class.script;
        self.fitting &= class.alphabets().fitting;
    }

    /// The alphabet that a word with letters of another would be read in; `None` to leave it as it is.
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
        // Where a word could be of either, it is of the one that the text is of, then of the one with more of its letters.
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
    use super::*;
    use crate::text::rewrite::View;

    fn plain(text: &str) -> String {
        let text = View::edited(text, compatibility_edits(text));
        let edits = confusable_edits(text.text());
        text.rewritten(edits).text().to_owned()
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
}
