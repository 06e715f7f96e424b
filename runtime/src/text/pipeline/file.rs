//! Reading `tokenizer.json` in one pass.
//!
//! A model that says what it is before all else, as all do that the crate `tokenizers` writes, is
//! made of the text as it comes.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use super::normalizer::Normalizer;
use super::part::{Refusal, fields, kind};
use super::splits::{ByteLevelFields, Splits};
use super::{Pipeline, Trims};
use crate::text::token_model::TokenModel;

/// What is in a file. What it says of cutting, filling up and making text of tokens is not kept.
#[derive(Deserialize)]
struct File {
    version: String,
    #[serde(default)]
    truncation: Value,
    #[serde(default)]
    padding: Value,
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    model: TokenModel,
}

#[derive(Deserialize)]
struct Added {
    content: String,
    special: bool,
}

/// The tokenizer of a file.
pub(in super::super) fn read(bytes: &[u8]) -> Result<Pipeline, Refusal> {
    let file = serde_json::from_slice::<File>(bytes);
    file.map_err(|cause| match cause.is_data() {
        true => Refusal::Unknown(cause.to_string()),
        false => Refusal::Damaged(cause.to_string()),
    })?
    .pipeline()
}

impl File {
    fn pipeline(self) -> Result<Pipeline, Refusal> {
        if self.version != "1.0" {
            let version = format!("version {:?} of the format; 1.0 is known", self.version);
            return Err(Refusal::Unknown(version));
        }
        let unused = [
            ("truncation", &self.truncation),
            ("padding", &self.padding),
            ("decoder", &self.decoder),
        ];
        for (name, part) in unused {
            if !part.is_null() && !part.is_object() {
                return Err(Refusal::Damaged(format!("its {name} is no object")));
            }
        }
        // In a text that is checked, special tokens are what they are written with.
        if let Some(added) = self.added_tokens.iter().find(|added| !added.special) {
            let message = format!("added token {:?}, which is not special", added.content);
            return Err(Refusal::Unknown(message));
        }
        let vocabulary = self.model.vocabulary();
        let added = self.added_tokens.iter().map(|added| &*added.content);
        let added = added.filter(|token| !token.is_empty() && vocabulary.id(token).is_none());
        let splits = Splits::read(&self.pre_tokenizer)?;
        Ok(Pipeline {
            normalizer: Normalizer::read(&self.normalizer)?,
            trims: trims(&self.post_processor, &splits, &self.model)?,
            splits,
            added_tokens: added.collect::<HashSet<_>>().len(),
            model: self.model,
        })
    }
}

/// What the post-processor does to the places of tokens; without special tokens, it does no more.
fn trims(value: &Value, splits: &Splits, model: &TokenModel) -> Result<Option<Trims>, Refusal> {
    match (kind(value), splits, model) {
        _ if value.is_null() => Ok(None),
        (Some("TemplateProcessing"), ..) if is_around_text(&value["single"]) => Ok(None),
        // Of the spaces in what the other model does not know, a token does not tell.
        (Some("ByteLevel"), Splits::ByteLevel(_), TokenModel::Bpe(_)) => {
            let fields: ByteLevelFields = fields("post_processor", value)?;
            let keeps_first = fields.add_prefix_space;
            Ok(fields.trim_offsets.then_some(Trims { keeps_first }))
        }
        _ => Err(Refusal::part("post_processor", value)),
    }
}

/// Whether a template has the text in it, once.
fn is_around_text(template: &Value) -> bool {
    let pieces = template.as_array().map_or(&[][..], |pieces| pieces);
    let texts = pieces.iter().filter_map(|piece| piece.get("Sequence"));
    let ids: Vec<_> = texts.map(|text| &text["id"]).collect();
    ids == ["A"]
}
