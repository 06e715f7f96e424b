//! Reading `tokenizer.json` in one pass.
//!
//! The crate reads a model into a tree of JSON, and that into another, before it makes the model of
//! it, which is most of the time that a bundle takes to open. Here a model that says what it is
//! before all else, as all do that the crate writes, is made of the text as it comes. What is not
//! written so is left to the crate, as is what is wrong with a file, unless the crate panics at it.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use tokenizers::models::bpe::{BpeBuilder, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::{
    AddedToken, DecoderWrapper, Model as _, ModelWrapper, NormalizerWrapper, PaddingParams,
    PostProcessorWrapper, PreTokenizerWrapper, Tokenizer, TruncationParams,
};

use super::tokenizer_check::{check, check_normalizer};

/// The tokenizer of a file, as `Tokenizer::from_bytes` gives it, and its largest id; `None` if its
/// vocabulary is empty.
pub(super) fn read(bytes: &[u8]) -> tokenizers::Result<(Tokenizer, Option<u32>)> {
    let (tokenizer, largest) = match at_once(bytes) {
        Ok(found) => found,
        Err(_) => {
            check(bytes)?;
            let tokenizer = Tokenizer::from_bytes(bytes)?;
            let largest = tokenizer.get_vocab(false).into_values().max();
            (tokenizer, largest)
        }
    };
    let added = tokenizer.get_added_vocabulary().get_vocab().values();
    let largest = added.copied().chain(largest).max();
    Ok((tokenizer, largest))
}

/// The same without the ids of added tokens, of a file that is written as it should be.
fn at_once(bytes: &[u8]) -> tokenizers::Result<(Tokenizer, Option<u32>)> {
    let file: File = serde_json::from_slice(bytes)?;
    let largest = file.model.largest;
    Ok((file.tokenizer()?, largest))
}

/// What is in a file. What it says of cutting and filling up is read, since it may be wrong, and
/// not kept.
#[derive(Deserialize)]
struct File {
    version: String,
    #[serde(default, rename = "truncation")]
    _truncation: Option<TruncationParams>,
    #[serde(default, rename = "padding")]
    _padding: Option<PaddingParams>,
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Option<PreTokenizerWrapper>,
    #[serde(default)]
    post_processor: Option<PostProcessorWrapper>,
    #[serde(default)]
    decoder: Value,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    #[serde(rename = "id")]
    _id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

impl File {
    fn tokenizer(self) -> tokenizers::Result<Tokenizer> {
        if self.version != "1.0" {
            return Err(format!("version {}", self.version).into());
        }
        check_normalizer(&self.normalizer)?;
        let normalizer: Option<NormalizerWrapper> = part(self.normalizer)?;
        let decoder: Option<DecoderWrapper> = part(self.decoder)?;
        let mut tokenizer = Tokenizer::new(self.model.model);
        tokenizer.with_normalizer(normalizer)?;
        tokenizer.with_pre_tokenizer(self.pre_tokenizer);
        tokenizer.with_post_processor(self.post_processor);
        tokenizer.with_decoder(decoder);
        tokenizer.add_tokens(self.added_tokens.into_iter().map(|added| added.token))?;
        Ok(tokenizer)
    }
}

/// A part that may be `null`.
fn part<T: DeserializeOwned>(value: Value) -> serde_json::Result<Option<T>> {
    serde_json::from_value(value)
}

/// A model whose first field is its type.
struct Model {
    model: ModelWrapper,
    /// Its largest id.
    largest: Option<u32>,
}

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ModelVisitor)
    }
}

struct ModelVisitor;

impl<'de> Visitor<'de> for ModelVisitor {
    type Value = Model;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a model whose first field is its type")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Model, A::Error> {
        if map.next_key::<String>()?.as_deref() != Some("type") {
            return Err(A::Error::custom("the type is not the first field"));
        }
        let kind: String = map.next_value()?;
        match &*kind {
            "BPE" => bpe(map),
            "Unigram" => {
                let model = Unigram::deserialize(MapAccessDeserializer::new(map))?;
                // Its ids are the places in its list.
                let count = u32::try_from(model.get_vocab_size()).map_err(A::Error::custom)?;
                Ok(Model {
                    model: model.into(),
                    largest: count.checked_sub(1),
                })
            }
            _ => Err(A::Error::custom("another type")),
        }
    }
}

/// The rest of a BPE model. The crate reads merges into a tree as well, since they may be written
/// in two ways.
fn bpe<'de, A: MapAccess<'de>>(mut map: A) -> Result<Model, A::Error> {
    let mut builder = BpeBuilder::new();
    let (mut vocabulary, mut merges) = (None::<Vocab>, None::<Vec<(String, String)>>);
    while let Some(key) = map.next_key::<String>()? {
        builder = match &*key {
            "dropout" => with(builder, map.next_value()?, BpeBuilder::dropout),
            "unk_token" => with(builder, map.next_value()?, BpeBuilder::unk_token),
            "continuing_subword_prefix" => {
                let prefix = map.next_value()?;
                with(builder, prefix, BpeBuilder::continuing_subword_prefix)
            }
            "end_of_word_suffix" => {
                with(builder, map.next_value()?, BpeBuilder::end_of_word_suffix)
            }
            "fuse_unk" => with(builder, map.next_value()?, BpeBuilder::fuse_unk),
            "byte_fallback" => with(builder, map.next_value()?, BpeBuilder::byte_fallback),
            "ignore_merges" => with(builder, map.next_value()?, BpeBuilder::ignore_merges),
            "vocab" => {
                vocabulary = Some(map.next_value()?);
                builder
            }
            "merges" => {
                merges = Some(map.next_value()?);
                builder
            }
            "type" => return Err(A::Error::custom("the type again")),
            _ => {
                map.next_value::<IgnoredAny>()?;
                builder
            }
        };
    }
    let (Some(vocabulary), Some(merges)) = (vocabulary, merges) else {
        return Err(A::Error::custom("no vocabulary, or no merges"));
    };
    let largest = vocabulary.values().copied().max();
    let builder = builder.vocab_and_merges(vocabulary, merges);
    let model = builder.build().map_err(A::Error::custom)?;
    Ok(Model {
        model: model.into(),
        largest,
    })
}

/// Sets what is given.
fn with<T>(
    builder: BpeBuilder,
    value: Option<T>,
    set: impl FnOnce(BpeBuilder, T) -> BpeBuilder,
) -> BpeBuilder {
    match value {
        Some(value) => set(builder, value),
        None => builder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BPE: &str = r#"{"type":"BPE","dropout":null,"unk_token":"<u>","fuse_unk":true,
        "continuing_subword_prefix":null,"end_of_word_suffix":null,"byte_fallback":true,
        "ignore_merges":true,"vocab":{"<u>":0,"a":1,"b":2,"ab":3},"merges":[["a","b"]]}"#;
    const UNIGRAM: &str = r#"{"type":"Unigram","unk_id":0,"byte_fallback":false,
        "vocab":[["<u>",0.0],["a",-1.5],["b",-2.25],["ab",-1.125]]}"#;

    fn file(model: &str) -> String {
        format!(
            r#"{{"version":"1.0","truncation":null,"padding":null,
            "added_tokens":[{{"id":0,"content":"<u>","single_word":false,"lstrip":false,
            "rstrip":false,"normalized":false,"special":true}},{{"id":4,"content":"Ab",
            "single_word":false,"lstrip":true,"rstrip":false,"normalized":true,"special":false}}],
            "normalizer":{{"type":"Lowercase"}},
            "pre_tokenizer":{{"type":"Metaspace","replacement":"_","prepend_scheme":"always",
            "split":true}},"post_processor":null,"decoder":null,"model":{model}}}"#
        )
    }

    fn written(tokenizer: &Tokenizer) -> String {
        serde_json::to_string(tokenizer).unwrap()
    }

    #[test]
    fn a_file_is_read_as_the_crate_reads_it() {
        for model in [BPE, UNIGRAM] {
            let file = file(model);
            let at_once: File = serde_json::from_str(&file).unwrap();
            let found = at_once.tokenizer().unwrap();
            let expected = Tokenizer::from_bytes(&file).unwrap();
            assert_eq!(written(&found), written(&expected));
            assert_eq!(read(file.as_bytes()).unwrap().1, Some(4));
            for text in ["", "ab", "xAb a_b <u>", "b  ba\u{e9}"] {
                let ids = |tokenizer: &Tokenizer| {
                    let encoding = tokenizer.encode_fast(text, false).unwrap();
                    encoding.get_ids().to_vec()
                };
                assert_eq!(ids(&found), ids(&expected), "{text:?}");
            }
        }
    }

    #[test]
    fn what_is_written_otherwise_is_left_to_the_crate() {
        let older = BPE.replace(r#"["a","b"]"#, r#""a b""#);
        let untyped = BPE.replace(r#""type":"BPE","#, "");
        let words = r#"{"type":"WordLevel","vocab":{"<u>":0,"a":1},"unk_token":"<u>"}"#;
        for model in [&older, &untyped, words] {
            let file = file(model);
            assert!(serde_json::from_str::<File>(&file).is_err());
            let expected = Tokenizer::from_bytes(&file).unwrap();
            let (found, largest) = read(file.as_bytes()).unwrap();
            assert_eq!(written(&found), written(&expected));
            assert_eq!(largest, expected.get_vocab(true).into_values().max());
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_the_crate_says_it() {
        let missing = BPE.replace(r#""ab":3"#, r#""ac":3"#);
        let outside = UNIGRAM.replace(r#""unk_id":0"#, r#""unk_id":9"#);
        for file in [
            file(&missing),
            file(&outside),
            file(BPE).replace("1.0", "2.0"),
            file(BPE).replace("Lowercase", "Lower"),
            file(BPE).replace(r#""padding":null"#, r#""padding":7"#),
            file(BPE)[..200].to_owned(),
        ] {
            let found = read(file.as_bytes()).map(drop).unwrap_err().to_string();
            let expected = Tokenizer::from_bytes(&file).map(drop).unwrap_err();
            assert_eq!(found, expected.to_string());
        }
    }
}
