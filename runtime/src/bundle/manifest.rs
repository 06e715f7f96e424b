//! `manifest.json`: what a bundle says about itself.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::files::{HASHED_FILES, MAX_MANIFEST_BYTES, OPTIONAL_BUNDLE_FILES, STREAM};
use crate::byte_order_mark::without_byte_order_mark;
use crate::error::{Error, Result};
use crate::language_tag::parse_language_tag;
use crate::policy::Policy;
use crate::text::language::UNDETERMINED;

/// The bundle format that this version of the crate writes and reads.
pub const FORMAT_VERSION: u32 = 1;
/// The largest number of categories a model may have.
pub const MAX_CATEGORIES: usize = 1024;
/// The longest window, in tokens, that a manifest may ask for.
pub const MAX_WINDOW_TOKENS: usize = 32_768;

/// The description of a bundle, as it lies in `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the bundle format: [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The model's name.
    pub name: String,
    /// The network's shape.
    pub architecture: Architecture,
    /// The categories, in the order of the graph's logits.
    pub categories: Vec<String>,
    /// The languages, as BCP-47 tags, of the logits that follow those of the categories: their
    /// softmax says which one a window is written in. Most models have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// The thresholds.
    pub policy: Policy,
    /// How long a text the network sees at once.
    pub limits: Limits,
    /// The ids of special tokens that stand before every window, such as Llama's
    /// `<|begin_of_text|>`; most models have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefix_tokens: Vec<u32>,
    /// The ids of special tokens that stand behind every window, such as BERT's `[SEP]`; decoders
    /// have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suffix_tokens: Vec<u32>,
    /// The SHA-256, in hexadecimal, of every other file of the bundle.
    pub files: BTreeMap<String, String>,
    /// How the weights were quantised and what that cost; not interpreted here.
    #[serde(default)]
    pub quantization: serde_json::Value,
    /// What quantising changed, per language and category, and whether that was within the
    /// tolerance; not interpreted here.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub certificate: serde_json::Value,
    /// Data, licences, recipe, metrics; not interpreted here.
    #[serde(default)]
    pub provenance: serde_json::Value,
}

/// The shape of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// The `model_type` of the checkpoint's `config.json`, such as `qwen2`.
    pub model_type: String,
    /// Number of transformer layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width inside the feed-forward block.
    pub intermediate: usize,
    /// Rows of the token embedding.
    pub vocabulary: usize,
    /// The longest sequence, in tokens, that the graph accepts.
    pub max_position: usize,
    /// Which of the last layer's tokens are judged.
    #[serde(default, skip_serializing_if = "Pooling::is_default")]
    pub pooling: Pooling,
}

/// Which of the last layer's tokens a network judges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The last one, as decoders do, in which a token sees those before it.
    #[default]
    LastToken,
    /// The first one: that of an encoder, in which every token sees every other.
    FirstToken,
    /// The mean of an encoder's tokens.
    Mean,
}

impl Pooling {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How a long text is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Tokens in one window.
    pub window_tokens: usize,
    /// Tokens that neighbouring windows share.
    pub overlap_tokens: usize,
}

impl Manifest {
    /// Reads and validates the bytes of a `manifest.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(Error::model(format!(
                "manifest.json: {} bytes, more than the {MAX_MANIFEST_BYTES} allowed",
                bytes.len()
            )));
        }
        check_version(bytes)?;
        let manifest: Self =
            serde_json::from_slice(without_byte_order_mark(bytes)).map_err(damaged)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// How many logits the graph gives: one for each category, then one for each language.
    pub fn outputs(&self) -> usize {
        self.categories.len() + self.languages.len()
    }

    /// Checks that the manifest does not contradict itself.
    pub fn validate(&self) -> Result<()> {
        self.validate_format()?;
        self.validate_architecture()?;
        self.validate_categories()?;
        self.validate_languages()?;
        self.policy.validate(&self.categories)?;
        self.validate_limits()?;
        self.validate_files()
    }

    fn validate_format(&self) -> Result<()> {
        if self.format_version != FORMAT_VERSION {
            return Err(wrong_version(u64::from(self.format_version)));
        }
        Ok(())
    }

    fn validate_architecture(&self) -> Result<()> {
        let a = &self.architecture;
        let sizes = [
            ("layers", a.layers),
            ("hidden", a.hidden),
            ("heads", a.heads),
            ("kv_heads", a.kv_heads),
            ("intermediate", a.intermediate),
            ("vocabulary", a.vocabulary),
            ("max_position", a.max_position),
        ];
        match sizes.iter().find(|(_, size)| *size == 0) {
            Some((field, _)) => Err(Error::model(format!(
                "manifest.json: architecture.{field} is 0; expected at least 1"
            ))),
            None => Ok(()),
        }
    }

    fn validate_categories(&self) -> Result<()> {
        let count = self.categories.len();
        if count == 0 || count > MAX_CATEGORIES {
            return Err(Error::model(format!(
                "manifest.json: {count} categories; expected 1 to {MAX_CATEGORIES}"
            )));
        }
        let mut seen = BTreeSet::new();
        for category in &self.categories {
            if category.is_empty() || !seen.insert(category) {
                return Err(Error::model(format!(
                    "manifest.json: category {category:?} is empty or listed twice; names must be \
                     unique"
                )));
            }
        }
        Ok(())
    }

    fn validate_languages(&self) -> Result<()> {
        let count = self.languages.len();
        if count == 1 || count > MAX_CATEGORIES {
            return Err(Error::model(format!(
                "manifest.json: {count} languages; expected none, or 2 to {MAX_CATEGORIES}"
            )));
        }
        let mut seen = BTreeSet::new();
        for language in &self.languages {
            let is_tag = parse_language_tag(language).is_ok_and(|tag| tag == *language);
            if !is_tag || language == UNDETERMINED || !seen.insert(language) {
                return Err(Error::model(format!(
                    "manifest.json: languages has {language:?}; expected BCP-47 tags such as \
                     \"fr\", each once"
                )));
            }
        }
        Ok(())
    }

    fn validate_limits(&self) -> Result<()> {
        let Limits {
            window_tokens,
            overlap_tokens,
        } = self.limits;
        let max_position = self.architecture.max_position;
        if window_tokens == 0 || window_tokens > MAX_WINDOW_TOKENS {
            return Err(Error::model(format!(
                "manifest.json: limits.window_tokens is {window_tokens}; expected 1 to \
                 {MAX_WINDOW_TOKENS}"
            )));
        }
        let (prefix, suffix) = (self.prefix_tokens.len(), self.suffix_tokens.len());
        let around = prefix + suffix;
        if around >= max_position || window_tokens > max_position - around {
            let with = match (prefix, suffix) {
                (0, 0) => String::new(),
                (_, 0) => format!(" with {prefix} prefix_tokens before it"),
                (0, _) => format!(" with {suffix} suffix_tokens behind it"),
                _ => format!(" with {prefix} prefix_tokens and {suffix} suffix_tokens around it"),
            };
            return Err(Error::model(format!(
                "manifest.json: limits.window_tokens is {window_tokens}{with}, more than \
                 architecture.max_position, {max_position}"
            )));
        }
        let vocabulary = self.architecture.vocabulary;
        for (field, ids) in [
            ("prefix_tokens", &self.prefix_tokens),
            ("suffix_tokens", &self.suffix_tokens),
        ] {
            if let Some(id) = ids.iter().find(|id| **id as usize >= vocabulary) {
                return Err(Error::model(format!(
                    "manifest.json: {field} has {id}; expected less than \
                     architecture.vocabulary, {vocabulary}"
                )));
            }
        }
        let is_causal = self.architecture.pooling == Pooling::LastToken && suffix == 0;
        if self.files.contains_key(STREAM) && !is_causal {
            return Err(Error::model(format!(
                "manifest.json: files lists {STREAM}, which a model with suffix_tokens, or whose \
                 architecture.pooling is not \"last_token\", cannot have: its text does not go on \
                 from the tokens before"
            )));
        }
        if overlap_tokens >= window_tokens {
            return Err(Error::model(format!(
                "manifest.json: limits.overlap_tokens is {overlap_tokens}; expected less than \
                 limits.window_tokens, {window_tokens}"
            )));
        }
        Ok(())
    }

    fn validate_files(&self) -> Result<()> {
        for name in HASHED_FILES.into_iter().chain(OPTIONAL_BUNDLE_FILES) {
            let Some(hash) = self.files.get(name) else {
                if OPTIONAL_BUNDLE_FILES.contains(&name) {
                    continue;
                }
                return Err(Error::model(format!(
                    "manifest.json: files has no entry for {name}; expected its SHA-256"
                )));
            };
            if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(Error::model(format!(
                    "manifest.json: files[{name:?}] is {hash:?}; expected 64 hexadecimal digits"
                )));
            }
        }
        Ok(())
    }
}

/// Looks at the version alone, first: a newer manifest may have fields that this version does not
/// know.
fn check_version(bytes: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Version {
        format_version: u64,
    }
    let version: Version =
        serde_json::from_slice(without_byte_order_mark(bytes)).map_err(damaged)?;
    if version.format_version != u64::from(FORMAT_VERSION) {
        return Err(wrong_version(version.format_version));
    }
    Ok(())
}

fn wrong_version(found: u64) -> Error {
    let advice = if found > u64::from(FORMAT_VERSION) {
        "the bundle was made by a newer duoguard: update this one, or export the model again with \
         this version"
    } else {
        "no such version was ever written: export the model again"
    };
    Error::unsupported(format!(
        "manifest.json: format_version is {found}; this version of duoguard reads \
         {FORMAT_VERSION}; {advice}"
    ))
}

fn damaged(cause: serde_json::Error) -> Error {
    Error::model(format!(
        "manifest.json: not a valid manifest: {cause}; get the bundle again or export the model \
         again"
    ))
}
