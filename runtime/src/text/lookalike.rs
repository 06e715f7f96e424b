//! Letters that pass for others: compatibility forms (NFKC) and confusables (UTS 39).

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_script::{Script, UnicodeScript};
use unicode_security::GeneralSecurityProfile;
use unicode_security::confusable_detection::skeleton;

use super::class::{
    self, COMPAT_ASCII, COMPAT_LETTER, LETTER, LOOKALIKE, MARK, NUMBER, compatible,
};
use super::rewrite::{ChangeKind, Edit};

/// The alphabets whose letters are mixed to deceive: those whose words have case and share shapes.
const ALPHABETS: [(Script, std::ops::RangeInclusive<char>); 3] = [
    (Script::Latin, 'A'..='z'),
    (Script::Greek, 'Α'..='ω'),
    (Script::Cyrillic, 'А'..='я'),
];

/// Shorter words in letters of another alphabet are no disguise by themselves.
const MIN_WORD: usize = 3;

/// Per alphabet and skeleton, the letters that look so: the small one and the capital one, where they do.
type Shapes = HashMap<(Script, String), Vec<char>>;

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let mut shapes = Shapes::new();
    for (script, letters) in ALPHABETS {
        for letter in letters.filter(|c| c.is_alphabetic() && c.script() == script) {
            shapes
                .entry((script, shape(letter)))
                .or_default()
                .push(letter);
        }
    }
    shapes
});

fn shape(c: char) -> String {
    skeleton(c.encode_utf8(&mut [0; 4])).collect()
}

/// The letter of the alphabet `script` that looks like `c`, in the same case where there is one.
fn letter_like(c: char, script: Script) -> Option<char> {
    let letters = SHAPES.get(&(script, shape(c)))?;
    let same_case = |letter: &&char| letter.is_uppercase() == c.is_uppercase();
    letters
        .iter()
        .find(same_case)
        .or(letters.first())
        .copied()
        .filter(|letter| *letter != c)
}

/// Whether a letter looks like one of another alphabet, or is an unusual form of one of its own.
pub(crate) fn passes_for_another(c: char) -> bool {
    if c.is_ascii() || !c.is_alphabetic() || compatible(c).is_some() {
        return false;
    }
    // Letters such as the Turkish dotless i are part of how languages are written.
    let is_ordinary_latin =
        c.script() == Script::Latin && GeneralSecurityProfile::identifier_allowed(c);
    !is_ordinary_latin
        && ALPHABETS
            .iter()
            .any(|(script, _)| letter_like(c, *script).is_some())
}

/// Replaces compatibility forms of letters, and what stands beside them, by the plain characters.
pub(crate) fn compatibility_edits(text: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut characters = text.char_indices().peekable();
    let mut before: Option<char> = None;
    while let Some((at, c)) = characters.next() {
        let class = class::of(c);
        let after = characters.peek().map(|(_, c)| class::of(*c));
        let is_letter = |c: Option<class::Class>| c.is_some_and(|class| class.is(COMPAT_LETTER));
        let before_class = before.map(class::of);
        // An ordinal, as in 1ª, is no disguise.
        let is_ordinal = before_class.is_some_and(|class| class.is(NUMBER));
        let is_hit = class.is(COMPAT_LETTER) && !is_ordinal
            || class.is(COMPAT_ASCII) && (is_letter(before_class) || is_letter(after));
        if let Some(plain) = compatible(c).filter(|_| is_hit) {
            edits.push(Edit {
                range: at..at + c.len_utf8(),
                with: plain.into(),
                kind: ChangeKind::Compatibility,
            });
        }
        before = Some(c);
    }
    edits
}

/// Replaces letters of other alphabets in words that would read as words of one.
///
/// A word of letters of two alphabets is read in the one that all of its letters can pass for. A word of one alphabet, all of
/// whose letters pass for Latin, is read as Latin in a text that is mostly Latin.
pub(crate) fn confusable_edits(text: &str) -> Vec<Edit> {
    let mostly_latin = is_mostly_latin(text);
    let (mut edits, mut symbols) = (Vec::new(), Vec::new());
    for (start, word) in words(text) {
        if word.is_ascii() && mostly_latin {
            continue;
        }
        let Some(script) = reads_as(word, mostly_latin) else {
            continue;
        };
        // One letter alone, or two of two alphabets (ΔT), are a symbol more often than a word, unless there are disguised words
        // around them.
        let is_symbol = word.chars().nth(MIN_WORD - 1).is_none();
        let list = if is_symbol { &mut symbols } else { &mut edits };
        for (at, c) in word.char_indices() {
            let own = class::of(c);
            let is_foreign = own.script != script || !c.is_ascii() && own.is(LOOKALIKE);
            if let Some(letter) = letter_like(c, script).filter(|_| own.is(LETTER) && is_foreign) {
                list.push(Edit {
                    range: start + at..start + at + c.len_utf8(),
                    with: letter.into(),
                    kind: ChangeKind::Confusable,
                });
            }
        }
    }
    if !edits.is_empty() {
        edits.append(&mut symbols);
        edits.sort_by_key(|edit| edit.range.start);
    }
    edits
}

/// Whether most of the letters that can be of one alphabet only are Latin.
fn is_mostly_latin(text: &str) -> bool {
    let (mut latin, mut other) = (0_usize, 0_usize);
    for c in text.chars() {
        if c.is_ascii_alphabetic() {
            latin += usize::from(!LATIN_LOOKALIKES.contains(&c));
        } else {
            let class = class::of(c);
            let is_latin = class.script == Script::Latin;
            latin += usize::from(is_latin && class.is(LETTER));
            other += usize::from(!is_latin && class.is(LETTER) && !class.is(LOOKALIKE));
        }
    }
    latin > other
}

/// The letters from A to z that another alphabet has a look-alike of.
static LATIN_LOOKALIKES: LazyLock<Vec<char>> = LazyLock::new(|| {
    let others = [Script::Greek, Script::Cyrillic];
    let letters = ('A'..='z').filter(char::is_ascii_alphabetic);
    letters
        .filter(|c| {
            others
                .iter()
                .any(|script| letter_like(*c, *script).is_some())
        })
        .collect()
});

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
fn reads_as(word: &str, mostly_latin: bool) -> Option<Script> {
    let letters = || word.chars().filter(|c| class::of(*c).is(LETTER));
    let fits = |script: Script| {
        letters().all(|c| class::of(c).script == script || letter_like(c, script).is_some())
    };
    let count = |script: Script| letters().filter(|c| class::of(*c).script == script).count();
    let first = class::of(letters().next()?).script;
    let is_mixed = letters().any(|c| class::of(c).script != first);
    if !is_mixed && first != Script::Latin {
        return (mostly_latin && fits(Script::Latin)).then_some(Script::Latin);
    }
    let fitting = ALPHABETS
        .iter()
        .map(|(script, _)| *script)
        .filter(|s| fits(*s));
    // Where a word could be of either, it is of the one that the text is of, then of the one with more of its letters.
    fitting.max_by_key(|script| {
        let of_text = mostly_latin == (*script == Script::Latin);
        (of_text, count(*script))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rewrite::View;

    fn plain(text: &str) -> String {
        let text = View::of(text).rewritten(compatibility_edits(text));
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
