//! SentencePiece's BPE: pieces with scores, of which those with the highest are made first.

use serde_json::{Value as Json, json};

use super::metadata::{Metadata, required};
use super::tokenizer::{TOKENS, Type, Vocabulary};

const SCORES: &str = "tokenizer.ggml.scores";
/// What stands for a space within a piece.
const SPACE: &str = "\u{2581}";
/// Keys of rules that change a text first, which the families read here do not have.
const NORMALIZATION: [&str; 2] = [
    "tokenizer.ggml.remove_extra_whitespaces",
    "tokenizer.ggml.precompiled_charsmap",
];

/// The parts of a `tokenizer.json` that are particular to it.
pub(super) fn tokenizer(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Result<Json, String> {
    for key in NORMALIZATION {
        if metadata
            .get(key)
            .is_some_and(|value| value.to_string() != "false")
        {
            return Err(format!(
                "{key} is there; tokenizers that change a text first are not supported so far"
            ));
        }
    }
    let scores = required(SCORES, metadata.floats(SCORES)?)?;
    if scores.len() != vocabulary.tokens.len() {
        return Err(format!(
            "{SCORES} has {} entries and {TOKENS} has {}; expected as many",
            scores.len(),
            vocabulary.tokens.len()
        ));
    }
    if let Some(id) = scores.iter().position(|score| !score.is_finite()) {
        return Err(format!("{SCORES} has no finite number at {id}"));
    }
    let mut unknown = (0..scores.len()).filter(|id| vocabulary.types[*id] == Type::Unknown);
    let (Some(unknown), None) = (unknown.next(), unknown.next()) else {
        return Err(
            "tokenizer.ggml.token_type does not mark one token as unknown (2); expected exactly one"
                .to_owned(),
        );
    };
    let space = json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE });
    // SentencePiece puts a space before every text, also before one that begins with a space.
    let is_first = metadata.flag("tokenizer.ggml.add_space_prefix")?;
    let is_first = is_first.unwrap_or(true);
    let normalizer = match is_first {
        true => json!({
            "type": "Sequence",
            "normalizers": [{ "type": "Prepend", "prepend": SPACE }, space],
        }),
        false => space,
    };
    Ok(json!({
        "normalizer": normalizer,
        "pre_tokenizer": null,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                { "type": "Replace", "pattern": { "String": SPACE }, "content": " " },
                { "type": "ByteFallback" },
                { "type": "Fuse" },
                { "type": "Strip", "content": " ", "start": u8::from(is_first), "stop": 0 },
            ],
        },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": vocabulary.tokens[unknown],
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
            "byte_fallback": vocabulary.types.contains(&Type::Byte), "ignore_merges": false,
            "vocab": vocabulary.table(), "merges": merges(vocabulary, scores),
        },
    }))
}

/// Every pair of pieces that makes a piece, those of the highest score first, as `transformers`
/// finds them: where SentencePiece compares scores while it goes, ranks come to the same.
fn merges<'a>(vocabulary: &Vocabulary<'a>, scores: &[f32]) -> Vec<[&'a str; 2]> {
    let is_piece = |text: &str| {
        let id = vocabulary.ids.get(text);
        id.is_some_and(|id| vocabulary.types[*id] == Type::Normal)
    };
    let mut merges = Vec::new();
    for (id, piece) in vocabulary.tokens.iter().enumerate() {
        if vocabulary.types[id] != Type::Normal {
            continue;
        }
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if is_piece(left) && is_piece(right) {
                let lengths = (left.chars().count(), right.chars().count());
                merges.push((scores[id], lengths, [left, right]));
            }
        }
    }
    merges.sort_by(|(score, lengths, _), (other_score, other_lengths, _)| {
        let by_score = other_score.total_cmp(score);
        by_score.then(other_lengths.cmp(lengths))
    });
    merges.into_iter().map(|(_, _, pair)| pair).collect()
}
