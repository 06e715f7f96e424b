//! Remembers the token ids of words, so that ordinary text is tokenised by looking its words up.
//!
//! The crate `tokenizers` finds the ids of a word, once. It also keeps track of offsets, which
//! takes time and which a check does not need. Looking words up gives the same ids if the tokenizer
//! first splits a text into words and then treats each alone: [`Words::of`] recognises the two such
//! pipelines that our trainer makes, GPT-2's, and the same with marks among the letters. Any other
//! tokenizer is called with the whole text.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::{
    ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    SplitDelimiterBehavior, Tokenizer,
};
use unicode_normalization::{IsNormalized, is_nfc_quick};

use super::class::{self, LETTER, MARK, NUMBER, SPACE};

/// Half of the words that are kept, at most; a word is forgotten when so many others were needed
/// since.
const CAPACITY: usize = 8 << 10;
/// Longer words are rare, and not kept.
const MAX_WORD_BYTES: usize = 48;

/// A memory of words. Sessions that find it in use by another do without.
#[derive(Debug)]
pub(crate) struct Words {
    seen: Mutex<Seen>,
    pattern: Pattern,
    /// Whether tokens also lie in a word alone where they lie in it as part of a text.
    has_places: bool,
}

#[derive(Debug, Default)]
struct Seen {
    /// Words that were needed lately.
    recent: HashMap<Box<str>, Box<[u32]>>,
    /// Those of the time before.
    earlier: HashMap<Box<str>, Box<[u32]>>,
}

impl Words {
    /// An empty memory for a tokenizer; `None` for one that does not treat words alone, or splits
    /// text otherwise than [`Pattern::word_end`] does.
    pub(crate) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let normalizes = matches!(
            tokenizer.get_normalizer(),
            None | Some(NormalizerWrapper::NFC(_))
        );
        let pattern = Pattern::of(tokenizer.get_pre_tokenizer()?)?;
        let is_certain = match tokenizer.get_model() {
            ModelWrapper::BPE(model) => model.dropout.is_none(),
            _ => false,
        };
        let mut added = tokenizer.get_added_tokens_decoder().into_values();
        let is_known = normalizes && is_certain && added.all(|token| token.special);
        let has_places = match tokenizer.get_post_processor() {
            None => true,
            Some(PostProcessorWrapper::ByteLevel(trim)) => !trim.add_prefix_space,
            Some(_) => false,
        };
        is_known.then(|| Self {
            seen: Mutex::default(),
            pattern,
            has_places,
        })
    }

    /// The ids of a text; `None` if the text as a whole has to be given to the tokenizer.
    pub(crate) fn encode(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
    ) -> Option<tokenizers::Result<Vec<u32>>> {
        let mut seen = self.seen_of(text)?;
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        let mut rest = text;
        while !rest.is_empty() {
            let (word, after) = rest.split_at(self.pattern.word_end(rest));
            if let Err(cause) = seen.encode(tokenizer, word, &mut ids) {
                return Some(Err(cause));
            }
            rest = after;
        }
        Some(Ok(ids))
    }

    /// The bytes that a range of a text's tokens covers; `None` as for [`encode`](Self::encode).
    pub(crate) fn span(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        tokens: Range<usize>,
    ) -> Option<tokenizers::Result<Range<usize>>> {
        let mut seen = self.seen_of(text).filter(|_| self.has_places)?;
        let (mut ids, mut span) = (Vec::new(), None);
        let (mut before, mut start) = (0, 0);
        while start < text.len() && before < tokens.end {
            let word = &text[start..][..self.pattern.word_end(&text[start..])];
            ids.clear();
            if let Err(cause) = seen.encode(tokenizer, word, &mut ids) {
                return Some(Err(cause));
            }
            let after = before + ids.len();
            // Of the words between, nobody asks where in them the tokens lie.
            let has_first = (before..after).contains(&tokens.start);
            if has_first || (before..after).contains(&(tokens.end - 1)) {
                let encoding = match tokenizer.encode(word, false) {
                    Ok(encoding) => encoding,
                    Err(cause) => return Some(Err(cause)),
                };
                let within =
                    tokens.start.saturating_sub(before)..(tokens.end - before).min(ids.len());
                let offsets = encoding.get_offsets().get(within).unwrap_or_default();
                let first = offsets.iter().map(|(first, _)| first + start).min();
                let last = offsets.iter().map(|(_, last)| last + start).max();
                let known = span.unwrap_or((first, last));
                span = Some((known.0.or(first), last.or(known.1)));
            }
            (before, start) = (after, start + word.len());
        }
        let (first, last) = match before >= tokens.end {
            true => span.unwrap_or_default(),
            // There are not so many tokens.
            false => (None, None),
        };
        Some(Ok(first.unwrap_or(0)..last.unwrap_or(0)))
    }

    /// The words seen before, if a text's words can be taken one by one and nobody else is looking.
    fn seen_of(&self, text: &str) -> Option<MutexGuard<'_, Seen>> {
        if !text.is_ascii() && is_nfc_quick(text.chars()) != IsNormalized::Yes {
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
    /// Appends the ids of a word.
    fn encode(
        &mut self,
        tokenizer: &Tokenizer,
        word: &str,
        ids: &mut Vec<u32>,
    ) -> tokenizers::Result<()> {
        if !self.recall(word, ids) {
            let encoding = tokenizer.encode_fast(word, false)?;
            ids.extend_from_slice(encoding.get_ids());
            self.keep(word, encoding.get_ids());
        }
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Number,
    Space,
    Other,
}

/// How a tokenizer splits a text into words: as GPT-2 does, or with marks among the letters.
#[derive(Clone, Copy, Debug)]
struct Pattern {
    /// The flags of what counts as a letter.
    letters: u32,
}

/// GPT-2's pattern, in which marks belong to the letters that they stand on.
const LETTERS_AND_MARKS: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+";

impl Pattern {
    /// That of a pre-tokenizer, if it is one of the two.
    fn of(splits: &PreTokenizerWrapper) -> Option<Self> {
        let letters = match splits {
            PreTokenizerWrapper::ByteLevel(bytes) if bytes.use_regex => {
                (!bytes.add_prefix_space).then_some(LETTER)
            }
            PreTokenizerWrapper::Sequence(steps) => match steps.as_ref() {
                [
                    PreTokenizerWrapper::Split(split),
                    PreTokenizerWrapper::ByteLevel(bytes),
                ] => {
                    let is_plain = !bytes.use_regex && !bytes.add_prefix_space && !split.invert;
                    let isolates = split.behavior == SplitDelimiterBehavior::Isolated;
                    let ours = SplitPattern::Regex(LETTERS_AND_MARKS.to_owned());
                    (is_plain && isolates && split.pattern == ours).then_some(LETTER | MARK)
                }
                _ => None,
            },
            _ => None,
        };
        letters.map(|letters| Self { letters })
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

    /// Where the first word of a text ends, as GPT-2 splits, with its letters or with ours:
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
    fn word_end(self, text: &str) -> usize {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::models::bpe::{BPE, Vocab};
    use tokenizers::normalizers::NFC;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    use tokenizers::pre_tokenizers::sequence::Sequence;
    use tokenizers::pre_tokenizers::split::Split;

    use super::*;

    /// Every byte is a token, and a few pairs are merged.
    fn tokenizer() -> Tokenizer {
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
    fn with_marks() -> Tokenizer {
        let pattern = SplitPattern::Regex(LETTERS_AND_MARKS.to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).unwrap();
        let steps = vec![split.into(), ByteLevel::new(false, true, false).into()];
        let mut tokenizer = tokenizer();
        tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
        tokenizer
    }

    fn agree(words: &Words, tokenizer: &Tokenizer, text: &str) {
        let whole = tokenizer.encode_fast(text, false).unwrap();
        if let Some(found) = words.encode(tokenizer, text) {
            assert_eq!(found.unwrap(), whole.get_ids(), "{text:?}");
        }
    }

    /// The kinds of characters come from another table than the crate's: they must be the same for
    /// every character that there is.
    #[test]
    fn every_character_is_split_as_the_tokenizer_splits_it() {
        let all: Vec<char> = ('\0'..=char::MAX).collect();
        for tokenizer in [tokenizer(), with_marks()] {
            let words = Words::of(&tokenizer).unwrap();
            for some in all.chunks(64) {
                let text: String = some
                    .iter()
                    .map(|c| format!("a{c}1{c}\u{e9}. {c}"))
                    .collect();
                agree(&words, &tokenizer, &text);
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_the_same_ids(
            text in "([ab's t.1\u{e9}\n\t\u{a0}\u{4e2d}]|'ll|\\PC){0,40}",
        ) {
            for tokenizer in [tokenizer(), with_marks()] {
                let words = Words::of(&tokenizer).unwrap();
                // Once to learn the words, and once to know them.
                agree(&words, &tokenizer, &text);
                agree(&words, &tokenizer, &text);
            }
        }

        #[test]
        fn tokens_lie_where_the_tokenizer_says(
            text in "([ab's t.1\u{e9}\n\t\u{a0}\u{4e2d}]|'ll|\\PC){1,40}",
            ends in any::<[prop::sample::Index; 2]>(),
        ) {
            let tokenizer = tokenizer();
            let words = Words::of(&tokenizer).unwrap();
            let whole = tokenizer.encode(text.as_str(), false).unwrap();
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

    #[test]
    fn words_are_forgotten_and_learned_again() {
        let tokenizer = tokenizer();
        let words = Words::of(&tokenizer).unwrap();
        for round in 0..3 {
            for start in (0..3 * CAPACITY).step_by(1000) {
                let text: Vec<String> = (start..start + 1000).map(|i| i.to_string()).collect();
                agree(&words, &tokenizer, &text.join(" "));
            }
            let seen = words.seen.lock().unwrap();
            let most = CAPACITY.max(seen.recent.len()).max(seen.earlier.len());
            assert_eq!(most, CAPACITY, "round {round}");
        }
    }

    #[test]
    fn other_pipelines_are_left_to_the_crate() {
        let mut prefixed = tokenizer();
        prefixed.with_pre_tokenizer(Some(ByteLevel::new(true, true, true)));
        assert!(Words::of(&prefixed).is_none());
        let mut unsplit = tokenizer();
        unsplit.with_pre_tokenizer(None::<ByteLevel>);
        assert!(Words::of(&unsplit).is_none());
        let words = Words::of(&tokenizer()).unwrap();
        // Not in NFC: composed first, and then split.
        assert!(words.encode(&tokenizer(), "e\u{301}").is_none());
    }
}
