//! What the package `gguf`, `llama.cpp`, `sentencepiece` and `transformers` make of the golden
//! files, which `scripts/gguf.sh` writes.

use serde_json::Value as Json;
use tokenizers::Tokenizer;

use super::metadata::{Metadata, Value};
use super::{file, tokenizer};

const BLOCKS: &[u8] = include_bytes!("../../tests/golden/gguf/blocks.gguf");
const LLAMA: &[u8] = include_bytes!("../../tests/golden/gguf/llama.gguf");
const QWEN2: &[u8] = include_bytes!("../../tests/golden/gguf/qwen2.gguf");
const GOLDEN: &str = include_str!("../../tests/golden/gguf/golden.json");

#[test]
fn every_type_is_widened_to_the_last_bit() {
    let file = file::parse(BLOCKS).unwrap();
    let mut compared = 0;
    for expected in &file.tensors {
        let Some(name) = expected.name.strip_suffix(".expected") else {
            continue;
        };
        let stored = file.tensor(name).unwrap();
        let found = stored.kind.widen(&BLOCKS[stored.start..stored.end]);
        let expected = expected.kind.widen(&BLOCKS[expected.start..expected.end]);
        assert_eq!(found.len(), 512, "{name}");
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.to_bits(), expected.to_bits(), "{name}, value {index}");
        }
        // The second row by itself.
        let range = stored.kind.range(256, 256);
        let row = &BLOCKS[stored.start..stored.end][range];
        assert_eq!(stored.kind.widen(row), expected[256..], "{name}");
        compared += 1;
    }
    assert_eq!(compared, 11);
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let encoding = tokenizer.encode_fast(text, false).unwrap();
    encoding.get_ids().to_vec()
}

/// That every text of the golden file has its tokens.
fn check_tokens(name: &str, metadata: &Metadata) {
    let json = tokenizer::json(metadata).unwrap();
    let tokenizer = Tokenizer::from_bytes(json).unwrap();
    let golden: Json = serde_json::from_str(GOLDEN).unwrap();
    let cases = golden["tokens"][name].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let text = case[0].as_str().unwrap();
        let expected = case[1].as_array().unwrap().iter();
        let expected: Vec<u32> = expected.map(|id| id.as_u64().unwrap() as u32).collect();
        assert_eq!(ids(&tokenizer, text), expected, "{name}: {text:?}");
        if !text.contains('<') && name != "qwen2" && name != "llama" {
            assert_eq!(tokenizer.decode(&expected, false).unwrap(), text, "{name}");
        }
    }
}

#[test]
fn byte_level_tokens_are_those_of_llama_cpp() {
    for pre in ["gpt-2", "smollm", "qwen2", "llama-bpe"] {
        let mut metadata = file::parse(QWEN2).unwrap().metadata;
        let value = Value::Text(pre.to_owned());
        metadata.0.insert("tokenizer.ggml.pre".to_owned(), value);
        check_tokens(pre, &metadata);
    }
}

#[test]
fn pieces_are_those_of_sentencepiece() {
    check_tokens("llama", &file::parse(LLAMA).unwrap().metadata);
}

#[test]
fn the_first_token_goes_before_a_text_where_the_file_says_so() {
    let mut metadata = file::parse(LLAMA).unwrap().metadata;
    let with_special = |metadata: &Metadata| {
        let json = tokenizer::json(metadata).unwrap();
        let tokenizer = Tokenizer::from_bytes(json).unwrap();
        let encoding = tokenizer.encode_fast("the soup", true).unwrap();
        (encoding.get_ids().to_vec(), ids(&tokenizer, "the soup"))
    };
    let (with, without) = with_special(&metadata);
    assert_eq!(with, without);
    // SentencePiece's put it there where the file does not say.
    metadata.0.remove("tokenizer.ggml.add_bos_token");
    let (with, without) = with_special(&metadata);
    assert_eq!(with, [&[1], &without[..]].concat());
}
