//! What Unicode says about a character, gathered from its properties and kept by page.

use std::sync::OnceLock;

use icu_properties::props::{
    BidiClass, BidiControl, CanonicalCombiningClass, DefaultIgnorableCodePoint, EmojiModifier,
    ExtendedPictographic, GeneralCategory, JoiningType, LineBreak, UnifiedIdeograph,
    VariationSelector, WhiteSpace,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::UnicodeNormalization;
use unicode_script::{Script, UnicodeScript};

use super::alphabet::{self, Alphabets, Forms};

/// A character's properties, as flags, and its script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    flags: u32,
    /// The Script property.
    pub(crate) script: Script,
    alphabets: Alphabets,
}

/// General category L*.
pub(crate) const LETTER: u32 = 1;
/// General category Lu, Ll or Lt: a letter of an alphabet that has case.
pub(crate) const CASED: u32 = 1 << 1;
/// General category Lu or Lt.
pub(crate) const UPPER: u32 = 1 << 2;
/// General category N*.
pub(crate) const NUMBER: u32 = 1 << 3;
/// General category M*.
pub(crate) const MARK: u32 = 1 << 4;
/// White_Space.
pub(crate) const SPACE: u32 = 1 << 5;
/// Default_Ignorable_Code_Point or Bidi_Control, or a control character that is no white space:
/// shows nothing.
pub(crate) const INVISIBLE: u32 = 1 << 6;
/// Bidi_Control.
pub(crate) const BIDI_CONTROL: u32 = 1 << 7;
/// Variation_Selector.
pub(crate) const VARIATION: u32 = 1 << 8;
/// Canonical combining class 9: a sign that kills or joins, after which joiners have meaning.
pub(crate) const VIRAMA: u32 = 1 << 9;
/// Joining_Type D, R, L or C: a letter that connects to its neighbours, as in Arabic.
pub(crate) const JOINING: u32 = 1 << 10;
/// Extended_Pictographic or Emoji_Modifier.
pub(crate) const PICTOGRAPH: u32 = 1 << 11;
/// Bidi_Class R or AL.
pub(crate) const RIGHT_TO_LEFT: u32 = 1 << 12;
/// Line_Break SA: written without spaces, as Thai and Khmer are, where a zero-width space is one.
pub(crate) const COMPLEX: u32 = 1 << 13;
/// Unified_Ideograph.
pub(crate) const IDEOGRAPH: u32 = 1 << 14;
/// NFKC makes one letter of it, other than itself.
pub(crate) const COMPAT_LETTER: u32 = 1 << 15;
/// NFKC makes one ASCII character of it.
pub(crate) const COMPAT_ASCII: u32 = 1 << 16;
/// Can pass for a letter of another alphabet (UTS 39).
pub(crate) const LOOKALIKE: u32 = 1 << 17;
/// A mark whose script is that of its base, not its own: the marks that floods are made of.
pub(crate) const STACKING: u32 = 1 << 18;
/// Canonical combining class 1: a mark drawn over its letter.
pub(crate) const OVERLAY: u32 = 1 << 19;
/// Spells an ASCII character without showing it: U+E0020 to U+E007E.
pub(crate) const TAG: u32 = 1 << 20;

/// Tag characters spell ASCII from here on.
const TAGS: u32 = 0xe0000;

const PAGE: usize = 256;
const PAGES: usize = (char::MAX as usize + 1) / PAGE;

struct Page {
    classes: [Class; PAGE],
    forms: [Forms; PAGE],
}

/// Pages are filled when a text first needs them: a language uses a handful of the 4,352.
static TABLE: [OnceLock<Box<Page>>; PAGES] = [const { OnceLock::new() }; PAGES];

fn page(c: char) -> &'static Page {
    TABLE[c as usize / PAGE].get_or_init(|| {
        let first = c as u32 / PAGE as u32 * PAGE as u32;
        // Surrogates are no characters; nobody asks for their class.
        let character = |n: usize| char::from_u32(first + n as u32).unwrap_or('\0');
        let forms = std::array::from_fn(|n| look_up_forms(character(n)));
        let classes = std::array::from_fn(|n| look_up(character(n), &forms[n]));
        Box::new(Page { classes, forms })
    })
}

/// The class of a character.
#[inline]
pub(crate) fn of(c: char) -> Class {
    page(c).classes[c as usize % PAGE]
}

/// The forms of a character.
#[inline]
pub(crate) fn forms(c: char) -> Forms {
    page(c).forms[c as usize % PAGE]
}

impl Class {
    /// All properties at once.
    pub(crate) fn flags(self) -> u32 {
        self.flags
    }

    /// Which alphabets it can be read in.
    pub(crate) fn alphabets(self) -> Alphabets {
        self.alphabets
    }

    /// Whether the character may be part of a word.
    pub(crate) fn is_cell(self) -> bool {
        self.is(LETTER | NUMBER | MARK) && !self.is(INVISIBLE)
    }

    /// Whether the character has any of these properties.
    pub(crate) fn is(self, flags: u32) -> bool {
        self.flags & flags != 0
    }
}

fn look_up_forms(c: char) -> Forms {
    Forms {
        plain: compatible(c),
        like: alphabet::letters_like(c),
    }
}

fn look_up(c: char, forms: &Forms) -> Class {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    let script = c.script();
    let mut flags = of_category(category);
    let mut set = |flag: u32, holds: bool| {
        if holds {
            flags |= flag;
        }
    };
    let is_space = CodePointSetData::new::<WhiteSpace>().contains(c);
    let is_bidi_control = CodePointSetData::new::<BidiControl>().contains(c);
    let is_ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c);
    let is_control = category == GeneralCategory::Control && !is_space;
    set(SPACE, is_space);
    set(INVISIBLE, is_ignorable || is_bidi_control || is_control);
    set(BIDI_CONTROL, is_bidi_control);
    set(
        VARIATION,
        CodePointSetData::new::<VariationSelector>().contains(c),
    );
    let combining = CodePointMapData::<CanonicalCombiningClass>::new().get(c);
    set(VIRAMA, combining == CanonicalCombiningClass::Virama);
    set(OVERLAY, combining == CanonicalCombiningClass::Overlay);
    set(TAG, tag(c).is_some());
    let joining = CodePointMapData::<JoiningType>::new().get(c);
    let joins = [
        JoiningType::DualJoining,
        JoiningType::RightJoining,
        JoiningType::LeftJoining,
    ];
    set(JOINING, joins.contains(&joining));
    set(
        PICTOGRAPH,
        CodePointSetData::new::<ExtendedPictographic>().contains(c)
            || CodePointSetData::new::<EmojiModifier>().contains(c),
    );
    let bidi = CodePointMapData::<BidiClass>::new().get(c);
    set(
        RIGHT_TO_LEFT,
        bidi == BidiClass::RightToLeft || bidi == BidiClass::ArabicLetter,
    );
    let line_break = CodePointMapData::<LineBreak>::new().get(c);
    set(COMPLEX, line_break == LineBreak::ComplexContext);
    set(
        IDEOGRAPH,
        CodePointSetData::new::<UnifiedIdeograph>().contains(c),
    );
    let is_mark = of_category(category) & MARK != 0;
    set(
        STACKING,
        is_mark && !is_ignorable && matches!(script, Script::Inherited | Script::Common),
    );
    if let Some(plain) = forms.plain {
        set(COMPAT_ASCII, plain.is_ascii());
        // Half-width kana and Hangul, and Hangul jamo, are how people write, not how they hide.
        let is_ordinary = matches!(plain.script(), Script::Hangul | Script::Katakana);
        set(COMPAT_LETTER, plain.is_alphabetic() && !is_ordinary);
    }
    set(LOOKALIKE, alphabet::passes_for_another(c, forms));
    Class {
        flags,
        script,
        alphabets: alphabet::alphabets(script, forms),
    }
}

/// The ASCII character that a tag character spells.
pub(super) fn tag(c: char) -> Option<u8> {
    let code = (c as u32).checked_sub(TAGS)?;
    (0x20..0x7f).contains(&code).then_some(code as u8)
}

fn of_category(category: GeneralCategory) -> u32 {
    use GeneralCategory as G;
    match category {
        G::UppercaseLetter | G::TitlecaseLetter => LETTER | CASED | UPPER,
        G::LowercaseLetter => LETTER | CASED,
        G::ModifierLetter | G::OtherLetter => LETTER,
        G::DecimalNumber | G::LetterNumber | G::OtherNumber => NUMBER,
        G::NonspacingMark | G::SpacingMark | G::EnclosingMark => MARK,
        _ => 0,
    }
}

/// The one character that NFKC makes of this one, if it is one and another.
fn compatible(c: char) -> Option<char> {
    if c.is_ascii() {
        return None;
    }
    let mut form = std::iter::once(c).nfkc();
    let plain = form.next()?;
    // Canonical equivalents are the same character spelt otherwise, and tokenizers know them.
    let canonical = std::iter::once(c).nfc().next();
    (form.next().is_none() && plain != c && canonical == Some(c)).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_of_known_characters() {
        for (c, has, has_not) in [
            ('a', LETTER | CASED, INVISIBLE | LOOKALIKE | COMPAT_LETTER),
            ('\u{200b}', INVISIBLE, SPACE | LETTER),
            ('\u{202e}', INVISIBLE, LETTER),
            ('\u{8}', INVISIBLE, SPACE),
            ('\n', SPACE, INVISIBLE),
            ('\u{fe0f}', VARIATION, LETTER),
            ('\u{94d}', VIRAMA, STACKING),
            ('م', JOINING, CASED),
            ('ﬁ', LETTER, COMPAT_LETTER),
            ('Ａ', COMPAT_LETTER, INVISIBLE),
            ('𝒌', COMPAT_LETTER, INVISIBLE),
            ('！', COMPAT_ASCII, COMPAT_LETTER),
            ('ㅋ', LETTER, COMPAT_LETTER),
            ('ｱ', LETTER, COMPAT_LETTER),
            ('\u{301}', STACKING, LETTER),
            ('а', LOOKALIKE, COMPAT_LETTER),
            ('ы', LETTER, COMPAT_LETTER),
            ('ı', LETTER, LOOKALIKE),
            ('中', IDEOGRAPH, CASED),
            ('ก', COMPLEX, CASED),
            ('🙂', PICTOGRAPH, LETTER),
        ] {
            let class = of(c);
            for bit in (0..21).map(|n| 1 << n) {
                assert!(has & bit == 0 || class.is(bit), "{c:?} lacks {bit:#x}");
            }
            assert!(!class.is(has_not), "{c:?} has one of {has_not:#x}");
        }
    }
}
