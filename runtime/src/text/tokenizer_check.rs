//! What in a `tokenizer.json` the crate `tokenizers` panics at, told before it reads the file.
//!
//! A decoder that is no JSON, and a map of characters (`precompiled_charsmap`, of SentencePiece)
//! that is damaged: some it panics at when it reads them, some when a text leads it outside.

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::normalizers::Precompiled;

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
    check(bytes).map_err(|cause| Error::model(cause.to_string()))
}

/// As [`check_tokenizer_json`].
pub(super) fn check(bytes: &[u8]) -> tokenizers::Result<()> {
    let parts: Parts = serde_json::from_slice(bytes)?;
    check_normalizer(&parts.normalizer)
}

/// Looks for maps of characters, which may stand in sequences.
pub(super) fn check_normalizer(value: &Value) -> tokenizers::Result<()> {
    if let Some(map) = map_of_characters(value) {
        return map.map(drop);
    }
    match value {
        Value::Object(map) => map.values().try_for_each(check_normalizer),
        Value::Array(items) => items.iter().try_for_each(check_normalizer),
        _ => Ok(()),
    }
}

/// A normalizer that is a map of characters; `None` if it is another.
pub(super) fn map_of_characters(value: &Value) -> Option<tokenizers::Result<Precompiled>> {
    let map = value.as_object()?;
    let read = || {
        let encoded = map.get("precompiled_charsmap").and_then(Value::as_str);
        let bytes = BASE64.decode(encoded.unwrap_or_default().as_bytes());
        let bytes = bytes.map_err(|cause| cause.to_string())?;
        if !is_whole(&bytes) {
            return Err("its precompiled_charsmap leads outside of itself".into());
        }
        Ok(Precompiled::from(&bytes)?)
    };
    (map.get("type")? == "Precompiled").then(read)
}

/// Whether no text leads outside of a map of characters: the bytes of its tree, the tree in units
/// of 32 bits, and behind it the texts that characters become, in UTF-8.
///
/// The tree is a double array, as Darts-clone writes it. A unit that is no value has bit 31 unset;
/// its offset, in bits 10 to 30, is counted in 256 where bit 9 is set. The units of its children
/// are at its own place, exclusive-or the offset and the child's byte. Where bit 8 is set, the one
/// at the byte 0 is a value: the place of a text.
fn is_whole(bytes: &[u8]) -> bool {
    const IS_VALUE: u32 = 1 << 31;
    const HAS_VALUE: u32 = 1 << 8;
    let Some((size, rest)) = bytes.split_first_chunk() else {
        return false;
    };
    let size = u32::from_le_bytes(*size) as usize;
    let Some((tree, texts)) = rest.split_at_checked(size / 4 * 4) else {
        return false;
    };
    let Ok(texts) = std::str::from_utf8(texts) else {
        return false;
    };
    let (units, _) = tree.as_chunks();
    let units: Vec<u32> = units.iter().copied().map(u32::from_le_bytes).collect();
    let is_within = |(place, unit): (usize, &u32)| {
        let offset = (unit >> 10) << ((unit & (1 << 9)) >> 6);
        let children = place ^ offset as usize;
        let has_text = || units[children] & !IS_VALUE;
        unit & IS_VALUE != 0
            || (children | 0xff) < units.len()
                && (unit & HAS_VALUE == 0 || texts.is_char_boundary(has_text() as usize))
    };
    units.first().is_some_and(|root| root & IS_VALUE == 0)
        && units.iter().enumerate().all(is_within)
}

#[cfg(test)]
mod tests {
    use tokenizers::Tokenizer;

    use super::*;

    /// A file with this normalizer and this decoder.
    fn file(normalizer: &str, decoder: &str) -> String {
        format!(
            r#"{{"version":"1.0","normalizer":{normalizer},"decoder":{decoder},
            "model":{{"type":"WordLevel","vocab":{{"a":0,"b":1}},"unk_token":"a"}}}}"#
        )
    }

    /// A map of characters with these first units of 256, behind which are no texts but "é".
    fn map(units: &[u32]) -> Vec<u8> {
        let mut all = vec![0_u32; 256];
        all[..units.len()].copy_from_slice(units);
        let mut bytes = 1024_u32.to_le_bytes().to_vec();
        bytes.extend(all.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend("é\0".as_bytes());
        bytes
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
    fn a_map_that_leads_outside_is_not_whole() {
        let units = |value: u32| {
            let mut units = [0; 98];
            (units[97], units[1]) = (97 | 96 << 10 | 1 << 8, 1 << 31 | value);
            map(&units)
        };
        assert!(is_whole(&map(&[])) && is_whole(&units(0)) && is_whole(&units(3)));
        // Inside "é", and behind all texts.
        assert!(!is_whole(&units(1)) && !is_whole(&units(4)));
        // Children at 256; a value in place of the first unit; fewer units than children.
        for bytes in [map(&[256 << 10]), map(&[1 << 31]), map(&[])[..804].to_vec()] {
            assert!(!is_whole(&bytes));
        }
        let short = [&800_u32.to_le_bytes(), &map(&[])[4..]].concat();
        for bytes in [&[][..], &[1, 0], &[0; 4], &short] {
            assert!(!is_whole(bytes), "{bytes:?}");
        }
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
