//! Characters that show nothing: which of them a script needs, and which only hide what is written.

use std::ops::Range;

use unicode_script::Script;

use super::block::each_odd;
use super::class::{
    self, BIDI_CONTROL, COMPLEX, Class, IDEOGRAPH, INVISIBLE, JOINING, LETTER, MARK, PICTOGRAPH,
    RIGHT_TO_LEFT, SPACE, TAG, VARIATION, VIRAMA, tag,
};
use super::rewrite::{ChangeKind, Editor, Edits};

const ZERO_WIDTH_SPACE: char = '\u{200b}';
const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';
const WORD_JOINER: char = '\u{2060}';
const BYTE_ORDER_MARK: char = '\u{feff}';
const GRAPHEME_JOINER: char = '\u{34f}';
const OVERRIDES: [char; 2] = ['\u{202d}', '\u{202e}'];
const RIGHT_TO_LEFT_OVERRIDE: char = '\u{202e}';
const POP_FORMATTING: char = '\u{202c}';
const TEXT_STYLE: char = '\u{fe0e}';
const EMOJI_STYLE: char = '\u{fe0f}';
/// Selectors stand behind one character in so many, or less; more of them are noise.
const MIN_PER_SELECTOR: usize = 4;
const BLACK_FLAG: char = '\u{1f3f4}';
const CANCEL_TAG: char = '\u{e007f}';
/// A tagged flag, such as Scotland's, has at most this many tags: a region of 6 letters and the
/// end.
const MAX_FLAG_TAGS: usize = 7;
/// Fewer hidden characters than this are noise and no message.
const MIN_HIDDEN: usize = 4;

/// Removes what shows nothing and is not needed, and turns text that an override shows backwards
/// the way it is read.
///
/// `is_right_to_left` tells whether the text has a letter that runs so.
pub(super) fn edits(text: &str, is_right_to_left: bool) -> Edits {
    let mut editor = Editor::new(text);
    // What stands before: the last character that is not invisible, and the last one at all.
    let mut before = Neighbours::default();
    let (mut has_selector_noise, mut has_direction_noise) = (None, None);
    // Where what was looked at ends. After it come plain characters, if any.
    let mut end = 0;
    each_odd(text, |at, c, class| {
        if at < end {
            return;
        }
        if at > end {
            before = Neighbours::of(text[..at].chars().next_back());
        }
        end = at + c.len_utf8();
        if !class.is(INVISIBLE) {
            before = Neighbours::of(Some(c));
            return;
        }
        let rest = &text[end..];
        if OVERRIDES.contains(&c) && !is_right_to_left {
            let (length, with) = overridden(c, rest);
            end += length;
            editor.replace(at..end, &with, ChangeKind::BidiControl);
            return;
        }
        let flag = flag_tags(before.last, c, rest);
        let selects_nothing = class.is(VARIATION)
            && !matches!(c, TEXT_STYLE | EMOJI_STYLE)
            && *has_selector_noise.get_or_insert_with(|| selects_everywhere(text));
        let directs_nothing = class.is(BIDI_CONTROL)
            && *has_direction_noise.get_or_insert_with(|| splits_words(text));
        let is_noise = selects_nothing || directs_nothing;
        if flag > 0 {
            end = at + flag;
        } else if is_noise || !is_needed(c, class, before, rest, is_right_to_left) {
            editor.remove(at..end, kind(class));
        }
        before.last = Some(c);
    });
    editor.finish()
}

/// Messages spelt in characters that show nothing: tag characters, or runs of variation selectors.
/// `seen` are the properties of the text's characters.
pub(crate) fn messages(text: &str, seen: u32) -> Vec<(Range<usize>, String, ChangeKind)> {
    let mut found = Vec::new();
    if seen & TAG != 0 {
        hidden(text, (TAG, ChangeKind::Tag), tag, &mut found);
    }
    if seen & VARIATION != 0 {
        let kind = (VARIATION, ChangeKind::VariationSelector);
        hidden(text, kind, selected_byte, &mut found);
    }
    found.sort_by_key(|(range, ..)| range.start);
    found
}

#[derive(Clone, Copy, Default)]
struct Neighbours {
    shown: Option<char>,
    last: Option<char>,
}

impl Neighbours {
    /// After a character that shows something.
    fn of(shown: Option<char>) -> Self {
        Self { shown, last: shown }
    }
}

fn kind(class: Class) -> ChangeKind {
    if class.is(TAG) {
        ChangeKind::Tag
    } else if class.is(VARIATION) {
        ChangeKind::VariationSelector
    } else if class.is(BIDI_CONTROL) {
        ChangeKind::BidiControl
    } else {
        ChangeKind::Invisible
    }
}

/// Whether variation selectors, those of emoji aside, stand behind so many characters of a text
/// that they are no choice of glyphs.
fn selects_everywhere(text: &str) -> bool {
    let (mut selectors, mut others) = (0, 0);
    for c in text.chars() {
        let class = class::of(c);
        match class.is(VARIATION) && !matches!(c, TEXT_STYLE | EMOJI_STYLE) {
            true => selectors += 1,
            false => others += usize::from(!class.is(INVISIBLE | SPACE)),
        }
    }
    selectors >= MIN_HIDDEN && selectors * MIN_PER_SELECTOR > others
}

/// Whether a bidirectional control stands between two letters that run the same way, where there is
/// nothing to direct: then none of a text's is there for that.
fn splits_words(text: &str) -> bool {
    let (mut before, mut is_split) = (None::<Class>, false);
    for c in text.chars() {
        let class = class::of(c);
        if class.is(INVISIBLE) {
            is_split |= class.is(BIDI_CONTROL);
            continue;
        }
        let joins = before.is_some_and(|before| {
            before.is(LETTER) && before.is(RIGHT_TO_LEFT) == class.is(RIGHT_TO_LEFT)
        });
        if is_split && joins && class.is(LETTER) {
            return true;
        }
        (before, is_split) = (Some(class), false);
    }
    false
}

/// Whether writing needs an invisible character where it stands.
fn is_needed(
    c: char,
    class: Class,
    before: Neighbours,
    rest: &str,
    is_right_to_left: bool,
) -> bool {
    let shown = before.shown.map(class::of);
    let is_shown = |flags| shown.is_some_and(|class| class.is(flags));
    let next = rest.chars().next().map(class::of);
    let is_next = |flags| next.is_some_and(|class| class.is(flags));
    // One of them has a meaning; a second one after it has none.
    let is_repeated = before.last.is_some_and(|last| {
        let last = class::of(last);
        last.is(INVISIBLE) && last.is(BIDI_CONTROL) == class.is(BIDI_CONTROL)
    });
    if class.is(BIDI_CONTROL) {
        return is_right_to_left;
    }
    // Fillers and selectors of a script, beside its letters: Hangul, Khmer, Mongolian.
    let own = class.script;
    let is_of_script = |other: Option<Class>| {
        !matches!(own, Script::Common | Script::Inherited) && other.is_some_and(|o| o.script == own)
    };
    if is_of_script(shown) || is_of_script(next) {
        return true;
    }
    if is_repeated {
        return false;
    }
    match c {
        NON_JOINER => {
            is_shown(JOINING | VIRAMA)
                || is_shown(MARK) && is_shown(RIGHT_TO_LEFT)
                || joins_through_marks(shown)
        }
        JOINER => {
            is_shown(JOINING | VIRAMA)
                || joins_through_marks(shown)
                || is_next(JOINING)
                || (is_shown(PICTOGRAPH) && is_next(PICTOGRAPH))
        }
        ZERO_WIDTH_SPACE | WORD_JOINER => is_shown(COMPLEX) || is_next(COMPLEX),
        BYTE_ORDER_MARK => before.last.is_none(),
        GRAPHEME_JOINER => is_shown(MARK) || is_next(MARK),
        _ if class.is(VARIATION) => {
            let is_style = matches!(c, TEXT_STYLE | EMOJI_STYLE);
            // Signs of ASCII have none but those of keycaps.
            let is_sign = !is_shown(LETTER | SPACE)
                && before.shown.is_some_and(|c| is_style || !c.is_ascii());
            is_shown(PICTOGRAPH) || is_shown(IDEOGRAPH) && !is_style || is_sign
        }
        _ => false,
    }
}

/// A vowel sign after an Arabic letter does not stop it from joining.
fn joins_through_marks(shown: Option<Class>) -> bool {
    shown.is_some_and(|class| {
        class.is(MARK)
            && matches!(
                class.script,
                Script::Inherited | Script::Arabic | Script::Syriac
            )
    })
}

/// The bytes of the tags that make a regional flag of the black flag before them; 0 if they do not.
fn flag_tags(before: Option<char>, first: char, rest: &str) -> usize {
    if before != Some(BLACK_FLAG) || tag(first).is_none() {
        return 0;
    }
    let tags = std::iter::once(first).chain(rest.chars());
    let count = tags.clone().take_while(|c| tag(*c).is_some()).count() + 1;
    let is_flag = count <= MAX_FLAG_TAGS && tags.clone().nth(count - 1) == Some(CANCEL_TAG);
    match is_flag {
        true => count * first.len_utf8(),
        false => 0,
    }
}

/// The bytes after an override that it governs, its end included, and the text as a reader sees it.
fn overridden(control: char, rest: &str) -> (usize, String) {
    let end = rest.find([POP_FORMATTING, '\n']).unwrap_or(rest.len());
    let governed = &rest[..end];
    let length = match rest[end..].starts_with(POP_FORMATTING) {
        true => end + POP_FORMATTING.len_utf8(),
        false => end,
    };
    let mut read = String::with_capacity(governed.len());
    if control == RIGHT_TO_LEFT_OVERRIDE {
        backwards(governed, &mut read);
    } else {
        read.extend(governed.chars().filter(|c| !class::of(*c).is(INVISIBLE)));
    }
    (length, read)
}

/// Writes what shows of the characters from last to first, each with its marks after it.
fn backwards(text: &str, read: &mut String) {
    let mut marks: Vec<char> = Vec::new();
    for c in text.chars().rev() {
        let class = class::of(c);
        if class.is(INVISIBLE | MARK) {
            marks.extend(Some(c).filter(|_| !class.is(INVISIBLE)));
            continue;
        }
        read.push(c);
        if !marks.is_empty() {
            read.extend(marks.drain(..).rev());
        }
    }
    // Marks that the text begins with are on nothing.
    read.extend(marks.into_iter().rev());
}

/// The byte that a variation selector spells by its number, as smugglers use them.
fn selected_byte(c: char) -> Option<u8> {
    match c as u32 {
        code @ 0xfe00..=0xfe0f => Some((code - 0xfe00) as u8),
        code @ 0xe0100..=0xe01ef => Some((code - 0xe0100 + 16) as u8),
        _ => None,
    }
}

/// Adds the runs of characters of a property that spell a text.
fn hidden(
    text: &str,
    (property, kind): (u32, ChangeKind),
    spelt: fn(char) -> Option<u8>,
    found: &mut Vec<(Range<usize>, String, ChangeKind)>,
) {
    let mut bytes = Vec::new();
    let mut start = 0;
    let mut previous = None;
    // One more character than the text has, to end the last run.
    let characters = text.char_indices().map(|(at, c)| (at, Some(c)));
    for (at, c) in characters.chain([(text.len(), None)]) {
        let is_hidden = |c: &char| class::of(*c).is(property);
        match c.filter(is_hidden).and_then(spelt) {
            Some(byte) => {
                if bytes.is_empty() {
                    start = at;
                }
                bytes.push(byte);
            }
            None => {
                let is_flag = previous == Some(BLACK_FLAG) && bytes.len() < MAX_FLAG_TAGS;
                if bytes.len() >= MIN_HIDDEN
                    && !is_flag
                    && let Ok(message) = String::from_utf8(std::mem::take(&mut bytes))
                {
                    found.push((start..at, message, kind));
                }
                bytes.clear();
                previous = c;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rewrite::edited;
    use crate::text::scan::scan;

    fn plain(text: &str) -> String {
        let is_right_to_left = scan(text).seen & RIGHT_TO_LEFT != 0;
        let edits = edits(text, is_right_to_left);
        edited(text, edits)
    }

    #[test]
    fn what_hides_is_removed() {
        for (disguised, expected) in [
            ("b\u{200b}a\u{200d}k\u{200c}e", "bake"),
            ("b\u{ad}a\u{2060}k\u{180e}e", "bake"),
            ("b\u{8}ake", "bake"),
            ("b\u{fe0f}a\u{fe00}k\u{e0101}e", "bake"),
            ("b\u{e0061}a\u{e0062}ke", "bake"),
            ("b\u{2066}a\u{2069}k\u{200f}e", "bake"),
            ("\u{202e}daerb ekab\u{202c} now", "bake bread now"),
            ("\u{202d}bake", "bake"),
            ("ki\u{3164}wi", "kiwi"),
            ("خبز b\u{200f}ake", "خبز bake"),
            ("خ\u{200e}ب\u{2067}\u{2069}ز", "خبز"),
            ("خ\u{200e}ب\u{200e}ز\u{200e} خ\u{200e}", "خبز خ"),
            ("🙂\u{fe0f}\u{fe01}\u{fe02}", "🙂\u{fe0f}"),
            ("1\u{fe00}2!\u{fe01}", "12!"),
            (
                "图\u{fe00}书\u{fe00}馆\u{fe00}九\u{fe00}点\u{fe00}开\u{fe00}门。",
                "图书馆九点开门。",
            ),
            ("🙂\u{fe00}🙂\u{fe00}🙂\u{fe00}🙂\u{fe00}", "🙂🙂🙂🙂"),
        ] {
            assert_eq!(plain(disguised), expected, "{disguised:?}");
        }
    }

    #[test]
    fn what_writing_needs_stays() {
        for benign in [
            "می\u{200c}خواهم نان بپزم",
            "خانه\u{200c}ی ما",
            "क्\u{200d}ष क्\u{200c}ष",
            "ශ්\u{200d}රී",
            "👨\u{200d}👩\u{200d}👧 ❤\u{fe0f} 👍🏽",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "1\u{fe0f}\u{20e3}",
            "葛\u{e0100}城",
            "ភាសា\u{200b}ខ្មែរ",
            "שלום\u{200f}! hello",
            "\u{2067}مرحبا\u{2069} hello",
            "\u{feff}hello",
            "ᠮᠣᠩ\u{180b}ᠭᠣᠯ",
        ] {
            assert_eq!(plain(benign), benign, "{benign:?}");
        }
    }

    #[test]
    fn hidden_messages_are_read() {
        let tags: String = "bake"
            .chars()
            .map(|c| char::from_u32(0xe0000 + c as u32).unwrap())
            .collect();
        let text = format!("hi {tags}!");
        assert_eq!(
            messages(&text, TAG),
            [(3..19, "bake".to_owned(), ChangeKind::Tag)]
        );
        let selectors: String = "bake"
            .bytes()
            .map(|b| char::from_u32(0xe0100 + u32::from(b) - 16).unwrap())
            .collect();
        assert_eq!(messages(&format!("🙂{selectors}"), VARIATION)[0].1, "bake");
        assert_eq!(
            messages(
                "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
                TAG
            ),
            []
        );
    }
}
