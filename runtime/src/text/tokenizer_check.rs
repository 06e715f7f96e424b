//! What in a `tokenizer.json` the crate `tokenizers` panics at, told before it reads the file.
//!
//! A decoder that is no JSON, and a map of characters (`precompiled_charsmap`, of SentencePiece)
//! that is damaged: some it panics at when it reads them, some when a text leads it outside.

use serde::Deserialize;
use serde_json::Value;

use super::pipeline::character_map::CharacterMap;
use crate::error::{Error, Result};

/// The parts of a file that the crate may panic at.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    normalizer: Value,
    #[serde(default, rename = "decoder")]
    _decoder: Value,
}

/// Whether a `tokenizer.json` can be given to the crate `tokenizers`, which panics at some that are
/// damaged. It may still refuse the file.
///
/// # Errors
/// What is wrong with it.
pub fn check_tokenizer_json(bytes: &[u8]) -> Result<()> {
    check(bytes).map_err(Error::model)
}

/// As [`check_tokenizer_json`].
pub(super) fn check(bytes: &[u8]) -> std::result::Result<(), String> {
    let parts = serde_json::from_slice::<Parts>(bytes);
    check_normalizer(&parts.map_err(|cause| cause.to_string())?.normalizer)
}

/// Looks for maps of characters, which may stand in sequences.
fn check_normalizer(value: &Value) -> std::result::Result<(), String> {
    if let Some(map) = CharacterMap::read(value) {
        return map.map(drop);
    }
    match value {
        Value::Object(map) => map.values().try_for_each(check_normalizer),
        Value::Array(items) => items.iter().try_for_each(check_normalizer),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;
    use tokenizers::Tokenizer;
    use tokenizers::normalizers::Precompiled;

    use super::super::pipeline::character_map::tests::map;
    use super::*;

    /// A file with this normalizer and this decoder.
    fn file(normalizer: &str, decoder: &str) -> String {
        format!(
            r#"{{"version":"1.0","normalizer":{normalizer},"decoder":{decoder},
            "model":{{"type":"WordLevel","vocab":{{"a":0,"b":1}},"unk_token":"a"}}}}"#
        )
    }

    fn precompiled(map: &[u8]) -> String {
        let encoded = BASE64.encode(map);
        format!(r#"{{"type":"Precompiled","precompiled_charsmap":"{encoded}"}}"#)
    }

    #[test]
    fn what_is_whole_is_left_to_the_crate() {
        // "a" (97) becomes "é": its unit says so, and its children begin at 97 ^ 96 = 1.
        let mut units = [0; 98];
        (units[97], units[1]) = (97 | 96 << 10 | 1 << 8, 1 << 31);
        let whole = precompiled(&map(&units));
        let sequence = format!(r#"{{"type":"Sequence","normalizers":[{whole}]}}"#);
        for normalizer in ["null", r#"{"type":"Lowercase"}"#, &whole, &sequence] {
            let file = file(normalizer, r#"{"type":"Fuse"}"#);
            check(file.as_bytes()).unwrap();
            let tokenizer = Tokenizer::from_bytes(file.as_bytes()).unwrap();
            tokenizer.encode_fast("b", false).unwrap();
        }
        let text = serde_json::from_str::<Precompiled>(&whole).unwrap();
        assert_eq!(text.normalize_string("ab"), "éb");
    }

    #[test]
    fn what_the_crate_panics_at_is_refused() {
        let outside = precompiled(&map(&[256 << 10]));
        let sequence = format!(r#"{{"type":"Sequence","normalizers":[{outside}]}}"#);
        for (normalizer, decoder) in [
            ("null", "julh\u{9b}"),
            ("null", "::ull"),
            ("null", "1e999"),
            ("null", r#"{"type":"\ud800"}"#),
            (&precompiled(&[]), "null"),
            (&outside, "null"),
            (&sequence, "null"),
            (&outside.replace('=', "*"), "null"),
            (r#"{"type":"Precompiled"}"#, "null"),
        ] {
            let file = file(normalizer, decoder);
            assert!(check(file.as_bytes()).is_err(), "{file}");
            assert!(check_tokenizer_json(file.as_bytes()).is_err());
        }
        // A part that is there twice might be whole the second time.
        let twice = file(&outside, "null").replace(r#""decoder":null"#, r#""normalizer":null"#);
        assert!(check(twice.as_bytes()).is_err(), "{twice}");
    }
}
