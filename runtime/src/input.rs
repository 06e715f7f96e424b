//! What is checked: a prompt and a response, and how they become the texts that are scored.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::options::Join;
use crate::text::MAX_TEXT_BYTES;

/// A text to check: a prompt, a response, or a response together with the prompt it answers.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What the user wrote; empty to check a response alone.
    pub prompt: &'a str,
    /// What the model answered. It is scored together with the prompt, as [`Join`] says.
    pub response: Option<&'a str>,
    /// The BCP-47 tag of the text's language, as
    /// [`parse_language_tag`](crate::parse_language_tag) reads it; identified from the text when
    /// absent.
    pub language: Option<&'a str>,
}

impl<'a> Input<'a> {
    /// A prompt alone, in a language to be identified.
    pub fn prompt(text: &'a str) -> Self {
        Self {
            prompt: text,
            response: None,
            language: None,
        }
    }

    /// A response alone, in a language to be identified.
    pub fn response(text: &'a str) -> Self {
        Self::exchange("", text)
    }

    /// A response and the prompt it answers, in a language to be identified.
    pub fn exchange(prompt: &'a str, response: &'a str) -> Self {
        Self {
            prompt,
            response: Some(response),
            language: None,
        }
    }
}

/// A part of an [`Input`], in bytes of the caller's strings, between characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The part of the prompt; empty if there is none.
    pub prompt: Range<usize>,
    /// The part of the response; empty if there is none.
    pub response: Range<usize>,
}

/// Whether what stands at the edges of a text is a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edges {
    /// White space and byte order marks before and behind a prompt or response are no part of it.
    Trimmed,
    /// They are, where the text is itself a part of another.
    Kept,
}

/// What stands at the edges of a text and is no part of it.
pub(crate) fn is_edge(c: char) -> bool {
    const BYTE_ORDER_MARK: char = '\u{feff}';
    c.is_whitespace() || c == BYTE_ORDER_MARK
}

/// A text to score, and where the prompt and the response lie in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined<'a> {
    pub(crate) text: Cow<'a, str>,
    prompt: Range<usize>,
    response: Range<usize>,
    /// Where they begin in the caller's strings.
    offsets: [usize; 2],
}

impl Joined<'_> {
    /// The parts of the caller's strings that `range` of the text covers, widened to whole
    /// characters.
    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        let start = self.text.floor_char_boundary(range.start);
        let end = self.text.ceil_char_boundary(range.end);
        let within = |part: &Range<usize>, offset: usize| {
            let overlap = start.max(part.start)..end.min(part.end);
            let place = |at: usize| at - part.start + offset;
            match overlap.is_empty() {
                true => 0..0,
                false => place(overlap.start)..place(overlap.end),
            }
        };
        Span {
            prompt: within(&self.prompt, self.offsets[0]),
            response: within(&self.response, self.offsets[1]),
        }
    }
}

/// The texts that are scored, of at most [`MAX_TEXT_BYTES`] together. A response without a prompt,
/// and a prompt without a response, are scored alone.
pub(crate) fn joined<'a>(input: &Input<'a>, join: Join, edges: Edges) -> Result<Vec<Joined<'a>>> {
    let inner = |text: &'a str| match edges {
        Edges::Trimmed => {
            let rest = text.trim_start_matches(is_edge);
            (rest.trim_end_matches(is_edge), text.len() - rest.len())
        }
        Edges::Kept => (text, 0),
    };
    let (asked, asked_offset) = inner(input.prompt);
    let answered = input.response.map(inner);
    let offsets = [asked_offset, answered.map_or(0, |(_, offset)| offset)];
    let prompt = |text: &'a str| Joined {
        text: Cow::Borrowed(text),
        prompt: 0..text.len(),
        response: 0..0,
        offsets,
    };
    let response = |text: &'a str| Joined {
        text: Cow::Borrowed(text),
        prompt: 0..0,
        response: 0..text.len(),
        offsets,
    };
    let together = |separator: &str, answer: &str| {
        let start = asked.len() + separator.len();
        Joined {
            text: Cow::Owned([asked, separator, answer].concat()),
            prompt: 0..asked.len(),
            response: start..start + answer.len(),
            offsets,
        }
    };
    let texts = match (answered, join.separator()) {
        (None, _) => vec![prompt(asked)],
        (Some((answer, _)), _) if asked.is_empty() => vec![response(answer)],
        (Some((answer, _)), Some(separator)) => vec![together(separator, answer)],
        (Some((answer, _)), None) => vec![prompt(asked), response(answer)],
    };
    let length = texts.iter().map(|text| text.text.len()).sum::<usize>();
    match length > MAX_TEXT_BYTES {
        true => Err(Error::argument(format!(
            "text of {length} bytes; at most {MAX_TEXT_BYTES} are checked in one call: check it \
             in parts"
        ))),
        false => Ok(texts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_joining_rules() {
        let texts = |prompt, response, join| -> Vec<String> {
            let input = Input {
                prompt,
                response,
                language: None,
            };
            joined(&input, join, Edges::Trimmed)
                .unwrap()
                .into_iter()
                .map(|text| text.text.into_owned())
                .collect()
        };
        for join in [Join::Space, Join::Newline, Join::Separate] {
            assert_eq!(texts("a", None, join), ["a"]);
            assert_eq!(texts("", Some("b"), join), ["b"]);
            assert_eq!(texts("", Some(""), join), [""]);
        }
        assert_eq!(texts("a", Some("b"), Join::Space), ["a b"]);
        assert_eq!(texts("a", Some("b"), Join::Newline), ["a\nb"]);
        assert_eq!(texts("a", Some("b"), Join::Separate), ["a", "b"]);
    }

    #[test]
    fn spans_are_told_apart_by_prompt_and_response() {
        let input = Input::exchange("añb", "cd");
        let text = &joined(&input, Join::Space, Edges::Trimmed).unwrap()[0];
        assert_eq!(text.text, "añb cd");
        let span = |range| text.span(range);
        assert_eq!(
            span(0..7),
            Span {
                prompt: 0..4,
                response: 0..2
            }
        );
        assert_eq!(
            span(2..4),
            Span {
                prompt: 1..4,
                response: 0..0
            }
        );
        assert_eq!(
            span(4..6),
            Span {
                prompt: 0..0,
                response: 0..1
            }
        );
        assert_eq!(span(4..5), Span::default());
    }

    #[test]
    fn edges_are_no_part_of_a_text() {
        let input = Input::exchange("\u{feff}\n\n ab \t", "\r\n cd\n");
        let text = &joined(&input, Join::Space, Edges::Trimmed).unwrap()[0];
        assert_eq!(text.text, "ab cd");
        let span = text.span(1..4);
        assert_eq!((span.prompt, span.response), (7..8, 3..4));
        let text = &joined(&input, Join::Space, Edges::Kept).unwrap()[0];
        assert_eq!(text.text, "\u{feff}\n\n ab \t \r\n cd\n");
        let blank = Input::exchange(" \n", "b");
        assert_eq!(
            joined(&blank, Join::Newline, Edges::Trimmed).unwrap()[0].text,
            "b"
        );
    }
}
