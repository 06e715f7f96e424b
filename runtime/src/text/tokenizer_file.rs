//! Reading `tokenizer.json` in one pass.
//!
//! The crate reads a model into a tree of JSON, and that into another, before it makes the model of
//! it, which is most of the time that a bundle takes to open. Here a model that says what it is
//! before all else, as all do that the crate writes, is made of the text as it comes. What is not
//! written so is left to the crate, as is what is wrong with a file, unless the crate panics at it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::normalizers::Sequence;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PaddingParams, PostProcessorWrapper,
    PreTokenizerWrapper, Tokenizer, TokenizerImpl, TruncationParams,
};

use super::token_model::TokenModel;
use super::tokenizer_check::{check, check_normalizer, map_of_characters};

/// A tokenizer of the crate with a model that may be our own.
pub(super) type Pipeline = TokenizerImpl<
    TokenModel,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// The tokenizer of a file, without what the file says of cutting and filling up: the first would
/// leave text unscored, and the second score text that is not there. It makes the same tokens of a
/// text each time.
pub(super) fn read(bytes: &[u8]) -> tokenizers::Result<Pipeline> {
    match at_once(bytes) {
        Ok(pipeline) => Ok(pipeline),
        Err(_) => {
            check(bytes)?;
            of_crate(&Tokenizer::from_bytes(bytes)?)
        }
    }
}

/// The same, of a file that is written as it should be.
fn at_once(bytes: &[u8]) -> tokenizers::Result<Pipeline> {
    serde_json::from_slice::<File>(bytes)?.pipeline()
}

fn of_crate(tokenizer: &Tokenizer) -> tokenizers::Result<Pipeline> {
    let mut pipeline = Pipeline::new(TokenModel::of_crate(tokenizer.get_model().clone()));
    pipeline.with_normalizer(tokenizer.get_normalizer().cloned())?;
    pipeline.with_pre_tokenizer(tokenizer.get_pre_tokenizer().cloned());
    pipeline.with_post_processor(tokenizer.get_post_processor().cloned());
    pipeline.with_decoder(tokenizer.get_decoder().cloned());
    pipeline.with_added_vocabulary(tokenizer.get_added_vocabulary().clone());
    Ok(pipeline)
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
    model: TokenModel,
}

#[derive(Deserialize)]
struct Added {
    #[serde(rename = "id")]
    _id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

impl File {
    fn pipeline(self) -> tokenizers::Result<Pipeline> {
        if self.version != "1.0" {
            return Err(format!("version {}", self.version).into());
        }
        let normalizer = normalizer(self.normalizer)?;
        let decoder: Option<DecoderWrapper> = part(self.decoder)?;
        let mut pipeline = Pipeline::new(self.model);
        pipeline.with_normalizer(normalizer)?;
        pipeline.with_pre_tokenizer(self.pre_tokenizer);
        pipeline.with_post_processor(self.post_processor);
        pipeline.with_decoder(decoder);
        pipeline.add_tokens(self.added_tokens.into_iter().map(|added| added.token))?;
        Ok(pipeline)
    }
}

/// A normalizer, whose maps of characters, which are long, are read once.
fn normalizer(mut value: Value) -> tokenizers::Result<Option<NormalizerWrapper>> {
    if let Some(map) = map_of_characters(&value) {
        return Ok(Some(map?.into()));
    }
    if let Value::Object(map) = &mut value
        && map.len() == 2
        && map.get("type").is_some_and(|kind| kind == "Sequence")
        && let Some(Value::Array(items)) = map.get_mut("normalizers")
    {
        let items = items.iter_mut().map(|item| match normalizer(item.take())? {
            Some(item) => Ok(item),
            None => Err(tokenizers::Error::from("a sequence with null in it")),
        });
        let items = items.collect::<tokenizers::Result<_>>()?;
        return Ok(Some(Sequence::new(items).into()));
    }
    check_normalizer(&value)?;
    Ok(part(value)?)
}

/// A part that may be `null`.
fn part<T: DeserializeOwned>(value: Value) -> serde_json::Result<Option<T>> {
    serde_json::from_value(value)
}

#[cfg(test)]
mod tests {
    use tokenizers::Model as _;

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

    /// Also where tokens lie, and which the post-processor adds.
    fn agree(found: &Pipeline, expected: &Tokenizer) {
        for text in ["", "ab", "xAb a_b <u>", "b  ba\u{e9}"] {
            let of_found = found.encode(text, true).unwrap();
            assert_eq!(of_found, expected.encode(text, true).unwrap(), "{text:?}");
        }
        assert_eq!(found.get_vocab(true), expected.get_vocab(true));
    }

    #[test]
    fn a_file_is_read_as_the_crate_reads_it() {
        for model in [BPE, UNIGRAM] {
            let file = file(model);
            let found = at_once(file.as_bytes()).unwrap();
            assert!(!matches!(found.get_model(), TokenModel::Crate(_)));
            agree(&found, &Tokenizer::from_bytes(&file).unwrap());
            assert_eq!(found.get_model().largest_id(), Some(3));
        }
    }

    #[test]
    fn what_is_written_otherwise_is_left_to_the_crate() {
        let older = BPE.replace(r#"["a","b"]"#, r#""a b""#);
        let untyped = BPE.replace(r#""type":"BPE","#, "");
        let gap = BPE.replace(r#""ab":3"#, r#""ab":7"#);
        let suffix = BPE.replace(
            r#""end_of_word_suffix":null"#,
            r#""end_of_word_suffix":"b""#,
        );
        let words = r#"{"type":"WordLevel","vocab":{"<u>":0,"a":1},"unk_token":"<u>"}"#;
        for model in [&older, &untyped, &gap, &suffix, words] {
            let file = file(model);
            assert!(at_once(file.as_bytes()).is_err());
            let expected = Tokenizer::from_bytes(&file).unwrap();
            let found = read(file.as_bytes()).unwrap();
            agree(&found, &expected);
            let largest = expected.get_model().get_vocab().into_values().max();
            assert_eq!(found.get_model().largest_id(), largest);
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
