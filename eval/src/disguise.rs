//! Ways to write a text so that people or models still read it and a guard may not.

use data_encoding::{BASE64, HEXLOWER};

/// A way to disguise a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disguise {
    /// A character of no width after every letter.
    ZeroWidth,
    /// A variation selector after every letter.
    SelectorNoise,
    /// A tag character, which shows nothing, after every letter.
    TagNoise,
    /// The whole text in tag characters, behind a harmless word. ASCII texts only.
    TagMessage,
    /// The bytes of the whole text as variation selectors, behind an emoji.
    SelectorMessage,
    /// Every line backwards, behind a control that shows it forwards.
    BidiOverride,
    /// Bidirectional isolates after every letter.
    BidiNoise,
    /// Cyrillic and Greek letters for Latin ones that look the same.
    Homoglyphs,
    /// Full-width letters for those of ASCII.
    FullWidth,
    /// Mathematical bold letters for those of ASCII.
    Mathematical,
    /// Digits for letters that look somewhat like them.
    Leet,
    /// A space after every letter, and three between words.
    Spaced,
    /// A full stop between the letters of a word.
    Dotted,
    /// An emoji between the letters of a word.
    Emoji,
    /// Two combining marks on every letter.
    CombiningMarks,
    /// Base64 of the text.
    Base64,
    /// The text's bytes in hexadecimal.
    Hex,
    /// Every byte percent-encoded, as in a URL.
    Percent,
    /// Latin letters moved by 13 places.
    Rot13,
}

impl Disguise {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 19] = [
        Self::ZeroWidth,
        Self::SelectorNoise,
        Self::TagNoise,
        Self::TagMessage,
        Self::SelectorMessage,
        Self::BidiOverride,
        Self::BidiNoise,
        Self::Homoglyphs,
        Self::FullWidth,
        Self::Mathematical,
        Self::Leet,
        Self::Spaced,
        Self::Dotted,
        Self::Emoji,
        Self::CombiningMarks,
        Self::Base64,
        Self::Hex,
        Self::Percent,
        Self::Rot13,
    ];

    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::ZeroWidth => "zero_width",
            Self::SelectorNoise => "selector_noise",
            Self::TagNoise => "tag_noise",
            Self::TagMessage => "tag_message",
            Self::SelectorMessage => "selector_message",
            Self::BidiOverride => "bidi_override",
            Self::BidiNoise => "bidi_noise",
            Self::Homoglyphs => "homoglyphs",
            Self::FullWidth => "full_width",
            Self::Mathematical => "mathematical",
            Self::Leet => "leet",
            Self::Spaced => "spaced",
            Self::Dotted => "dotted",
            Self::Emoji => "emoji",
            Self::CombiningMarks => "combining_marks",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Percent => "percent",
            Self::Rot13 => "rot13",
        }
    }

    /// Whether the text can be had back exactly. Leet cannot: its digits may be digits.
    pub fn is_reversible(self) -> bool {
        self != Self::Leet
    }

    /// The text in this disguise; `None` if it cannot wear it.
    pub fn apply(self, text: &str) -> Option<String> {
        const ZERO_WIDTH: [char; 4] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}'];
        const ISOLATES: [char; 2] = ['\u{2066}', '\u{2069}'];
        const EMOJI: [char; 3] = ['🙂', '🎉', '🌳'];
        const MARKS: [char; 6] = [
            '\u{300}', '\u{323}', '\u{336}', '\u{30a}', '\u{331}', '\u{357}',
        ];
        let tag = |c: char| char::from_u32(0xe0000 + c as u32).unwrap_or(c);
        Some(match self {
            Self::ZeroWidth => after_letters(text, |n| ZERO_WIDTH[n % 4].into()),
            Self::SelectorNoise => after_letters(text, |_| '\u{fe00}'.into()),
            Self::TagNoise => {
                after_letters(text, |n| tag(char::from(b'a' + (n % 26) as u8)).into())
            }
            Self::TagMessage if !text.is_ascii() => return None,
            Self::TagMessage => format!("Hello{}", text.chars().map(tag).collect::<String>()),
            Self::SelectorMessage => {
                let selector = |byte: u8| match byte {
                    0..16 => char::from_u32(0xfe00 + u32::from(byte)),
                    _ => char::from_u32(0xe0100 + u32::from(byte) - 16),
                };
                format!(
                    "🙂{}",
                    text.bytes().filter_map(selector).collect::<String>()
                )
            }
            Self::BidiOverride => {
                let backwards = |line: &str| {
                    format!("\u{202e}{}\u{202c}", line.chars().rev().collect::<String>())
                };
                text.split('\n')
                    .map(backwards)
                    .collect::<Vec<_>>()
                    .join("\n")
            }
            Self::BidiNoise => after_letters(text, |n| ISOLATES[n % 2].into()),
            Self::Homoglyphs => text.chars().map(homoglyph).collect(),
            Self::FullWidth => text.chars().map(|c| shifted(c, 'a', 'ａ', 'Ａ')).collect(),
            Self::Mathematical => text.chars().map(|c| shifted(c, 'a', '𝐚', '𝐀')).collect(),
            Self::Leet => text.chars().map(leet).collect(),
            Self::Spaced => between_letters(text, " ", "   "),
            Self::Dotted => between_letters(text, ".", " "),
            Self::Emoji => {
                let mut n = 0;
                let spelt = between_letters(text, "\0", " ");
                let chars = spelt.chars().map(|c| match c {
                    '\0' => {
                        n += 1;
                        EMOJI[n % 3]
                    }
                    c => c,
                });
                chars.collect()
            }
            Self::CombiningMarks => after_letters(text, |n| {
                [MARKS[n % 6], MARKS[(n * 5 + 1) % 6]].iter().collect()
            }),
            Self::Base64 => BASE64.encode(text.as_bytes()),
            Self::Hex => HEXLOWER.encode(text.as_bytes()),
            Self::Percent => text.bytes().map(|byte| format!("%{byte:02X}")).collect(),
            Self::Rot13 => text.chars().map(rot13).collect(),
        })
    }
}

/// Adds something after each letter that is followed by another.
fn after_letters(text: &str, mut add: impl FnMut(usize) -> String) -> String {
    let mut result = String::new();
    for (n, c) in text.chars().enumerate() {
        result.push(c);
        if c.is_alphabetic() {
            result += &add(n);
        }
    }
    result
}

/// Puts `letter_gap` between the characters of a word, and `word_gap` between words.
fn between_letters(text: &str, letter_gap: &str, word_gap: &str) -> String {
    let spelt = |word: &str| {
        word.chars()
            .map(String::from)
            .collect::<Vec<_>>()
            .join(letter_gap)
    };
    let words = text.split_whitespace().map(spelt);
    words.collect::<Vec<_>>().join(word_gap)
}

fn shifted(c: char, first: char, small: char, capital: char) -> char {
    let offset = c.to_ascii_lowercase() as u32;
    let to = match c {
        'a'..='z' => small,
        'A'..='Z' => capital,
        _ => return c,
    };
    char::from_u32(to as u32 + offset - first as u32).unwrap_or(c)
}

fn homoglyph(c: char) -> char {
    match c {
        'a' => 'а',
        'c' => 'с',
        'e' => 'е',
        'i' => 'і',
        'j' => 'ј',
        'o' => 'о',
        'p' => 'р',
        's' => 'ѕ',
        'x' => 'х',
        'y' => 'у',
        'A' => 'А',
        'B' => 'В',
        'C' => 'С',
        'E' => 'Е',
        'H' => 'Н',
        'I' => 'І',
        'K' => 'К',
        'M' => 'М',
        'O' => 'О',
        'P' => 'Р',
        'T' => 'Т',
        'X' => 'Х',
        c => c,
    }
}

fn leet(c: char) -> char {
    match c.to_ascii_lowercase() {
        'a' => '4',
        'e' => '3',
        'i' => '1',
        'o' => '0',
        's' => '5',
        't' => '7',
        _ => c,
    }
}

fn rot13(c: char) -> char {
    match c {
        'a'..='m' | 'A'..='M' => char::from(c as u8 + 13),
        'n'..='z' | 'N'..='Z' => char::from(c as u8 - 13),
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_disguise() {
        let apply = |disguise: Disguise| disguise.apply("Bake it").unwrap();
        assert_eq!(apply(Disguise::FullWidth), "Ｂａｋｅ ｉｔ");
        assert_eq!(apply(Disguise::Mathematical), "𝐁𝐚𝐤𝐞 𝐢𝐭");
        assert_eq!(apply(Disguise::Leet), "B4k3 17");
        assert_eq!(apply(Disguise::Spaced), "B a k e   i t");
        assert_eq!(apply(Disguise::Dotted), "B.a.k.e i.t");
        assert_eq!(apply(Disguise::Rot13), "Onxr vg");
        assert_eq!(apply(Disguise::BidiOverride), "\u{202e}ti ekaB\u{202c}");
        assert_eq!(apply(Disguise::Base64), "QmFrZSBpdA==");
        assert_eq!(apply(Disguise::Percent), "%42%61%6B%65%20%69%74");
        assert_eq!(apply(Disguise::Homoglyphs), "Ваkе іt");
        assert_eq!(Disguise::TagMessage.apply("né"), None);
        for disguise in Disguise::ALL {
            assert_ne!(apply(disguise), "Bake it");
            assert_ne!(disguise.name(), "");
        }
    }
}
