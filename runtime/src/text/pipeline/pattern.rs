//! How a byte-level tokenizer splits a text into words.

use crate::text::class::{self, LETTER, MARK, NUMBER, SPACE};

/// GPT-2's pattern, in which marks belong to the letters that they stand on.
pub(in super::super) const LETTERS_AND_MARKS: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+";

/// GPT-2's way, or the same with marks among the letters.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Pattern {
    /// The flags of what counts as a letter.
    letters: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Number,
    Space,
    Other,
}

impl Pattern {
    /// GPT-2's: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
    pub(super) const GPT_2: Self = Self { letters: LETTER };
    pub(super) const WITH_MARKS: Self = Self {
        letters: LETTER | MARK,
    };

    /// Where the first word of a text ends.
    pub(in super::super) fn word_end(self, text: &str) -> usize {
        const ENDINGS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];
        if text.starts_with('\'')
            && let Some(ending) = ENDINGS.iter().find(|ending| text.starts_with(**ending))
        {
            return ending.len();
        }
        // A space belongs to the word after it.
        let start = usize::from(text.starts_with(' '));
        let Some(first) = text[start..].chars().next() else {
            return start;
        };
        match self.kind(first) {
            Kind::Space => self.spaces_end(text),
            first => self.run_end(text, start, first),
        }
    }

    fn kind(self, c: char) -> Kind {
        let class = class::of(c);
        match () {
            () if class.is(self.letters) => Kind::Letter,
            () if class.is(NUMBER) => Kind::Number,
            () if class.is(SPACE) => Kind::Space,
            () => Kind::Other,
        }
    }

    /// Where the run of characters of one kind that begins at `start` ends.
    fn run_end(self, text: &str, start: usize, run: Kind) -> usize {
        let mut chars = text[start..].char_indices();
        let end = chars.find(|(_, c)| self.kind(*c) != run);
        end.map_or(text.len(), |(end, _)| start + end)
    }

    /// White space up to the last character before something else: that one may belong to the next
    /// word, or be a word of its own.
    fn spaces_end(self, text: &str) -> usize {
        let end = self.run_end(text, 0, Kind::Space);
        let last = text[..end].char_indices().next_back();
        match last {
            Some((last, _)) if end < text.len() && last > 0 => last,
            _ => end,
        }
    }
}
