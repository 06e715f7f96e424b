//! The tokenizer that the metadata of a GGUF file describe, as a `tokenizer.json`.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::metadata::{Metadata, required};
use super::sentencepiece;

pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const PRE: &str = "tokenizer.ggml.pre";
/// A token is a word or a few; in SentencePiece's, every way of cutting it in two is looked up.
const MAX_TOKEN_BYTES: usize = 1 << 10;
const MODEL: &str = "tokenizer.ggml.model";

/// How a text is split into words before pairs are merged. The expressions are those of the models'
/// own `tokenizer.json`.
struct Split {
    pre: &'static str,
    normalizer: Option<&'static str>,
    words: Words,
    /// Whether a word that is a token is taken as it is, without merging.
    ignore_merges: bool,
    /// Whether the first token goes before every text where the file does not say.
    add_bos: bool,
}

enum Words {
    /// GPT-2's expression, after every digit was set apart or not.
    Gpt2 { digits: bool },
    /// An expression.
    Regex(&'static str),
}

const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const SPLITS: [Split; 4] = [
    Split {
        pre: "gpt-2",
        normalizer: None,
        words: Words::Gpt2 { digits: false },
        ignore_merges: false,
        add_bos: false,
    },
    Split {
        pre: "smollm",
        normalizer: None,
        words: Words::Gpt2 { digits: true },
        ignore_merges: false,
        add_bos: false,
    },
    Split {
        pre: "qwen2",
        normalizer: Some("NFC"),
        words: Words::Regex(QWEN2),
        ignore_merges: false,
        add_bos: false,
    },
    Split {
        pre: "llama-bpe",
        normalizer: None,
        words: Words::Regex(LLAMA3),
        ignore_merges: true,
        add_bos: true,
    },
];

/// `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// The vocabulary: tokens by their ids, with their types.
pub(super) struct Vocabulary<'a> {
    pub(super) tokens: &'a [String],
    pub(super) types: Vec<Type>,
    /// The ids of those that are in use.
    pub(super) ids: HashMap<&'a str, usize>,
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: &'a Metadata) -> Result<Self, String> {
        let tokens = required(TOKENS, metadata.texts(TOKENS)?)?;
        let types = required(TYPES, metadata.integers(TYPES)?)?;
        if types.len() != tokens.len() {
            return Err(format!(
                "{TYPES} has {} entries and {TOKENS} has {}; expected as many",
                types.len(),
                tokens.len()
            ));
        }
        let types = types.iter().enumerate().map(|(id, kind)| match kind {
            1 => Ok(Type::Normal),
            2 => Ok(Type::Unknown),
            3 => Ok(Type::Control),
            4 => Ok(Type::UserDefined),
            5 => Ok(Type::Unused),
            6 => Ok(Type::Byte),
            kind => Err(format!("{TYPES} is {kind} for token {id}; expected 1 to 6")),
        });
        let types = types.collect::<Result<Vec<_>, _>>()?;
        let mut ids = HashMap::new();
        for (id, token) in tokens.iter().enumerate() {
            if types[id] == Type::Unused {
                continue;
            }
            if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
                return Err(format!(
                    "{TOKENS} has a token of {} bytes at {id}; expected 1 to {MAX_TOKEN_BYTES}",
                    token.len()
                ));
            }
            if let Some(first) = ids.insert(token.as_str(), id) {
                return Err(format!(
                    "{TOKENS} has {token:?} at {first} and at {id}; expected it once"
                ));
            }
        }
        Ok(Self { tokens, types, ids })
    }

    /// The table that a `tokenizer.json` has.
    pub(super) fn table(&self) -> Json {
        let entries = self.tokens.iter().zip(&self.types).enumerate();
        entries
            .filter(|(_, (_, kind))| **kind != Type::Unused)
            .map(|(id, (token, _))| (token.clone(), json!(id)))
            .collect()
    }

    /// The tokens that are matched whole before anything else.
    fn added(&self) -> Vec<Json> {
        let added = |(id, kind): (usize, &Type)| {
            let is_special = match kind {
                Type::Control | Type::Unknown => true,
                Type::UserDefined => false,
                Type::Normal | Type::Unused | Type::Byte => return None,
            };
            Some(json!({
                "id": id, "content": self.tokens[id], "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": is_special,
            }))
        };
        self.types.iter().enumerate().filter_map(added).collect()
    }
}

/// The token whose id stands under a key.
pub(super) fn token(metadata: &Metadata, key: &str) -> Result<Option<String>, String> {
    let Some(id) = metadata.count(key)? else {
        return Ok(None);
    };
    let tokens = required(TOKENS, metadata.texts(TOKENS)?)?;
    let token = usize::try_from(id).ok().and_then(|id| tokens.get(id));
    let token =
        token.ok_or_else(|| format!("{key} is {id}, and there are {} tokens", tokens.len()))?;
    Ok(Some(token.clone()))
}

/// The `tokenizer.json`.
pub(super) fn json(metadata: &Metadata) -> Result<Vec<u8>, String> {
    let vocabulary = Vocabulary::read(metadata)?;
    let model = required(MODEL, metadata.text(MODEL)?)?;
    let (mut tokenizer, add_bos) = match model {
        "gpt2" => byte_level(metadata, &vocabulary)?,
        "llama" => (sentencepiece::tokenizer(metadata, &vocabulary)?, true),
        other => {
            return Err(format!(
                "{MODEL} is {other:?}; only \"gpt2\" (byte-level BPE) and \"llama\" (SentencePiece BPE) are supported so far"
            ));
        }
    };
    tokenizer["version"] = json!("1.0");
    tokenizer["truncation"] = Json::Null;
    tokenizer["padding"] = Json::Null;
    tokenizer["added_tokens"] = json!(vocabulary.added());
    tokenizer["post_processor"] = around(metadata, add_bos)?;
    Ok(tokenizer.to_string().into_bytes())
}

/// What puts the first and the last token around a text.
fn around(metadata: &Metadata, add_bos: bool) -> Result<Json, String> {
    let flag = |key: &str, default| Ok::<_, String>(metadata.flag(key)?.unwrap_or(default));
    let ends = [
        (
            "tokenizer.ggml.add_bos_token",
            add_bos,
            "tokenizer.ggml.bos_token_id",
        ),
        (
            "tokenizer.ggml.add_eos_token",
            false,
            "tokenizer.ggml.eos_token_id",
        ),
    ];
    let mut sequence = vec![json!({ "Sequence": { "id": "A", "type_id": 0 } })];
    let mut specials = serde_json::Map::new();
    for (index, (key, default, id)) in ends.into_iter().enumerate() {
        if !flag(key, default)? {
            continue;
        }
        let token = token(metadata, id)?.ok_or_else(|| {
            format!("{id} is missing from the metadata, and that token is to stand around every text ({key})")
        })?;
        let place = index * sequence.len();
        sequence.insert(
            place,
            json!({ "SpecialToken": { "id": token, "type_id": 0 } }),
        );
        let number = metadata.count(id)?;
        let entry = json!({ "id": token, "ids": [number], "tokens": [token] });
        specials.insert(token, entry);
    }
    if specials.is_empty() {
        return Ok(Json::Null);
    }
    let mut pair = sequence.clone();
    pair.push(json!({ "Sequence": { "id": "B", "type_id": 1 } }));
    Ok(json!({
        "type": "TemplateProcessing", "single": sequence, "pair": pair,
        "special_tokens": specials,
    }))
}

/// Byte-level BPE with the merges of the file, and whether the first token goes before every text.
fn byte_level(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Result<(Json, bool), String> {
    let pre = required(PRE, metadata.text(PRE)?)?;
    let Some(split) = SPLITS.iter().find(|split| split.pre == pre) else {
        let known = SPLITS.iter().map(|split| format!("{:?}", split.pre));
        let known: Vec<_> = known.collect();
        return Err(format!(
            "{PRE} is {pre:?}, a way of splitting words that is not supported so far; only {} are",
            known.join(", ")
        ));
    };
    let key = "tokenizer.ggml.add_space_prefix";
    if metadata.flag(key)? == Some(true) {
        return Err(format!(
            "{key} is true; byte-level BPE is supported only without"
        ));
    }
    let byte_level = |use_regex| {
        json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": use_regex,
        })
    };
    let words = match &split.words {
        Words::Gpt2 { digits: false } => byte_level(true),
        Words::Gpt2 { digits: true } => json!({
            "type": "Sequence",
            "pretokenizers": [{ "type": "Digits", "individual_digits": true }, byte_level(true)],
        }),
        Words::Regex(regex) => json!({
            "type": "Sequence",
            "pretokenizers": [
                { "type": "Split", "pattern": { "Regex": regex }, "behavior": "Isolated", "invert": false },
                byte_level(false),
            ],
        }),
    };
    let tokenizer = json!({
        "normalizer": split.normalizer.map(|name| json!({ "type": name })),
        "pre_tokenizer": words,
        "decoder": byte_level(true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": split.ignore_merges, "vocab": vocabulary.table(),
            "merges": merges(metadata, vocabulary)?,
        },
    });
    Ok((tokenizer, split.add_bos))
}

/// Pairs of tokens that become one, the first first; all of them must be tokens.
fn merges<'a>(
    metadata: &'a Metadata,
    vocabulary: &Vocabulary<'_>,
) -> Result<Vec<[&'a str; 2]>, String> {
    let merges = required(MERGES, metadata.texts(MERGES)?)?;
    let pair = |(index, merge): (usize, &'a String)| {
        let pair = merge
            .split_once(' ')
            .filter(|(_, right)| !right.contains(' '));
        let Some((left, right)) = pair else {
            return Err(format!(
                "{MERGES} has {merge:?} at {index}; expected two tokens and a space between them"
            ));
        };
        let whole = [left, right].concat();
        let missing = [left, right, &whole]
            .into_iter()
            .find(|token| !vocabulary.ids.contains_key(token));
        match missing {
            None => Ok([left, right]),
            Some(token) => Err(format!(
                "{MERGES} has {merge:?} at {index}, but {token:?} is no token"
            )),
        }
    };
    merges.iter().enumerate().map(pair).collect()
}
