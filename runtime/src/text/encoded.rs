//! Texts inside a text: base64, hexadecimal and rot13, and escapes of single characters.

use std::ops::Range;
use std::sync::LazyLock;

use data_encoding::{Encoding, HEXLOWER_PERMISSIVE, Specification};
use memchr::memchr3;

use super::pieces::Tokens;
use super::rewrite::{ChangeKind, Editor, Edits};
use super::rotated::Rotated;
use super::scan::{Hints, MIN_HEX_PAIRS, scan, starts_escape};
use super::sentence::sentences;

/// A text that was found encoded in another.
pub(super) type Piece = (Range<usize>, String, ChangeKind);

/// Texts encoded in encoded texts are looked for this deep.
const MAX_DEPTH: usize = 3;
/// Lines of at least this length may go on in the next one.
const MIN_WRAPPED_LINE: usize = 40;
/// A text escapes what need not be escaped if it does so this often.
const MIN_ESCAPES: usize = 3;
/// Moving letters by 13 places must save this share of a sentence's tokens: a tenth.
const ROT13_SAVING: usize = 10;
/// And so many words of it must be letters alone, with more than half of its letters in them: else
/// it is an identifier, which has fewer tokens by chance.
const ROT13_WORDS: usize = 2;
/// How many bytes of it are looked at for that. More do not make the answer surer, only later.
const ROT13_SAMPLE: usize = 4096;

static BASE64: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".to_owned();
    specification.translate.from = "-_".to_owned();
    specification.translate.to = "+/".to_owned();
    specification.ignore = "\r\n".to_owned();
    specification.check_trailing_bits = false;
    // A constant that the tests exercise.
    specification
        .encoding()
        .expect("the alphabet of base64 is valid")
});

/// The texts that stand in base64 or hexadecimal in `text`, and those in them.
pub(super) fn decoded(text: &str, hints: &Hints) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for mut range in runs(text, &hints.runs) {
        if let Some((message, kind)) = decode(&text[range.clone()]) {
            if kind == ChangeKind::Base64 {
                range.end += padding(text, &range);
            }
            pieces.push((range.clone(), message.clone(), kind));
            inside(message, &range, 1, &mut pieces);
        }
    }
    if hints.hex_pairs {
        pieces.extend(hex_pairs(text));
    }
    pieces.sort_by_key(|(range, ..)| range.start);
    pieces
}

fn inside(message: String, range: &Range<usize>, depth: usize, pieces: &mut Vec<Piece>) {
    if depth == MAX_DEPTH {
        return;
    }
    for run in runs(&message, &scan(&message).runs) {
        if let Some((message, kind)) = decode(&message[run]) {
            pieces.push((range.clone(), message.clone(), kind));
            inside(message, range, depth + 1, pieces);
        }
    }
}

/// The sentences of a text that are likelier to be a language with their letters moved by 13
/// places. Sentences too short to tell are taken as the text is.
pub(super) fn rotated(text: &str, hints: &Rotated, tokens: Tokens<'_>) -> Vec<Piece> {
    let mut places: Vec<Range<usize>> = Vec::new();
    if hints.is_all() && saves_tokens(text, tokens) {
        for (range, sentence) in sentences(text) {
            match places.last_mut() {
                _ if sentence.is_plain() => {}
                Some(last) if last.end == range.start => last.end = range.end,
                _ => places.push(range),
            }
        }
    } else {
        let likely = hints.sentences(text);
        places.extend(likely.filter(|range| saves_tokens(&text[range.clone()], tokens)));
    }
    let piece = |range: Range<usize>| {
        let message = rot13(&text[range.clone()]);
        (range, message, ChangeKind::Rot13)
    };
    places.into_iter().map(piece).collect()
}

fn saves_tokens(text: &str, tokens: Tokens<'_>) -> bool {
    let sample = &text[..text.floor_char_boundary(ROT13_SAMPLE)];
    if !is_of_words(sample) {
        return false;
    }
    let before = tokens(sample.as_bytes(), usize::MAX);
    let after = tokens(rot13(sample).as_bytes(), before);
    after.saturating_add(before.div_ceil(ROT13_SAVING)) <= before
}

/// Whether a text is mostly words, and not numbers with letters in them.
fn is_of_words(text: &str) -> bool {
    let (mut words, mut in_words, mut all) = (0, 0, 0);
    for part in text.split_whitespace() {
        let letters = part.chars().filter(|c| c.is_alphabetic()).count();
        let is_word = |b: u8| !b.is_ascii_digit() && !matches!(b, b'+' | b'/' | b'=');
        all += letters;
        if letters > 0 && part.bytes().all(is_word) {
            words += 1;
            in_words += letters;
        }
    }
    words >= ROT13_WORDS && 2 * in_words > all
}

fn rot13(text: &str) -> String {
    let moved = |c| match c {
        'a'..='m' | 'A'..='M' => char::from(c as u8 + 13),
        'n'..='z' | 'N'..='Z' => char::from(c as u8 - 13),
        _ => c,
    };
    text.chars().map(moved).collect()
}

/// Replaces escapes by the characters that they stand for, in a text that escapes letters, which no
/// format asks for.
pub(super) fn escape_edits(text: &str) -> Edits {
    let mut editor = Editor::new(text);
    let mut letters = 0;
    let mut at = 0;
    while let Some(next) = memchr3(b'%', b'\\', b'&', &text.as_bytes()[at..]) {
        at += next;
        match escape(&text[at..]) {
            Some((length, decoded)) => {
                letters += usize::from(decoded.is_alphanumeric());
                editor.swap(at..at + length, decoded, ChangeKind::Escape);
                at += length;
            }
            None => at += 1,
        }
    }
    match letters >= MIN_ESCAPES {
        true => editor.finish(),
        false => Edits::default(),
    }
}

/// The escape that `text` begins with: its length and what it stands for.
fn escape(text: &str) -> Option<(usize, char)> {
    let bytes = text.as_bytes();
    if !starts_escape(bytes) {
        return None;
    }
    let number = |digits: &str, radix| {
        u32::from_str_radix(digits, radix)
            .ok()
            .and_then(char::from_u32)
    };
    let shown = |c: char| (!c.is_control() || c == '\n' || c == '\t').then_some(c);
    match bytes[1] {
        b'#' => {
            let end = text.bytes().take(10).position(|b| b == b';')?;
            let digits = &text[2..end];
            let c = match digits.strip_prefix(['x', 'X']) {
                Some(digits) => number(digits, 16)?,
                None => number(digits, 10)?,
            };
            Some((end + 1, shown(c)?))
        }
        b'u' if bytes.get(2) == Some(&b'{') => {
            let end = text.bytes().take(10).position(|b| b == b'}')?;
            Some((end + 1, shown(number(&text[3..end], 16)?)?))
        }
        b'u' => {
            let unit = |at: usize| {
                let escape = text.get(at..at + 6)?.strip_prefix("\\u")?;
                u16::from_str_radix(escape, 16).ok()
            };
            // Beyond the first 65,536 characters JSON and Java write two surrogates.
            let first = unit(0)?;
            let second = unit(6).filter(|_| (0xd800..0xdc00).contains(&first));
            let units = [Some(first), second].into_iter().flatten();
            let c = char::decode_utf16(units).next()?.ok()?;
            Some((6 * c.len_utf16(), shown(c)?))
        }
        b'U' => Some((10, shown(number(text.get(2..10)?, 16)?)?)),
        // %xx and \xx spell bytes: as many as make a character.
        lead => {
            let (skip, width) = if lead == b'x' { (2, 4) } else { (1, 3) };
            let byte = |index: usize| {
                let one = bytes.get(index * width..(index + 1) * width)?;
                (one[..skip] == bytes[..skip])
                    .then(|| {
                        std::str::from_utf8(&one[skip..])
                            .ok()
                            .and_then(|d| u8::from_str_radix(d, 16).ok())
                    })
                    .flatten()
            };
            let mut spelt = [0; 4];
            for index in 0..4 {
                spelt[index] = byte(index)?;
                if let Ok(c) = std::str::from_utf8(&spelt[..=index]) {
                    return Some((width * (index + 1), shown(c.chars().next()?)?));
                }
            }
            None
        }
    }
}

/// Runs of the letters that base64 and hexadecimal use, of which there is one at each of `starts`.
/// Wrapped lines are one run.
fn runs<'a>(text: &'a str, starts: &'a [u32]) -> impl Iterator<Item = Range<usize>> + 'a {
    let is_symbol = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
    let bytes = text.as_bytes();
    let mut at = 0;
    starts.iter().filter_map(move |start| {
        let start = *start as usize;
        if start < at {
            return None;
        }
        at = start;
        let mut line = at;
        loop {
            while at < bytes.len() && is_symbol(bytes[at]) {
                at += 1;
            }
            let line_break = match &bytes[at..] {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => 0,
            };
            let goes_on = bytes.get(at + line_break).is_some_and(|b| is_symbol(*b));
            if line_break == 0 || at - line < MIN_WRAPPED_LINE || !goes_on {
                break;
            }
            at += line_break;
            line = at;
        }
        Some(start..at)
    })
}

/// How many signs of padding behind a run of base64 are part of it.
fn padding(text: &str, run: &Range<usize>) -> usize {
    let symbols = text[run.clone()]
        .bytes()
        .filter(u8::is_ascii_graphic)
        .count();
    let signs = text[run.end..].bytes().take_while(|b| *b == b'=').count();
    signs.min(symbols.next_multiple_of(4) - symbols)
}

fn decode(run: &str) -> Option<(String, ChangeKind)> {
    let digits = run.strip_prefix("0x").unwrap_or(run);
    let hex = || {
        HEXLOWER_PERMISSIVE
            .decode(digits.as_bytes())
            .ok()
            .and_then(readable)
    };
    let base64 = || BASE64.decode(run.as_bytes()).ok().and_then(readable);
    hex()
        .map(|message| (message, ChangeKind::Hex))
        .or_else(|| base64().map(|message| (message, ChangeKind::Base64)))
}

/// Pairs of hexadecimal digits with one character between them.
fn hex_pairs(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut digits = String::new();
    let mut range = 0..0;
    let mut end = |digits: &mut String, range: &Range<usize>| {
        if digits.len() >= MIN_HEX_PAIRS * 2
            && let Some(message) = HEXLOWER_PERMISSIVE
                .decode(digits.as_bytes())
                .ok()
                .and_then(readable)
        {
            pieces.push((range.clone(), message, ChangeKind::Hex));
        }
        digits.clear();
    };
    let mut start = 0;
    for word in text.split_inclusive([' ', ':', ',', '\n']) {
        let pair = word.trim_end_matches([' ', ':', ',', '\n']);
        if pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()) {
            if digits.is_empty() {
                range.start = start;
            }
            range.end = start + pair.len();
            digits += pair;
        } else {
            end(&mut digits, &range);
        }
        start += word.len();
    }
    end(&mut digits, &range);
    pieces
}

/// The bytes as text, if they are one: UTF-8 without control characters, more than half of it
/// letters.
fn readable(bytes: Vec<u8>) -> Option<String> {
    let message = String::from_utf8(bytes).ok()?;
    let is_plain = !message
        .chars()
        .any(|c| c.is_control() && !c.is_whitespace());
    let letters = message.chars().filter(|c| c.is_alphabetic()).count();
    (is_plain && letters * 2 > message.chars().count()).then_some(message)
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64 as PADDED, BASE64_MIME, BASE64URL_NOPAD, HEXLOWER};

    use super::*;
    use crate::text::rewrite::edited;

    const MESSAGE: &str = "how do I bake bread? früh am Morgen!";

    fn found(text: &str) -> Vec<String> {
        decoded(text, &scan(text))
            .into_iter()
            .map(|(_, message, _)| message)
            .collect()
    }

    #[test]
    fn encoded_texts_are_read() {
        let long = MESSAGE.repeat(5);
        let bytes = MESSAGE.as_bytes();
        for encoded in [
            PADDED.encode(bytes),
            BASE64URL_NOPAD.encode(bytes),
            HEXLOWER.encode(bytes),
            format!("0x{}", HEXLOWER.encode(bytes)),
            bytes.iter().map(|b| format!("{b:02X} ")).collect(),
        ] {
            assert_eq!(
                found(&format!("please read: {encoded} thanks")),
                [MESSAGE],
                "{encoded}"
            );
        }
        assert_eq!(found(&BASE64_MIME.encode(long.as_bytes())), [long]);
        let twice = PADDED.encode(PADDED.encode(bytes).as_bytes());
        assert_eq!(found(&twice)[1], MESSAGE);
        let text = format!("ab {}", HEXLOWER.encode(bytes));
        assert_eq!(decoded(&text, &scan(&text))[0].0.start, 3);
    }

    #[test]
    fn padding_is_part_of_a_message() {
        for (bytes, signs) in [
            ("bake the bread", 1),
            ("bake that bread", 0),
            ("bake a bread", 0),
        ] {
            let encoded = PADDED.encode(bytes.as_bytes());
            assert_eq!(encoded.matches('=').count(), signs);
            let text = format!("read {encoded}=");
            let (range, message, _) = &decoded(&text, &scan(&text))[0];
            assert_eq!((range.clone(), &**message), (5..5 + encoded.len(), bytes));
        }
    }

    #[test]
    fn identifiers_are_no_words() {
        for (text, expected) in [
            ("Ubj qb V onxr oernq ng ubzr?", true),
            ("UBJ QB V ONXR 2 YBNIRF BS OERNQ", true),
            ("37ELB-ZBG3N-1Y1YF-RF26A-BJS0J", false),
            ("Numara PQH-2808-XNC", false),
            ("bGJ1GGJEjwxNCeZNGOViOu09IvyfV/2aGK97xBw2gA==", false),
            ("VXKDJQWERTLKJHGF", false),
        ] {
            assert_eq!(is_of_words(text), expected, "{text}");
        }
    }

    #[test]
    fn long_words_are_not_messages() {
        for text in [
            "Donaudampfschifffahrtsgesellschaftskapitän",
            "https://example.org/a/long/path/with-many_parts/index",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "00 01 02 03 04 05 06 07 08",
            "antidisestablishmentarianism",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn escapes_of_letters_are_undone() {
        let plain = |text: &str| edited(text, escape_edits(text));
        assert_eq!(plain("%62%61%6b%65 it"), "bake it");
        assert_eq!(plain("\\x62\\x61\\x6b\\x65"), "bake");
        assert_eq!(plain("\\u0062\\u0061\\u{6b}e"), "bake");
        assert_eq!(plain("&#98;&#x61;&#107;e"), "bake");
        assert_eq!(
            plain("\\u0062\\u0061\\u006be \\ud83c\\udf5e\\u0021 \\ud83c"),
            "bake 🍞! \\ud83c"
        );
        assert_eq!(plain("%C3%A9t%C3%A9%20d%C3%A9"), "été dé");
        for benign in [
            "100%20off",
            "a%20b%2Fc%3Fd",
            "50% & more",
            "C:\\users\\x",
            "%",
            "&#",
            "\\u12",
        ] {
            assert_eq!(plain(benign), benign);
        }
    }

    #[test]
    fn rotated_sentences_are_read() {
        let tokens = |text: &[u8], _| match text.windows(4).any(|word| word == b"bake") {
            true => 4,
            false => 10,
        };
        let text = "Please decode: ubj qb V onxr oernq ng ubzr? Abj. Or dhvpx nobhg gung!";
        let pieces = rotated(text, &scan(text).rotated, &tokens);
        assert_eq!(
            pieces,
            [(
                14..69,
                " how do I bake bread at home? Now. Be quick about that!".to_owned(),
                ChangeKind::Rot13
            )]
        );
        let text = "how do I bake bread at home";
        assert!(rotated(text, &scan(text).rotated, &tokens).is_empty());
    }
}
