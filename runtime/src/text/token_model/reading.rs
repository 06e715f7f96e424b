//! Reading a model of `tokenizer.json` as the text comes, without a tree of it.
//!
//! What is not written as the crate `tokenizers` writes it, or uses what only the crate's models
//! can, is an error here, as is what is wrong.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::TokenModel;
use super::bpe::{Bpe, Merges, Rules};
use super::unigram::Unigram;
use super::vocabulary::{Tokens, Vocabulary};

impl<'de> Deserialize<'de> for TokenModel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ModelVisitor)
    }
}

struct ModelVisitor;

impl<'de> Visitor<'de> for ModelVisitor {
    type Value = TokenModel;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a model whose first field is its type")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TokenModel, A::Error> {
        if map.next_key::<String>()?.as_deref() != Some("type") {
            return Err(A::Error::custom("model whose first field is not its type"));
        }
        let kind: String = map.next_value()?;
        match &*kind {
            "BPE" => Ok(TokenModel::Bpe(bpe(map)?)),
            "Unigram" => Ok(TokenModel::Unigram(unigram(map)?)),
            other => Err(A::Error::custom(format!("model of type {other}"))),
        }
    }
}

fn unigram<'de, A: MapAccess<'de>>(mut map: A) -> Result<Unigram, A::Error> {
    let (mut unknown, mut byte_fallback) = (None, false);
    let mut scored = None::<Scored>;
    while let Some(key) = map.next_key::<String>()? {
        match &*key {
            "unk_id" => unknown = map.next_value()?,
            "byte_fallback" => byte_fallback = map.next_value()?,
            "vocab" => scored = Some(map.next_value()?),
            other => return Err(A::Error::custom(format!("model with a field {other}"))),
        }
    }
    let scored = scored.ok_or_else(|| A::Error::missing_field("vocab"))?;
    let vocabulary = Vocabulary::new(scored.tokens);
    Unigram::new(vocabulary, scored.scores, unknown, byte_fallback)
        .ok_or_else(|| A::Error::custom("model whose unknown token is not there"))
}

/// The vocabulary of a Unigram model: tokens with their scores.
#[derive(Default)]
struct Scored {
    tokens: Tokens,
    scores: Vec<f64>,
}

impl<'de> Deserialize<'de> for Scored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ScoredVisitor)
    }
}

struct ScoredVisitor;

impl<'de> Visitor<'de> for ScoredVisitor {
    type Value = Scored;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tokens with their scores")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scored, A::Error> {
        let mut scored = Scored::default();
        while let Some(((), score)) = list.next_element_seed(Pair {
            first: Text(|token: &str| scored.tokens.push(token)),
            second: PhantomData::<f64>,
        })? {
            scored.scores.push(score);
        }
        Ok(scored)
    }
}

fn bpe<'de, A: MapAccess<'de>>(mut map: A) -> Result<Bpe, A::Error> {
    let refused = A::Error::custom;
    let mut vocabulary = None::<Vocabulary>;
    let mut merges = None::<Merges>;
    let mut unknown = None::<String>;
    let (mut byte_fallback, mut rules) = (None::<bool>, Rules::default());
    while let Some(key) = map.next_key::<String>()? {
        match &*key {
            "unk_token" => unknown = map.next_value()?,
            "fuse_unk" => rules.fuses_unknown = map.next_value::<Option<_>>()?.unwrap_or(false),
            "byte_fallback" => byte_fallback = map.next_value()?,
            "ignore_merges" => {
                rules.ignores_merges = map.next_value::<Option<_>>()?.unwrap_or(false);
            }
            // Dropout helps training alone.
            "dropout" => drop(map.next_value::<Option<f32>>()?),
            "continuing_subword_prefix" | "end_of_word_suffix" => {
                let affix = map.next_value::<Option<String>>()?;
                if affix.is_some_and(|affix| !affix.is_empty()) {
                    return Err(A::Error::custom(format!("model with a {key}")));
                }
            }
            "vocab" => vocabulary = Some(Vocabulary::new(map.next_value::<InOrder>()?.0)),
            "merges" => {
                let vocabulary = vocabulary.as_ref();
                let vocabulary = vocabulary
                    .ok_or_else(|| refused("model whose merges stand before its tokens"))?;
                merges = Some(map.next_value_seed(MergesOf(vocabulary))?);
            }
            other => return Err(A::Error::custom(format!("model with a field {other}"))),
        };
    }
    let (Some(vocabulary), Some(merges)) = (vocabulary, merges) else {
        return Err(refused("model without vocabulary or merges"));
    };
    if let Some(token) = unknown {
        let id = vocabulary.id(&token);
        rules.unknown = Some(id.ok_or_else(|| refused("model whose unknown token is not there"))?);
    }
    if byte_fallback == Some(true) {
        rules.bytes = Some(Box::new(vocabulary.byte_tokens()));
    }
    Ok(Bpe::new(vocabulary, merges, rules))
}

/// The vocabulary of a BPE model, if its tokens stand in the order of their ids.
struct InOrder(Tokens);

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrderVisitor)
    }
}

struct InOrderVisitor;

impl<'de> Visitor<'de> for InOrderVisitor {
    type Value = InOrder;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tokens and their ids, from 0 on")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder, A::Error> {
        let mut tokens = Tokens::default();
        while map
            .next_key_seed(Text(|token: &str| tokens.push(token)))?
            .is_some()
        {
            let id: usize = map.next_value()?;
            if id + 1 != tokens.len() {
                return Err(A::Error::custom("model whose ids are not in order"));
            }
        }
        Ok(InOrder(tokens))
    }
}

/// Reads the merges of a vocabulary.
struct MergesOf<'a>(&'a Vocabulary);

impl<'de> DeserializeSeed<'de> for MergesOf<'_> {
    type Value = Merges;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Merges, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for MergesOf<'_> {
    type Value = Merges;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pairs of tokens")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merges, A::Error> {
        // Every merge makes a token.
        let mut merges = HashMap::with_capacity(self.0.len());
        let mut both = String::new();
        let mut ranks = 0..;
        while let Some(pair) = list.next_element_seed(MergeOf(self.0))? {
            let token = |id| self.0.token(id).unwrap_or_default();
            both.clear();
            both.push_str(token(pair.0));
            both.push_str(token(pair.1));
            let id = self
                .0
                .id(&both)
                .ok_or_else(|| A::Error::custom("merge without its token"))?;
            merges.extend(ranks.next().map(|rank| (pair, (rank, id))));
        }
        Ok(merges)
    }
}

/// Reads a merge: a list of two tokens, or both in one string with a space between them, as they
/// were written once.
struct MergeOf<'a>(&'a Vocabulary);

impl<'de> DeserializeSeed<'de> for MergeOf<'_> {
    type Value = (u32, u32);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MergeOf<'_> {
    type Value = (u32, u32);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("two tokens")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let pair = text.split_once(' ');
        // A line with the version came first, in a file of merges.
        let pair =
            pair.filter(|(first, second)| !second.contains(' ') && !first.starts_with("#version"));
        let ids = pair.and_then(|(first, second)| self.0.id(first).zip(self.0.id(second)));
        ids.ok_or_else(|| E::custom("merge of what is not two tokens"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        let id = |token: &str| self.0.id(token);
        let pair = Pair {
            first: Text(id),
            second: Text(id),
        };
        pair.visit_seq(list)
    }
}

/// Reads a list of two values.
struct Pair<F, S> {
    first: F,
    second: S,
}

impl<'de, F: DeserializeSeed<'de>, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Pair<F, S> {
    type Value = (F::Value, S::Value);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_tuple(2, self)
    }
}

impl<'de, F: DeserializeSeed<'de>, S: DeserializeSeed<'de>> Visitor<'de> for Pair<F, S> {
    type Value = (F::Value, S::Value);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of two values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let first = list.next_element_seed(self.first)?;
        let second = list.next_element_seed(self.second)?;
        let both = first.zip(second);
        both.ok_or_else(|| A::Error::invalid_length(1, &"a list of two values"))
    }
}

/// Reads a string without a copy of it, and gives what the function makes of it.
struct Text<F>(F);

impl<'de, T, F: FnMut(&str) -> Option<T>> DeserializeSeed<'de> for Text<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: FnMut(&str) -> Option<T>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<T, E> {
        (self.0)(text).ok_or_else(|| E::custom("a token that is not there, or no room for it"))
    }
}
