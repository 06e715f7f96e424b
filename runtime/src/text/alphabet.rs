//! The alphabets whose letters are mixed to deceive, and which letters pass for one another.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use unicode_script::{Script, UnicodeScript};
use unicode_security::GeneralSecurityProfile;
use unicode_security::confusable_detection::skeleton;

/// The alphabets whose letters are mixed to deceive: those whose words have case and share shapes.
pub(super) const ALPHABETS: [(Script, RangeInclusive<char>); 3] = [
    (Script::Latin, 'A'..='z'),
    (Script::Greek, 'Α'..='ω'),
    (Script::Cyrillic, 'А'..='я'),
];
/// The place of Latin among them.
pub(super) const LATIN: usize = 0;
pub(super) const LATIN_BIT: u8 = 1 << LATIN;
/// The bits of them all.
pub(super) const ALL: u8 = (1 << ALPHABETS.len()) - 1;

/// Which of [`ALPHABETS`] a letter can be read in, a bit for each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Alphabets {
    /// Its own.
    pub(crate) own: u8,
    /// Its own, and those that it looks like a letter of.
    pub(crate) fitting: u8,
}

/// The other characters that one may stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forms {
    /// The one character that NFKC makes of it, if it is one and another.
    pub(crate) plain: Option<char>,
    /// The letters that it looks like, of each of [`ALPHABETS`].
    pub(crate) like: [Option<char>; ALPHABETS.len()],
}

/// Per skeleton, the letters of each alphabet that look so: the small one and the capital one,
/// where they do.
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
