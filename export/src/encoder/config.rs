//! How an encoder's `config.json` reads.

use duoguard::Pooling;
use serde_json::Value;

use crate::config::Config;
use crate::fields::Fields;
use crate::labels::{labels, safe_label};
use crate::rope::Rope;

/// Our own architecture, which `transformers` does not have: the body of a BERT, and one linear
/// layer on what `pooling` makes of the last layer, `"mean"` or `"first_token"`. Its tensors are
/// named as those of `BertForSequenceClassification`, without a pooler, so `AutoModel` loads the
/// body.
pub(crate) const POOLED: &str = "DuoguardBertForSequenceClassification";

/// `transformers` takes these values for fields that are absent.
const DEFAULT_LAYER_NORM_EPS: f64 = 1e-12;
const DEFAULT_ROBERTA_PADDING: u64 = 1;

/// The kinds of encoders: how tensors are named, and what stands on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `bert.*`; a dense layer with tanh on the first token, then the labels.
    Bert,
    /// `roberta.*`; the same under other names, and positions begin behind the padding's id.
    Roberta,
    /// `bert.*`; the labels directly on the pooled tokens.
    Pooled,
}

/// What the feed-forward block has between its two projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x times the normal distribution's cumulative function of x.
    Gelu,
    /// The same, approximated with tanh.
    GeluTanh,
}

/// What an encoder's configuration says beyond that of a decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// Names of tensors, and the head.
    pub kind: Kind,
    /// What the head looks at.
    pub pooling: Pooling,
    /// The row of the position embedding that the first token takes.
    pub first_position: usize,
    /// Rows of the embedding of token types, of which the first is used.
    pub types: usize,
    /// The activation of the feed-forward block.
    pub activation: Activation,
}

/// Reads what is particular to encoders, and the rest.
pub(crate) fn read(
    fields: &Fields<'_>,
    (model_type, kind): (&str, Kind),
    safe: Option<&str>,
) -> Result<Config, String> {
    let names = labels(fields)?;
    let heads = fields.size("num_attention_heads")?;
    let rows = fields.size("max_position_embeddings")?;
    let first_position = match kind {
        Kind::Bert | Kind::Pooled => 0,
        Kind::Roberta => roberta_padding(fields)? + 1,
    };
    if first_position >= rows {
        return Err(format!(
            "max_position_embeddings is {rows}; expected more than pad_token_id and one, {first_position}, since positions begin there"
        ));
    }
    Ok(Config {
        model_type: model_type.to_owned(),
        qkv_bias: true,
        layers: fields.size("num_hidden_layers")?,
        hidden: fields.size("hidden_size")?,
        heads,
        kv_heads: heads,
        intermediate: fields.size("intermediate_size")?,
        vocabulary: fields.size("vocab_size")?,
        max_position: rows - first_position,
        norm_eps: fields
            .positive("layer_norm_eps")?
            .unwrap_or(DEFAULT_LAYER_NORM_EPS),
        rope: Rope {
            theta: 1.0,
            scaling: None,
        },
        tied: false,
        safe_label: safe_label(fields, &names, safe)?,
        labels: names,
        encoder: Some(Encoder {
            kind,
            pooling: pooling(fields, kind)?,
            first_position,
            types: fields.size("type_vocab_size")?,
            activation: activation(fields)?,
        }),
    })
}

/// RoBERTa counts positions from the row behind the padding's.
fn roberta_padding(fields: &Fields<'_>) -> Result<usize, String> {
    match fields.given("pad_token_id") {
        None => Ok(DEFAULT_ROBERTA_PADDING as usize),
        Some(value) => value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .map(|id| id as usize)
            .ok_or_else(|| format!("pad_token_id is {value}; expected a token id")),
    }
}

fn pooling(fields: &Fields<'_>, kind: Kind) -> Result<Pooling, String> {
    let found = fields.given("pooling");
    match (kind, found.map(Value::as_str)) {
        (Kind::Bert | Kind::Roberta, None) => Ok(Pooling::FirstToken),
        (Kind::Pooled, Some(Some("mean"))) => Ok(Pooling::Mean),
        (Kind::Pooled, Some(Some("first_token"))) => Ok(Pooling::FirstToken),
        (Kind::Pooled, _) => Err(format!(
            "pooling is {}; {POOLED} expects \"mean\" or \"first_token\"",
            found.unwrap_or(&Value::Null)
        )),
        (_, Some(_)) => Err(format!(
            "pooling is {}; only {POOLED} has that field, others judge their first token",
            found.unwrap_or(&Value::Null)
        )),
    }
}

fn activation(fields: &Fields<'_>) -> Result<Activation, String> {
    match fields.given("hidden_act").map(Value::as_str) {
        None | Some(Some("gelu")) => Ok(Activation::Gelu),
        Some(Some("gelu_new" | "gelu_pytorch_tanh")) => Ok(Activation::GeluTanh),
        _ => Err(format!(
            "hidden_act is {}; only \"gelu\", \"gelu_new\" and \"gelu_pytorch_tanh\" are supported so far",
            fields.given("hidden_act").unwrap_or(&Value::Null)
        )),
    }
}
