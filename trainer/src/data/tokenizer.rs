//! The tokenizer: a byte-level BPE that is trained here, or a base's own, in the Hugging Face
//! format.

use std::path::Path;

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerBuilder, TokenizerImpl};

use crate::error::TrainError;

/// The id of [`END_OF_TEXT`] in tokenizers that are trained here. It also fills padded positions.
pub(crate) const END: i32 = 0;
/// The token that ends a text in pre-training.
pub(crate) const END_OF_TEXT: &str = "<|endoftext|>";
/// Texts beyond this many bytes in total are not read: the merges have long settled.
const TRAINING_BYTES: usize = 60_000_000;

/// A tokenizer; encoding adds no special tokens.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// What stands before and behind every window.
    around: [Vec<i32>; 2],
}

fn fault(error: impl std::fmt::Display) -> TrainError {
    TrainError::Tokenizer(error.to_string())
}

impl Tokenizer {
    /// Trains `vocabulary` tokens (the 256 bytes and [`END_OF_TEXT`] among them) on `texts`.
    ///
    /// # Errors
    /// The library refuses the training.
    pub(crate) fn train<'a>(
        texts: impl Iterator<Item = &'a str> + Send,
        vocabulary: usize,
    ) -> Result<Self, TrainError> {
        let mut tokenizer: TokenizerImpl<BPE, NFC, ByteLevel, ByteLevel, ByteLevel> =
            TokenizerBuilder::new()
                .with_model(BPE::default())
                .with_normalizer(Some(NFC))
                .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
                .with_decoder(Some(ByteLevel::default()))
                .with_post_processor(None)
                .build()
                .map_err(fault)?;
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocabulary)
            .show_progress(false)
            .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut bytes = 0;
        let texts = texts.take_while(move |text| {
            bytes += text.len();
            bytes <= TRAINING_BYTES
        });
        tokenizer.train(&mut trainer, texts).map_err(fault)?;
        let json = tokenizer.to_string(false).map_err(fault)?;
        Ok(Self {
            inner: json.parse().map_err(fault)?,
            around: Default::default(),
        })
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read or parsed.
    pub(crate) fn load(path: &Path) -> Result<Self, TrainError> {
        let bytes = std::fs::read(path).map_err(|e| TrainError::io("read", path, e))?;
        Self::from_bytes(&bytes, path)
    }

    /// Takes a `tokenizer.json` that is from the file `path`.
    ///
    /// # Errors
    /// It cannot be parsed.
    pub(crate) fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, TrainError> {
        duoguard::check_tokenizer_json(bytes)
            .map_err(|e| TrainError::invalid(path, e.to_string()))?;
        let inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|e| TrainError::invalid(path, e.to_string()))?;
        Ok(Self {
            inner,
            around: Default::default(),
        })
    }

    /// The same tokenizer, whose special tokens and `prefix_text` stand around every window.
    ///
    /// # Errors
    /// Special tokens that are not before and behind a text.
    pub(crate) fn around_windows(self, prefix_text: Option<&str>) -> Result<Self, TrainError> {
        let ids = |text: &str, special| {
            let encoding = self.inner.encode_fast(text, special).map_err(fault)?;
            Ok::<Vec<i32>, TrainError>(encoding.get_ids().iter().map(|&id| id as i32).collect())
        };
        let (plain, whole) = (ids("a", false)?, ids("a", true)?);
        let start = (0..=whole.len().saturating_sub(plain.len()))
            .find(|&start| whole[start..].starts_with(&plain))
            .ok_or_else(|| fault("expected special tokens before and behind a text alone"))?;
        let mut prefix = whole[..start].to_vec();
        prefix.extend(ids(prefix_text.unwrap_or(""), false)?);
        let suffix = whole[start + plain.len()..].to_vec();
        Ok(Self {
            around: [prefix, suffix],
            ..self
        })
    }

    /// A window's tokens with those that stand around it.
    pub(crate) fn window(&self, ids: impl IntoIterator<Item = i32>) -> Vec<i32> {
        let [prefix, suffix] = &self.around;
        let prefix = prefix.iter().copied();
        prefix.chain(ids).chain(suffix.iter().copied()).collect()
    }

    /// Number of tokens that stand around a window.
    pub(crate) fn tokens_around(&self) -> usize {
        self.around.iter().map(Vec::len).sum()
    }

    /// Writes a `tokenizer.json`, atomically.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save(&self, path: &Path) -> Result<(), TrainError> {
        let json = self.inner.to_string(false).map_err(fault)?;
        crate::files::write_atomically(path, json.as_bytes())
    }

    /// Number of tokens.
    pub(crate) fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id of a token by its exact text.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether the tokenizer was made to put special tokens before every text, which
    /// [`Tokenizer::encode`] leaves out.
    pub(crate) fn puts_tokens_first(&self) -> bool {
        let encoded = self.inner.encode_fast("", true);
        encoded.is_ok_and(|encoding| !encoding.get_ids().is_empty())
    }

    /// Token ids of `text`. Byte-level BPE knows every text, and others have a token for what they
    /// do not know, so this cannot fail for want of a token.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        match self.inner.encode_fast(text, false) {
            Ok(encoding) => encoding.get_ids().to_vec(),
            Err(e) => unreachable!("there is a token for every text: {e}"),
        }
    }

    /// The text of `ids`; a character that the ids cut in two becomes U+FFFD.
    pub(crate) fn decode(&self, ids: &[u32]) -> String {
        match self.inner.decode(ids, true) {
            Ok(text) => text,
            Err(e) => unreachable!("bytes always make a text, if need be with U+FFFD: {e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_round_trips_and_training_is_deterministic() {
        let texts = [
            "the soup is warm",
            "die Suppe ist heiß",
            "la soupe est déjà chaude",
            "el niño comió sopa",
        ];
        let train = || Tokenizer::train(texts.iter().copied().cycle().take(400), 300).unwrap();
        let tokenizer = train();
        assert_eq!(tokenizer.vocabulary(), 300);
        assert_eq!(tokenizer.inner.token_to_id(END_OF_TEXT), Some(0));
        for text in texts.iter().chain(&["日本 🙂", "  two  spaces\n", ""]) {
            let ids = tokenizer.encode(text);
            assert_eq!(tokenizer.inner.decode(&ids, true).unwrap(), **text);
            assert_eq!(ids, train().encode(text));
        }
    }
}
