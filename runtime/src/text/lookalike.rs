//! Letters that pass for others: compatibility forms (NFKC) and confusables (UTS 39).

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use unicode_script::{Script, UnicodeScript};
use unicode_security::GeneralSecurityProfile;
use unicode_security::confusable_detection::skeleton;

use super::class::{self, COMPAT_ASCII, COMPAT_LETTER, Forms, LETTER, LOOKALIKE, MARK, NUMBER};
use super::rewrite::{ChangeKind, Edits};

/// The alphabets whose letters are mixed to deceive: those whose words have case and share shapes.
pub(super) const ALPHABETS: [(Script, RangeInclusive<char>); 3] = [
    (Script::Latin, 'A'..='z'),
    (Script::Greek, 'Α'..='ω'),
    (Script::Cyrillic, 'А'..='я'),
];
/// The place of Latin among them.
const LATIN: usize = 0;

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
    for (start, word) in words(text) {
        if word.is_ascii() && mostly_latin {
            continue;
        }
        let Some(alphabet) = reads_as(word, mostly_latin) else {
            continue;
        };
        let script = ALPHABETS[alphabet].0;
        let is_symbol = word.chars().nth(MIN_WORD - 1).is_none();
        for (at, c) in word.char_indices() {
            let own = class::of(c);
            let is_foreign = own.script != script || !c.is_ascii() && own.is(LOOKALIKE);
            if is_foreign
                && own.is(LETTER)
                && let Some(letter) = class::forms(c).like[alphabet]
            {
                let range = start + at..start + at + c.len_utf8();
                edits.swap(range, letter, ChangeKind::Confusable);
                has_words |= !is_symbol;
            }
        }
    }
    match has_words {
        true => edits,
        false => Edits::default(),
    }
}

/// Whether most of the letters that can be of one alphabet only are Latin.
fn is_mostly_latin(text: &str) -> bool {
    let (mut latin, mut other) = (0_usize, 0_usize);
    for c in text.chars() {
        let class = class::of(c);
        if !class.is(LETTER) {
            continue;
        }
        let is_latin = class.script == Script::Latin;
        // A letter from A to z may be one of another alphabet in disguise.
        let is_doubtful = || {
            class::forms(c).like[LATIN + 1..]
                .iter()
                .any(Option::is_some)
        };
        latin += usize::from(is_latin && !(c.is_ascii() && is_doubtful()));
        other += usize::from(!is_latin && !class.is(LOOKALIKE));
    }
    latin > other
}

/// Runs of letters and marks.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let is_inside = |c: char| class::of(c).is(LETTER | MARK);
        let start = rest + text[rest..].find(is_inside)?;
        let end = text[start..]
            .find(|c| !is_inside(c))
            .map_or(text.len(), |n| start + n);
        rest = end;
        Some((start, &text[start..end]))
    })
}

/// The alphabet that a word with letters of another would be read in; `None` to leave it as it is.
fn reads_as(word: &str, mostly_latin: bool) -> Option<usize> {
    // Per alphabet: whether all letters pass for its own, and how many are.
    let mut alphabets = ALPHABETS.map(|(script, _)| (script, true, 0_usize));
    let mut first = None;
    let mut is_mixed = false;
    for c in word.chars() {
        let class = class::of(c);
        if !class.is(LETTER) {
            continue;
        }
        is_mixed |= *first.get_or_insert(class.script) != class.script;
        let like = class::forms(c).like;
        for ((script, fits, count), like) in alphabets.iter_mut().zip(like) {
            let is_own = class.script == *script;
            *fits &= is_own || like.is_some();
            *count += usize::from(is_own);
        }
    }
    if !is_mixed && first? != Script::Latin {
        return (mostly_latin && alphabets[LATIN].1).then_some(LATIN);
    }
    let fitting = alphabets
        .iter()
        .enumerate()
        .filter(|(_, (_, fits, _))| *fits);
    // Where a word could be of either, it is of the one that the text is of, then of the one with more of its letters.
    let best =
        fitting.max_by_key(|(index, (.., count))| (mostly_latin == (*index == LATIN), *count));
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rewrite::View;

    fn plain(text: &str) -> String {
        let text = View::of(text).rewritten(&compatibility_edits(text));
        let edits = confusable_edits(text.text());
        text.rewritten(&edits).text().to_owned()
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
