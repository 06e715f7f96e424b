//! The tables `[base]`, `[tokenizer]` and `[model]`: what a run starts from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use duoguard_export::Llama3Scaling;
use serde::Deserialize;

use super::pretrain::PretrainRecipe;
use super::range::{Check, below_one, of_table, positive};

/// A head's width is a multiple of this: ONNX Runtime's rotary attention takes no other.
const HEAD_SIZE_STEP: usize = 16;
/// The widest residual stream.
const MAX_HIDDEN: usize = 65_536;

/// A network that is trained already.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaseRecipe {
    /// A Hugging Face folder or a GGUF file of the Qwen2 or Llama family, the bundle of a decoder
    /// that was trained here, or with `encoder` a folder of a `BertModel`; relative to the data.
    pub checkpoint: PathBuf,
    /// Said of encoders alone.
    #[serde(default)]
    pub encoder: Option<EncoderRecipe>,
}

/// What is particular to training an encoder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EncoderRecipe {
    /// Text before every window, such as `query:`; absent: none.
    #[serde(default)]
    pub prefix_text: Option<String>,
    /// How many of its layers, from the lowest on; absent: all.
    #[serde(default)]
    pub layers: Option<usize>,
    /// The lowest layers that are not trained; the embeddings never are.
    pub frozen_layers: usize,
    /// A layer learns at this fraction of the rate of the layer above, in (0, 1].
    pub layer_decay: f64,
    /// The classifier, which starts from nothing, learns at this multiple of the rate.
    pub classifier_rate: f64,
    /// Probability that a value is dropped where it enters the residual stream, in layers that are
    /// trained, and before the classifier.
    pub dropout: f64,
    /// Whether the rows of all matrices are rounded to what 8 bits hold when the layers have
    /// learned, before the language head is tuned: an export as int8 then changes no weight.
    #[serde(default)]
    pub round_weights: bool,
}

impl EncoderRecipe {
    fn checks(&self) -> Vec<Check> {
        of_table(
            "base.encoder",
            [
                (
                    "layer_decay",
                    self.layer_decay > 0.0 && self.layer_decay <= 1.0,
                    "a fraction in (0, 1]",
                ),
                (
                    "classifier_rate",
                    positive(self.classifier_rate),
                    "a positive number",
                ),
                (
                    "dropout",
                    below_one(self.dropout),
                    "a probability in [0, 1)",
                ),
            ],
        )
    }
}

/// Where a run starts.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// From a checkpoint with its tokenizer.
    Checkpoint(BaseRecipe),
    /// From random weights: tokenizer, shape and stage 0 are the recipe's.
    Scratch {
        /// The tokenizer to train.
        tokenizer: TokenizerRecipe,
        /// The network's shape.
        model: ModelRecipe,
        /// Stage 0.
        pretrain: PretrainRecipe,
    },
}

impl Start {
    /// What is said of an encoder, where the run starts from one.
    pub(crate) fn encoder(&self) -> Option<&EncoderRecipe> {
        match self {
            Self::Checkpoint(base) => base.encoder.as_ref(),
            Self::Scratch { .. } => None,
        }
    }

    /// Longest input in tokens, where the recipe says it; a checkpoint's own limit is known when it
    /// is opened.
    pub(super) fn max_position(&self) -> usize {
        match self {
            Self::Checkpoint(_) => usize::MAX,
            Self::Scratch { model, .. } => model.max_position,
        }
    }

    pub(super) fn checks(&self) -> Vec<Check> {
        match self {
            Self::Checkpoint(base) => base
                .encoder
                .as_ref()
                .map_or(Vec::new(), EncoderRecipe::checks),
            Self::Scratch {
                tokenizer,
                model,
                pretrain,
            } => {
                let mut checks = tokenizer.checks();
                checks.extend(model.checks());
                checks.extend(pretrain.checks(model.max_position));
                checks
            }
        }
    }
}

/// The tokenizer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenizerRecipe {
    /// Tokens, the 256 bytes and the end-of-text token included.
    pub vocabulary: usize,
    /// Learn from as much text of every language; absent: from the texts as they come.
    #[serde(default)]
    pub balance: Option<BalanceRecipe>,
}

/// How much text of each language a tokenizer learns from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BalanceRecipe {
    /// Bytes of a language; those that have fewer are read again.
    pub bytes: usize,
    /// Language -> factor on its bytes (1 where absent).
    #[serde(default)]
    pub language_weight: BTreeMap<String, f64>,
}

/// The network's shape: a Qwen2 decoder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads; `hidden` is a multiple of 16 times this.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width inside the feed-forward part.
    pub intermediate: usize,
    /// Longest input in tokens.
    pub max_position: usize,
    /// Base of the rotary position encoding.
    pub rope_theta: f64,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f64,
    /// How the rotary frequencies of an imported network are stretched.
    #[serde(skip)]
    pub rope_scaling: Option<Llama3Scaling>,
    /// Whether the language-model head is the embedding; an imported network may have one of its
    /// own.
    #[serde(skip, default = "yes")]
    pub tied: bool,
    /// Whether queries, keys and values have biases: those of Qwen2 have, those of Llama have not.
    #[serde(skip, default = "yes")]
    pub qkv_bias: bool,
}

fn yes() -> bool {
    true
}

impl ModelRecipe {
    /// Width of one head.
    pub fn head_size(&self) -> usize {
        self.hidden / self.heads
    }

    fn checks(&self) -> Vec<Check> {
        // Within these their product does not overflow.
        let heads = (1..=MAX_HIDDEN).contains(&self.hidden)
            && (1..=self.hidden).contains(&self.heads)
            && self.hidden.is_multiple_of(HEAD_SIZE_STEP * self.heads);
        of_table(
            "model",
            [
                ("layers", (1..=256).contains(&self.layers), "1 to 256"),
                (
                    "hidden",
                    heads,
                    "a multiple of 16 x model.heads, at most 65536",
                ),
                (
                    "kv_heads",
                    self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads),
                    "a divisor of model.heads",
                ),
                (
                    "intermediate",
                    (1..=1_000_000).contains(&self.intermediate),
                    "1 to 1000000",
                ),
                (
                    "max_position",
                    (1..=1_000_000).contains(&self.max_position),
                    "1 to 1000000",
                ),
                ("rope_theta", positive(self.rope_theta), "a positive number"),
                ("norm_eps", positive(self.norm_eps), "a positive number"),
            ],
        )
    }
}

impl TokenizerRecipe {
    fn checks(&self) -> Vec<Check> {
        let balance = self.balance.as_ref();
        let mut weights = balance.iter().flat_map(|b| b.language_weight.values());
        of_table(
            "tokenizer",
            [
                (
                    "vocabulary",
                    (257..=1_000_000).contains(&self.vocabulary),
                    "257 (the bytes and one special token) to 1000000",
                ),
                (
                    "balance.bytes",
                    balance.is_none_or(|b| (1..=1_000_000_000).contains(&b.bytes)),
                    "1 to 1000000000",
                ),
                (
                    "balance.language_weight",
                    weights.all(|&weight| positive(weight)),
                    "positive numbers",
                ),
            ],
        )
    }
}
