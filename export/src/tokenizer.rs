//! A checkpoint's tokenizer: whether it fits the embedding, and what it puts around a text.

use std::path::Path;

use duoguard::check_tokenizer_json;
use tokenizers::Tokenizer;

use crate::config::Config;
use crate::error::ExportError;

/// Checks the tokenizer, a `tokenizer.json` that is in the file `path` or made of it, against the
/// embedding, and returns what stands before and behind every text.
pub(crate) fn check(
    (path, bytes): (&Path, &[u8]),
    config: &Config,
    prefix_text: Option<&str>,
) -> Result<(Vec<u32>, Vec<u32>), ExportError> {
    let refused = |cause: &dyn std::fmt::Display| {
        ExportError::checkpoint(path, format!("not a tokenizer: {cause}"))
    };
    check_tokenizer_json(bytes).map_err(|cause| refused(&cause))?;
    let tokenizer = Tokenizer::from_bytes(bytes).map_err(|cause| refused(&cause))?;
    let largest = tokenizer
        .get_vocab(true)
        .into_iter()
        .max_by_key(|(_, id)| *id);
    match largest {
        None => Err(ExportError::checkpoint(path, "the vocabulary is empty")),
        Some((token, id)) if id as usize >= config.vocabulary => Err(ExportError::checkpoint(
            path,
            format!(
                "token {token:?} has id {id}, but the embedding has {} rows: tokenizer and weights are of different models",
                config.vocabulary
            ),
        )),
        Some(_) => {
            let around = around(&tokenizer, prefix_text);
            let (prefix, suffix) =
                around.map_err(|message| ExportError::checkpoint(path, message))?;
            if config.encoder.is_none() && !suffix.is_empty() {
                return Err(ExportError::checkpoint(
                    path,
                    format!(
                        "the tokenizer puts {suffix:?} behind a text; only special tokens before a text are supported, since the last token is the one that is judged"
                    ),
                ));
            }
            Ok((prefix, suffix))
        }
    }
}

/// The tokens that stand before and behind every text: the tokenizer's special ones, and before the
/// text those of `prefix_text` too.
fn around(
    tokenizer: &Tokenizer,
    prefix_text: Option<&str>,
) -> Result<(Vec<u32>, Vec<u32>), String> {
    let ids = |text: &str, special| {
        let encoding = tokenizer.encode_fast(text, special);
        let failed = |cause| format!("cannot tokenise {text:?}: {cause}");
        encoding
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(failed)
    };
    let (plain, whole) = (ids("a", false)?, ids("a", true)?);
    let starts = 0..=whole.len().saturating_sub(plain.len());
    let Some(start) = starts
        .into_iter()
        .find(|start| whole[*start..].starts_with(&plain))
    else {
        return Err(format!(
            "the tokenizer makes {whole:?} of the tokens {plain:?}; only special tokens around a text are supported"
        ));
    };
    let mut prefix = whole[..start].to_vec();
    if let Some(text) = prefix_text {
        prefix.extend(ids(text, false)?);
    }
    Ok((prefix, whole[start + plain.len()..].to_vec()))
}
