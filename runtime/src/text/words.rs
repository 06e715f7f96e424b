//! Remembers the token ids of words, so that ordinary text is tokenised by looking its words up.
//!
//! The tokenizer's model finds the ids of a word, once. Looking words up gives the same ids as the
//! whole text does, if the tokenizer first splits it into words and then treats each alone:
//! [`Words::of`] recognises it. Any other tokenizer is called with the whole text.

mod latest;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use self::latest::Latest;
use super::pipeline::Pipeline;
use super::pipeline::composed::is_composed;
use super::pipeline::pattern::Pattern;
use super::token_model::TokenModel;
use super::token_model::token::Unknown;

/// Half of the words that are kept, at most; a word is forgotten when so many others were needed
/// since.
const CAPACITY: usize = 8 << 10;
/// Longer words are rare, and not kept.
const MAX_WORD_BYTES: usize = 48;

/// A memory of words. Sessions that find it in use by another do without.
#[derive(Debug)]
pub(crate) struct Words {
    pattern: Pattern,
    seen: Mutex<Seen>,
    /// Whether tokens also lie in a word alone where they lie in it as part of a text.
    has_places: bool,
}

#[derive(Debug, Default)]
struct Seen {
    /// Words that were needed lately.
    recent: HashMap<Box<str>, Box<[u32]>>,
    /// Those of the time before.
    earlier: HashMap<Box<str>, Box<[u32]>>,
    latest: Latest,
}

impl Words {
    /// An empty memory for a tokenizer; `None` for one that does not treat words alone.
    pub(crate) fn of(tokenizer: &Pipeline) -> Option<Self> {
        let is_bpe = matches!(tokenizer.model(), TokenModel::Bpe(_));
        let pattern = tokenizer.words().filter(|_| is_bpe)?;
        Some(Self {
            pattern,
            seen: Mutex::default(),
            has_places: tokenizer.has_places_by_word(),
        })
    }

    /// The ids of a text; `None` if the text as a whole has to be given to the tokenizer.
    pub(crate) fn encode(
        &self,
        tokenizer: &Pipeline,
        text: &str,
    ) -> Option<Result<Vec<u32>, Unknown>> {
        let mut seen = self.seen_of(text)?;
        Some(
            seen.split((tokenizer, self.pattern), text, usize::MAX)
                .map(|latest| {
                    let ids = latest.ids.clone();
                    seen.keep_latest(latest);
                    ids
                }),
        )
    }

    /// The bytes that a range of a text's tokens covers; `None` as for [`encode`](Self::encode).
    pub(crate) fn span(
        &self,
        tokenizer: &Pipeline,
        text: &str,
        tokens: Range<usize>,
    ) -> Option<Result<Range<usize>, Unknown>> {
        let mut seen = self.seen_of(text).filter(|_| self.has_places)?;
        let span = seen
            .split((tokenizer, self.pattern), text, tokens.end)
            .and_then(|latest| {
                let span = latest.span(tokenizer, tokens);
                seen.keep_latest(latest);
                span
            });
        Some(span)
    }

    /// Forgets the text that was tokenised last. Where another is at work, it is its text now.
    pub(crate) fn forget_text(&self) {
        if let Ok(mut seen) = self.seen.try_lock() {
            seen.latest.clear();
        }
    }

    /// The words seen before, if a text's words can be taken one by one and nobody else is looking.
    fn seen_of(&self, text: &str) -> Option<MutexGuard<'_, Seen>> {
        if !is_composed(text) {
            return None;
        }
        match self.seen.try_lock() {
            Ok(seen) => Some(seen),
            Err(TryLockError::Poisoned(poisoned)) => Some(PoisonError::into_inner(poisoned)),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Seen {
    /// The words of a text, at least up to so many tokens. Those that the text before began with,
    /// too, need not be looked up.
    fn split(
        &mut self,
        (tokenizer, pattern): (&Pipeline, Pattern),
        text: &str,
        tokens: usize,
    ) -> Result<Latest, Unknown> {
        let mut latest = std::mem::take(&mut self.latest);
        let mut at = latest.keep_shared(text);
        while at < text.len() && latest.ids.len() < tokens {
            let word = &text[at..][..pattern.word_end(&text[at..])];
            self.encode(tokenizer, word, &mut latest.ids)?;
            at += word.len();
            latest.add(word);
        }
        Ok(latest)
    }

    /// Keeps the words of a text for the next one.
    fn keep_latest(&mut self, latest: Latest) {
        if latest.is_short() {
            self.latest = latest;
        }
    }

    /// Appends the ids of a word.
    fn encode(
        &mut self,
        tokenizer: &Pipeline,
        word: &str,
        ids: &mut Vec<u32>,
    ) -> Result<(), Unknown> {
        if self.recall(word, ids) {
            return Ok(());
        }
        let before = ids.len();
        match tokenizer.model() {
            TokenModel::Bpe(model) => model.ids_of_bytes(word, ids),
            _ => ids.extend(tokenizer.tokens(word)?.iter().map(|token| token.id)),
        }
        self.keep(word, &ids[before..]);
        Ok(())
    }

    /// Appends the ids of a word, if they are known.
    fn recall(&mut self, word: &str, ids: &mut Vec<u32>) -> bool {
        if let Some(known) = self.recent.get(word) {
            ids.extend_from_slice(known);
            return true;
        }
        let Some(known) = self.earlier.remove(word) else {
            return false;
        };
        ids.extend_from_slice(&known);
        self.keep(word, &known);
        true
    }

    fn keep(&mut self, word: &str, ids: &[u32]) {
        if word.len() > MAX_WORD_BYTES {
            return;
        }
        if self.recent.len() == CAPACITY {
            self.earlier = std::mem::take(&mut self.recent);
        }
        self.recent.insert(word.into(), ids.into());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::SplitDelimiterBehavior;
    use tokenizers::Tokenizer;
    use tokenizers::models::bpe::{BPE, Vocab};
    use tokenizers::normalizers::NFC;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    use tokenizers::pre_tokenizers::sequence::Sequence;
    use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

    use super::super::pipeline::file;
    use super::super::pipeline::pattern::LETTERS_AND_MARKS;
    use super::*;

    /// Of the crate: every byte is a token, and a few pairs are merged.
    fn expected() -> Tokenizer {
        let mut bytes: Vec<String> = ByteLevel::alphabet()
            .into_iter()
            .map(String::from)
            .collect();
        bytes.sort();
        let merges = [
            ("a", "b"),
            ("Ġ", "a"),
            ("Ġa", "b"),
            ("Ġ", "Ġ"),
            ("'", "s"),
            ("Ċ", "Ċ"),
        ];
        let merges = merges.map(|(a, b)| (a.to_owned(), b.to_owned()));
        bytes.extend(merges.iter().map(|(a, b)| format!("{a}{b}")));
        let vocabulary: Vocab = (0..).zip(bytes).map(|(id, token)| (token, id)).collect();
        let model = BPE::builder()
            .vocab_and_merges(vocabulary, merges.to_vec())
            .build()
            .unwrap();
        let mut tokenizer = Tokenizer::new(model);
        tokenizer.with_normalizer(Some(NFC)).unwrap();
        tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        tokenizer
    }

    /// The same, split with marks among the letters.
    fn expected_with_marks() -> Tokenizer {
        let pattern = SplitPattern::Regex(LETTERS_AND_MARKS.to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).unwrap();
        let steps = vec![split.into(), ByteLevel::new(false, true, false).into()];
        let mut tokenizer = expected();
        tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
        tokenizer
    }

    /// Tokenizers of both patterns, and the same with a model of our own.
    fn both() -> [(Pipeline, Tokenizer); 2] {
        [expected(), expected_with_marks()].map(|expected| (pipeline(&expected), expected))
    }

    fn tokenizer() -> Pipeline {
        pipeline(&expected())
    }

    fn pipeline(expected: &Tokenizer) -> Pipeline {
        file::read(&serde_json::to_vec(expected).unwrap()).unwrap()
    }

    fn agree(words: &Words, tokenizer: &Pipeline, expected: &Tokenizer, text: &str) {
        let whole = expected.encode_fast(text, false).unwrap();
        if let Some(found) = words.encode(tokenizer, text) {
            assert_eq!(found.unwrap(), whole.get_ids(), "{text:?}");
        }
    }

    /// The kinds of characters come from another table than the crate's: they must be the same for
    /// every character that there is.
    #[test]
    fn every_character_is_split_as_the_tokenizer_splits_it() {
        for (tokenizer, expected) in both() {
            let words = Words::of(&tokenizer).unwrap();
            let all: Vec<char> = ('\0'..=char::MAX).collect();
            for some in all.chunks(64) {
                let text: String = some
                    .iter()
                    .map(|c| format!("a{c}1{c}\u{e9}. {c}"))
                    .collect();
                agree(&words, &tokenizer, &expected, &text);
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_the_same_ids(
            text in "([ab's t.1\u{e9}\n\t\u{a0}\u{4e2d}]|'ll|\\PC){0,40}",
        ) {
            for (tokenizer, expected) in both() {
                let words = Words::of(&tokenizer).unwrap();
                // Once to learn the words, and once to know them.
                agree(&words, &tokenizer, &expected, &text);
                agree(&words, &tokenizer, &expected, &text);
            }
        }

        #[test]
        fn tokens_lie_where_the_tokenizer_says(
            text in "([ab's t.1\u{e9}\n\t\u{a0}\u{4e2d}]|'ll|\\PC){1,40}",
            ends in any::<[prop::sample::Index; 2]>(),
        ) {
            for (tokenizer, expected) in both() {
                let words = Words::of(&tokenizer).unwrap();
                let whole = expected.encode(text.as_str(), false).unwrap();
                let count = whole.get_ids().len();
                let ends = ends.map(|end| end.index(count));
                let (start, end) = (ends[0].min(ends[1]), ends[0].max(ends[1]) + 1);
                let offsets = &whole.get_offsets()[start..end];
                let first = offsets.iter().map(|(first, _)| *first).min().unwrap();
                let last = offsets.iter().map(|(_, last)| *last).max().unwrap();
                if let Some(found) = words.span(&tokenizer, &text, start..end) {
                    prop_assert_eq!(found.unwrap(), first..last);
                    let beyond = words.span(&tokenizer, &text, start..count + 1);
                    prop_assert_eq!(beyond.unwrap().unwrap(), 0..0);
                }
            }
        }
    }

    proptest! {
        /// What is known of the text before must be what this one says, too.
        #[test]
        fn a_text_like_the_one_before_gives_the_same_tokens(
            text in "([ab's t.1\u{e9}\n\t\u{a0}\u{4e2d}]|'ll|\\PC){1,40}",
            likes in prop::collection::vec((any::<prop::sample::Index>(), "[a\u{e9} \n.]{0,3}"), 9),
        ) {
            for (tokenizer, expected) in both() {
                let words = Words::of(&tokenizer).unwrap();
                for (end, other) in &likes {
                    let end = text.floor_char_boundary(end.index(text.len() + 1));
                    let like = format!("{}{other}", &text[..end]);
                    agree(&words, &tokenizer, &expected, &like);
                    let whole = expected.encode(like.as_str(), false).unwrap();
                    for (token, (start, end)) in whole.get_offsets().iter().enumerate() {
                        if let Some(span) = words.span(&tokenizer, &like, token..token + 1) {
                            prop_assert_eq!(span.unwrap(), *start..*end, "{} of {:?}", token, &like);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn words_are_forgotten_and_learned_again() {
        let (tokenizer, expected) = (tokenizer(), expected());
        let words = Words::of(&tokenizer).unwrap();
        for round in 0..3 {
            for start in (0..3 * CAPACITY).step_by(1000) {
                let text: Vec<String> = (start..start + 1000).map(|i| i.to_string()).collect();
                agree(&words, &tokenizer, &expected, &text.join(" "));
            }
            let seen = words.seen.lock().unwrap();
            let most = CAPACITY.max(seen.recent.len()).max(seen.earlier.len());
            assert_eq!(most, CAPACITY, "round {round}");
        }
    }

    /// What stands behind white space says where it is cut, however much of it there is.
    #[test]
    fn white_space_is_split_anew_when_something_else_follows() {
        for (tokenizer, expected) in both() {
            let words = Words::of(&tokenizer).unwrap();
            for text in [
                "1\n\nx",
                "1\n\n",
                "1\n\n\n",
                "1\n \n\ta",
                "1\n \n",
                "1",
                "1  b",
            ] {
                agree(&words, &tokenizer, &expected, text);
            }
        }
    }

    #[test]
    fn what_is_not_composed_is_given_to_the_tokenizer_as_a_whole() {
        let words = Words::of(&tokenizer()).unwrap();
        assert!(words.encode(&tokenizer(), "e\u{301}").is_none());
        assert!(words.encode(&tokenizer(), "\u{e9}").is_some());
    }
}
