//! Bytes as the characters of a byte-level vocabulary, GPT-2's way: those that print are
//! themselves, and the others are counted from 256 on.

use std::ops::Range;

const fn is_plain(code: u32) -> bool {
    matches!(code, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

/// The character of every byte.
const CHARS: [char; 256] = {
    let mut chars = ['\0'; 256];
    let (mut byte, mut others) = (0, 0);
    while byte < 256 {
        chars[byte] = match is_plain(byte as u32) {
            true => byte as u8 as char,
            false => {
                others += 1;
                match char::from_u32(255 + others) {
                    Some(c) => c,
                    None => unreachable!(),
                }
            }
        };
        byte += 1;
    }
    chars
};

pub(super) fn char_of(byte: u8) -> char {
    CHARS[usize::from(byte)]
}

/// The bytes that a token spells; `None` if one of its characters stands for no byte.
pub(super) fn bytes_of(token: &str) -> Option<Vec<u8>> {
    token.chars().map(byte_of).collect()
}

/// A word with its bytes as characters.
#[derive(Default)]
pub(super) struct Word {
    text: String,
    /// Which byte of the word each byte of the text stands for.
    bytes: Vec<usize>,
}

impl Word {
    /// Takes a word in place of the one before.
    pub(super) fn spell(&mut self, word: &str) {
        self.text.clear();
        self.bytes.clear();
        for (at, byte) in word.bytes().enumerate() {
            let c = char_of(byte);
            self.text.push(c);
            self.bytes.extend(std::iter::repeat_n(at, c.len_utf8()));
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the word that some bytes of the text stand for.
    pub(super) fn bytes_of(&self, text: Range<usize>) -> Range<usize> {
        match self.bytes.get(text).unwrap_or_default() {
            [] => 0..0,
            [first, .., last] => *first..last + 1,
            [one] => *one..one + 1,
        }
    }
}

fn byte_of(c: char) -> Option<u8> {
    match c as u32 {
        code if is_plain(code) => Some(code as u8),
        256.. => (0..=255).find(|byte| char_of(*byte) == c),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    use super::*;

    #[test]
    fn places_in_a_word_are_those_of_its_bytes() {
        let mut word = Word::default();
        word.spell("a");
        word.spell(" né");
        assert_eq!(word.text(), "ĠnÃ©");
        assert_eq!([word.bytes_of(0..2), word.bytes_of(2..5)], [0..1, 1..3]);
        assert_eq!([word.bytes_of(3..7), word.bytes_of(5..7)], [2..4, 3..4]);
    }

    #[test]
    fn tokens_are_read_as_their_bytes() {
        assert_eq!(bytes_of("Ġbake").unwrap(), b" bake");
        assert_eq!(bytes_of("Ã¼Ċ").unwrap(), "ü\n".as_bytes());
        assert_eq!(bytes_of("中"), None);
        let all: HashSet<u8> = ByteLevel::alphabet()
            .into_iter()
            .filter_map(byte_of)
            .collect();
        assert_eq!(all.len(), 256);
        assert!((0..=255).all(|byte| byte_of(char_of(byte)) == Some(byte)));
    }
}
