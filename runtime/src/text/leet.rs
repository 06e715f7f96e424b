//! Words with digits and signs for letters.

use super::class::{self, CASED, LETTER};
use super::pieces::Tokens;
use super::rewrite::{ChangeKind, Edits};
use super::scan::Leet;
use super::spelling::is_cell;

/// A text is in leet, down to its numbers, from this many words on, if they are this share (a quarter) of its words.
const MIN_LEET_WORDS: usize = 3;
const MIN_LEET_SHARE: usize = 4;
/// The longest number that stands for a word in such a text.
const MAX_LEET_NUMBER: usize = 4;
/// How many spellings are remembered: one for so many bytes of text, up to so many.
const BYTES_PER_KNOWN: usize = 16;
const MAX_KNOWN: usize = 1 << 13;
/// A word that only begins with a digit has at least this many letters after it: "4th" is not "ath".
const MIN_AFTER_DIGIT: usize = 3;

/// Puts letters for digits and signs in words, where that makes a word the tokenizer knows better: where it takes fewer tokens.
///
/// A word with a digit or sign among its letters is taken by itself. Others, numbers among them, only in a text that is in leet.
pub(super) fn edits(text: &str, hints: &Leet, tokens: Tokens<'_>) -> Edits {
    let mut reader = Reader {
        speller: Speller::new(text, tokens),
        found: Vec::with_capacity(hints.mixed),
        words: 0,
        likely: 0,
    };
    // Where too few words can be in leet, only those that are by themselves are looked at.
    let places = hints.places.as_deref();
    match places.filter(|_| !is_leet(hints.mixed, hints.lettered)) {
        Some(places) => {
            words_at(text, places).for_each(|word| reader.read(word));
            reader.edits(false)
        }
        None => {
            words(text).for_each(|word| reader.read(word));
            let is_leet = is_leet(reader.likely, reader.words);
            reader.edits(is_leet)
        }
    }
}

/// Whether a text is in leet, by how many of its words are likely to be.
fn is_leet(likely: usize, words: usize) -> bool {
    likely >= MIN_LEET_WORDS && likely * MIN_LEET_SHARE >= words
}

/// Words that may be in leet, until it is known whether the text is.
struct Reader<'a> {
    speller: Speller<'a>,
    found: Vec<Found>,
    /// Words with letters, and those of them that are likely to be in leet.
    words: usize,
    likely: usize,
}

/// A word that may be in leet: small, because a text in leet is made of them.
struct Found {
    start: u32,
    length: u32,
    has_letters: bool,
    spelling: Option<Spelling>,
}

impl Reader<'_> {
    fn read(&mut self, mut word: Word<'_>) {
        let has_letters = word.seen & ALPHABETIC != 0;
        self.words += usize::from(has_letters);
        if word.text.starts_with('@') && has_letters {
            self.speller.leave_address(&mut word);
        }
        if word.seen & LEET == 0 {
            return;
        }
        // Numbers wait until it is known whether the text is in leet.
        let mut spelling = None;
        if has_letters {
            spelling = self.speller.spell(&word);
            let Some(spelling) = spelling else {
                return;
            };
            self.likely += usize::from(spelling.is_better);
        }
        self.found.push(Found {
            start: word.start as u32,
            length: word.text.len() as u32,
            has_letters,
            spelling,
        });
    }

    fn edits(self, is_leet: bool) -> Edits {
        let Self {
            mut speller, found, ..
        } = self;
        let mut edits = match is_leet {
            true => Edits::with_room(found.len(), speller.text.len()),
            false => Edits::default(),
        };
        for found in found {
            let start = found.start as usize;
            let range = start..start + found.length as usize;
            let text = &speller.text[range.clone()];
            let is_better = found.spelling.is_some_and(|spelling| spelling.is_better);
            if !(is_leet || is_better && is_leet_shaped(text)) {
                continue;
            }
            let word = || Word::new(start, text);
            let Some(spelling) = found.spelling.or_else(|| speller.spell(&word())) else {
                continue;
            };
            // In a text in leet: numbers short enough to be words, that are words the tokenizer knows.
            let is_short = found.length as usize <= MAX_LEET_NUMBER && spelling.is_known;
            if spelling.is_better || found.has_letters || is_short {
                edits.replace(range, speller.spelt(spelling), ChangeKind::Leet);
            }
        }
        edits
    }
}

/// Spells words of a text out.
struct Speller<'a> {
    text: &'a str,
    tokens: Tokens<'a>,
    /// A space, and a word.
    attempt: Vec<u8>,
    /// What was spelt.
    plain: String,
    /// Words that were spelt before, each at one place that its bytes tell: a later word takes the place.
    known: Vec<Option<Known>>,
}

/// A word that was spelt before.
#[derive(Clone, Copy)]
struct Known {
    word: ShortWord,
    begins: bool,
    spelling: Spelling,
}

/// The bytes of a word of at most 16, none of which is 0.
type ShortWord = [u64; 2];

/// How a word is spelt in letters.
#[derive(Clone, Copy)]
struct Spelling {
    /// Where it is in [`Speller::plain`].
    start: u32,
    length: u32,
    /// Whether the tokenizer knows it as a whole.
    is_known: bool,
    /// Whether it takes fewer tokens so.
    is_better: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Capitals {
    None,
    First,
    All,
}

impl<'a> Speller<'a> {
    fn new(text: &'a str, tokens: Tokens<'a>) -> Self {
        Self {
            text,
            tokens,
            attempt: Vec::new(),
            plain: String::new(),
            known: Vec::new(),
        }
    }

    /// The spelling that takes the fewest tokens; `None` if one of the word's digits stands for no letter.
    fn spell(&mut self, word: &Word<'_>) -> Option<Spelling> {
        if word.seen & NUMERAL != 0 {
            return None;
        }
        let is_open = match word.text.as_bytes()[0] {
            byte if byte.is_ascii() => KINDS[usize::from(byte)] & LEET != 0,
            _ => word.text.starts_with('€'),
        };
        let begins = is_open && self.begins(word);
        let Some(short) = self.short(word) else {
            return Some(self.best(word, is_open, begins));
        };
        let places = (self.text.len() / BYTES_PER_KNOWN).next_power_of_two();
        let place = place_of(short) & (places.min(MAX_KNOWN) - 1);
        if let Some(known) = self.known.get(place).copied().flatten()
            && known.word == short
            && known.begins == begins
        {
            return Some(known.spelling);
        }
        let spelling = self.best(word, is_open, begins);
        self.known.resize(places.min(MAX_KNOWN), None);
        self.known[place] = Some(Known {
            word: short,
            begins,
            spelling,
        });
        Some(spelling)
    }

    /// The bytes of a short word that is not at the very end of the text.
    fn short(&self, word: &Word<'_>) -> Option<ShortWord> {
        let bytes = self.text.as_bytes()[word.start..].first_chunk::<16>()?;
        let rest = 16_u32.checked_sub(word.text.len() as u32)?;
        let bytes = u128::from_le_bytes(*bytes) & u128::MAX.unbounded_shr(rest * 8);
        Some([bytes as u64, (bytes >> 64) as u64])
    }

    /// `is_open` tells whether the word begins with what stands for a letter, and `begins` whether that is a capital there.
    fn best(&mut self, word: &Word<'_>, is_open: bool, begins: bool) -> Spelling {
        let is_capital = word.seen & (UPPER | OTHER) != 0 && is_capital(word.text);
        let expected = match () {
            () if is_capital => Capitals::All,
            () if begins => Capitals::First,
            () => Capitals::None,
        };
        // The case that is expected, unless the word is known as a whole in the other, as a German noun is.
        let other = (is_open && !is_capital).then_some(match expected {
            Capitals::First => Capitals::None,
            _ => Capitals::First,
        });
        let ones: &[u8] = match word.seen & ONE {
            0 => b"i",
            _ => b"il",
        };
        let mut best = (b'i', expected);
        let mut last = best;
        let mut least = usize::MAX;
        for capitals in [Some(expected), other].into_iter().flatten() {
            for one in ones {
                if least <= 1 {
                    break;
                }
                last = (*one, capitals);
                self.attempt(word.text, last);
                let most = if capitals == expected { least } else { 2 };
                let count = self.count(most);
                if count < most {
                    (least, best) = (count, last);
                }
            }
        }
        let start = self.plain.len();
        if best != last {
            self.attempt(word.text, best);
        }
        self.plain += text_of(&self.attempt[1..]);
        self.attempt.truncate(1);
        self.attempt.extend_from_slice(word.text.as_bytes());
        Spelling {
            start: start as u32,
            length: (self.plain.len() - start) as u32,
            is_known: least <= 1,
            is_better: self.count(least.saturating_add(1)) > least,
        }
    }

    /// Most tokenizers know words with a space before them.
    fn attempt(&mut self, word: &str, (one, capitals): (u8, Capitals)) {
        self.attempt.clear();
        self.attempt.push(b' ');
        let letter = |byte: u8| match LETTERS[usize::from(byte)] {
            b'1' => one,
            letter => letter,
        };
        // The one sign that is not of ASCII.
        match word.is_ascii() || !word.contains('€') {
            true => self.attempt.extend(word.bytes().map(letter)),
            false => {
                let word = word.replace('€', "e");
                self.attempt.extend(word.bytes().map(letter));
            }
        }
        match capitals {
            Capitals::None => {}
            Capitals::First => self.attempt[1..2].make_ascii_uppercase(),
            Capitals::All => self.attempt.make_ascii_uppercase(),
        }
    }

    fn spelt(&self, spelling: Spelling) -> &str {
        &self.plain[spelling.start as usize..][..spelling.length as usize]
    }

    fn count(&self, most: usize) -> usize {
        (self.tokens)(&self.attempt, most)
    }

    /// Takes the sign off an address, such as @home; but "@t" is "at", because the tokenizer knows that as a whole.
    fn leave_address(&mut self, word: &mut Word<'_>) {
        let is_word = self.spell(word).is_some_and(|spelling| spelling.is_known);
        if !is_word {
            *word = Word::new(word.start + 1, &word.text[1..]);
        }
    }

    /// Whether a word is written with a capital: as "I" is, and as sentences begin.
    fn begins(&self, word: &Word<'_>) -> bool {
        // As most words are.
        if let [.., letter, b' '] = &self.text.as_bytes()[..word.start]
            && letter.is_ascii_alphanumeric()
        {
            return word.text == "1";
        }
        let before = self.text[..word.start].trim_end().chars().next_back();
        before.is_none_or(|c| matches!(c, '.' | '?' | '!')) || word.text == "1"
    }
}

/// Where a word is remembered.
fn place_of(word: ShortWord) -> usize {
    // Knuth's multiplicative hash: the upper bits depend on all of them.
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = (word[0] ^ word[1].rotate_left(29)).wrapping_mul(GOLDEN);
    (mixed >> 40) as usize
}

/// Letters are put for signs, both of ASCII, in a text.
fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Whether a word is in capitals, and more than one.
fn is_capital(word: &str) -> bool {
    let capitals = word.chars().filter(|c| c.is_uppercase()).count();
    capitals > 1 && !word.chars().any(char::is_lowercase)
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

/// The letter that a digit or sign stands for; '1' for those that stand for i or l.
const fn leet(c: char) -> Option<char> {
    Some(match c {
        '0' => 'o',
        '1' | '!' | '|' => '1',
        '3' | '€' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        '8' => 'b',
        '9' | '6' => 'g',
        _ => return None,
    })
}

/// A run of letters, numbers, and signs that stand for letters.
struct Word<'a> {
    start: usize,
    text: &'a str,
    /// What its characters are.
    seen: u8,
}

impl<'a> Word<'a> {
    fn new(start: usize, text: &'a str) -> Self {
        let (mut seen, mut at) = (0, 0);
        while at < text.len() {
            let (kind, length) = kind(text, at);
            seen |= kind;
            at += length;
        }
        Self { start, text, seen }
    }
}

const CELL: u8 = 1;
const LEET: u8 = 2;
const ALPHABETIC: u8 = 4;
const OTHER: u8 = 8;
/// A digit that stands for no letter.
const NUMERAL: u8 = 16;
/// Stands for i or l.
const ONE: u8 = 32;
const UPPER: u8 = 64;

/// What a byte may be part of.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < kinds.len() {
        let c = byte as u8 as char;
        kinds[byte] = match () {
            () if byte >= 0x80 => OTHER,
            () if matches!(leet(c), Some('1')) => CELL | LEET | ONE,
            () if leet(c).is_some() => CELL | LEET,
            () if c.is_ascii_uppercase() => CELL | ALPHABETIC | UPPER,
            () if c.is_ascii_alphabetic() => CELL | ALPHABETIC,
            () if c.is_ascii_digit() => CELL | NUMERAL,
            () => 0,
        };
        byte += 1;
    }
    kinds
};

/// What stands for a letter becomes that, and all else stays.
static LETTERS: [u8; 256] = {
    let mut letters = [0; 256];
    let mut byte = 0;
    while byte < letters.len() {
        letters[byte] = match leet(byte as u8 as char) {
            Some(letter) if byte < 0x80 => letter as u8,
            _ => byte as u8,
        };
        byte += 1;
    }
    letters
};

/// What the character at `at` is part of, and its bytes.
#[inline(always)]
fn kind(text: &str, at: usize) -> (u8, usize) {
    match KINDS[usize::from(text.as_bytes()[at])] {
        OTHER => other_kind(text, at),
        kind => (kind, 1),
    }
}

#[cold]
fn other_kind(text: &str, at: usize) -> (u8, usize) {
    let c = text[at..].chars().next().unwrap_or(' ');
    let kind = match () {
        () if leet(c).is_some() => CELL | LEET | OTHER,
        () if !is_cell(c) => 0,
        () if class::of(c).is(LETTER) => CELL | ALPHABETIC | OTHER,
        () => CELL | OTHER,
    };
    (kind, c.len_utf8())
}

/// The words of a text, without the signs that end or begin a sentence.
fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let is_outside = |c| matches!(c, '!' | '|' | '+');
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut start = at;
        let mut seen = 0;
        while at < text.len() {
            let (kind, length) = kind(text, at);
            if kind & CELL == 0 {
                if seen != 0 {
                    break;
                }
                start = at + length;
            }
            seen |= kind;
            at += length;
        }
        if seen == 0 {
            return None;
        }
        let word = &text[start..at];
        if seen & LEET != 0 && (word.starts_with(is_outside) || word.ends_with(is_outside)) {
            let word = word.trim_end_matches(is_outside);
            let bare = word.trim_start_matches(is_outside);
            return Some(Word::new(start + word.len() - bare.len(), bare));
        }
        Some(Word {
            start,
            text: word,
            seen,
        })
    })
}

/// The words of a text that lie at places of it.
fn words_at<'a>(text: &'a str, places: &'a [u32]) -> impl Iterator<Item = Word<'a>> {
    let mut end = 0;
    places.iter().filter_map(move |place| {
        let place = *place as usize;
        if place < end {
            return None;
        }
        let before = text[..place].char_indices().rev();
        let first = before
            .take_while(|(at, _)| kind(text, *at).0 & CELL != 0)
            .last();
        let start = first.map_or(place, |(at, _)| at);
        let mut word = words(&text[start..]).next()?;
        word.start += start;
        end = word.start + word.text.len();
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rewrite::View;
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
        View::edited(text, edits).text().to_owned()
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
