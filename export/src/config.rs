//! `config.json`: the shape of the network, and whether we can export it.

use std::path::Path;

use serde_json::{Map, Value};

use crate::encoder::config::{self as encoder, Encoder, Kind};
use crate::error::ExportError;
use crate::fields::Fields;
use crate::labels::{labels, safe_label};
use crate::rope::{Llama3Scaling, Rope};
use crate::small::read_small;

/// A kind of network that can be exported.
pub(crate) struct Family {
    classifier: &'static str,
    /// `None` where the trainer starts from no such thing.
    language_model: Option<&'static str>,
    model_type: &'static str,
    /// What kind of encoder it is; `None` for a decoder.
    encoder: Option<Kind>,
    /// Whether the query, key and value projections have biases.
    qkv_bias: bool,
    /// Fields that must be absent or have this value.
    fixed: &'static [(&'static str, bool)],
}

/// What stands on top of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// `score.weight`: a logit for every label. What can be exported.
    Labels,
    /// `lm_head.weight`, or the embedding once more: a logit for every token. What the trainer
    /// starts from.
    Tokens,
}

/// The networks that this version reads.
const FAMILIES: [Family; 6] = [
    Family {
        classifier: "Qwen2ForSequenceClassification",
        language_model: Some("Qwen2ForCausalLM"),
        model_type: "qwen2",
        encoder: None,
        qkv_bias: true,
        fixed: &[],
    },
    Family {
        classifier: "LlamaForSequenceClassification",
        language_model: Some("LlamaForCausalLM"),
        model_type: "llama",
        encoder: None,
        qkv_bias: false,
        fixed: &[("attention_bias", false), ("mlp_bias", false)],
    },
    encoder_family("BertForSequenceClassification", "bert", Kind::Bert),
    encoder_family("RobertaForSequenceClassification", "roberta", Kind::Roberta),
    encoder_family(
        "XLMRobertaForSequenceClassification",
        "xlm-roberta",
        Kind::Roberta,
    ),
    encoder_family(encoder::POOLED, "bert", Kind::Pooled),
];

const fn encoder_family(classifier: &'static str, model_type: &'static str, kind: Kind) -> Family {
    Family {
        classifier,
        language_model: None,
        model_type,
        encoder: Some(kind),
        qkv_bias: true,
        fixed: &[("is_decoder", false), ("add_cross_attention", false)],
    }
}

/// `transformers` takes these values for fields that are absent.
const DEFAULT_NORM_EPS: f64 = 1e-6;
const DEFAULT_ROPE_THETA: f64 = 10_000.0;
const DEFAULT_MAX_WINDOW_LAYERS: u64 = 28;

/// The shape of a network with a classification head.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The `model_type`, such as `qwen2` or `bert`.
    pub model_type: String,
    /// Whether the query, key and value projections have biases.
    pub qkv_bias: bool,
    /// Transformer layers.
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
    /// The longest sequence the network was made for.
    pub max_position: usize,
    /// Added to the mean square, or the variance, in normalisation.
    pub norm_eps: f64,
    /// The rotary embedding's frequencies; encoders have none.
    pub rope: Rope,
    /// Whether a language model's head is its embedding. Without the field `tie_word_embeddings`:
    /// as the family has it.
    pub tied: bool,
    /// The names in `id2label`, in order; empty when the file has none.
    pub labels: Vec<String>,
    /// The label that stands for harmless text, where labels exclude each other (softmax); `None`
    /// where each has a probability of its own (sigmoid).
    pub safe_label: Option<usize>,
    /// How an encoder differs from a decoder; `None` for a decoder.
    pub encoder: Option<Encoder>,
}

impl Config {
    /// Reads `config.json`. An error names the first field that is missing, impossible or not
    /// supported.
    ///
    /// `safe_label` is the name of the label that stands for harmless text, where the caller says
    /// so; then labels exclude each other.
    pub fn open(path: &Path, head: Head, safe_label: Option<&str>) -> Result<Self, ExportError> {
        let bytes = read_small(path)?;
        Self::from_json(&bytes, head, safe_label)
            .map_err(|message| ExportError::checkpoint(path, message))
    }

    fn from_json(bytes: &[u8], head: Head, safe: Option<&str>) -> Result<Self, String> {
        let fields: Map<String, Value> = serde_json::from_slice(bytes)
            .map_err(|cause| format!("not a JSON object: {cause}; get the checkpoint again"))?;
        Self::from_map(&fields, head, safe)
    }

    /// Reads the fields of a `config.json`, wherever they come from.
    pub(crate) fn from_map(
        fields: &Map<String, Value>,
        head: Head,
        safe: Option<&str>,
    ) -> Result<Self, String> {
        let fields = Fields(fields);
        let family = family(&fields, head)?;
        let config = match family.encoder {
            None => Self::from_fields(&fields, family, safe)?,
            Some(kind) => encoder::read(&fields, (family.model_type, kind), safe)?,
        };
        config.check_supported(&fields, family)?;
        Ok(config)
    }

    fn from_fields(
        fields: &Fields<'_>,
        family: &Family,
        safe: Option<&str>,
    ) -> Result<Self, String> {
        let labels = labels(fields)?;
        Ok(Self {
            model_type: family.model_type.to_owned(),
            qkv_bias: family.qkv_bias,
            layers: fields.size("num_hidden_layers")?,
            hidden: fields.size("hidden_size")?,
            heads: fields.size("num_attention_heads")?,
            kv_heads: match fields.given("num_key_value_heads") {
                None if !family.qkv_bias => fields.size("num_attention_heads")?,
                _ => fields.size("num_key_value_heads")?,
            },
            intermediate: fields.size("intermediate_size")?,
            vocabulary: fields.size("vocab_size")?,
            max_position: fields.size("max_position_embeddings")?,
            norm_eps: fields.positive("rms_norm_eps")?.unwrap_or(DEFAULT_NORM_EPS),
            rope: rope(fields)?,
            tied: match fields.given("tie_word_embeddings") {
                None => family.qkv_bias,
                Some(Value::Bool(tied)) => *tied,
                Some(value) => {
                    return Err(format!(
                        "tie_word_embeddings is {value}; expected true or false"
                    ));
                }
            },
            safe_label: safe_label(fields, &labels, safe)?,
            labels,
            encoder: None,
        })
    }

    fn check_supported(&self, fields: &Fields<'_>, family: &Family) -> Result<(), String> {
        if !self.hidden.is_multiple_of(self.heads) {
            return Err(format!(
                "hidden_size {} is not a multiple of num_attention_heads {}",
                self.hidden, self.heads
            ));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(format!(
                "num_attention_heads {} is not a multiple of num_key_value_heads {}",
                self.heads, self.kv_heads
            ));
        }
        let supported = |name: &str, expected: Value| match fields.given(name) {
            Some(value) if *value != expected => Err(format!(
                "{name} is {value}; only {expected} is supported so far"
            )),
            _ => Ok(()),
        };
        supported("quantization_config", Value::Null)?;
        for (name, expected) in family.fixed {
            supported(name, (*expected).into())?;
        }
        if family.encoder.is_some() {
            return supported("position_embedding_type", "absolute".into());
        }
        if !self.head_size().is_multiple_of(HEAD_SIZE_MULTIPLE) {
            return Err(format!(
                "the head size (hidden_size / num_attention_heads) is {}; ONNX Runtime's rotary attention needs a multiple of {HEAD_SIZE_MULTIPLE}",
                self.head_size()
            ));
        }
        supported("hidden_act", "silu".into())?;
        supported("head_dim", self.head_size().into())?;
        self.check_window(fields)?;
        if let Some(Value::Array(kinds)) = fields.given("layer_types")
            && let Some(kind) = kinds.iter().find(|kind| *kind != "full_attention")
        {
            return Err(format!(
                "layer_types has {kind}; only \"full_attention\" is supported so far"
            ));
        }
        Ok(())
    }

    /// Refuses a sliding window that is in use: one that is switched on, and on for some of the
    /// layers.
    fn check_window(&self, fields: &Fields<'_>) -> Result<(), String> {
        match fields.given("use_sliding_window") {
            None | Some(Value::Bool(false)) => return Ok(()),
            Some(Value::Bool(true)) => {}
            Some(value) => {
                return Err(format!(
                    "use_sliding_window is {value}; expected true or false"
                ));
            }
        }
        let is_null = fields.0.get("sliding_window") == Some(&Value::Null);
        let first = match fields.given("max_window_layers") {
            None => DEFAULT_MAX_WINDOW_LAYERS,
            Some(value) => value.as_u64().ok_or_else(|| {
                format!("max_window_layers is {value}; expected a number of layers")
            })?,
        };
        if is_null || first >= self.layers as u64 {
            return Ok(());
        }
        Err(format!(
            "use_sliding_window is true and layers {first} to {} use it; attention within a sliding window is not supported so far",
            self.layers - 1
        ))
    }

    /// Width of one head.
    pub fn head_size(&self) -> usize {
        self.hidden / self.heads
    }

    /// Width of all key heads, or of all value heads.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_size()
    }
}

/// ONNX Runtime 1.32 refuses rotary attention with other head sizes.
const HEAD_SIZE_MULTIPLE: usize = 16;

/// What `architectures` names a decoder of a family; `None` for a family that there is not.
pub(crate) fn architecture(model_type: &str, head: Head) -> Option<&'static str> {
    let is_decoder = |family: &&Family| family.encoder.is_none() && family.model_type == model_type;
    let family = FAMILIES.iter().find(is_decoder)?;
    match head {
        Head::Labels => Some(family.classifier),
        Head::Tokens => family.language_model,
    }
}

fn family(fields: &Fields<'_>, head: Head) -> Result<&'static Family, String> {
    let found = fields.0.get("architectures").unwrap_or(&Value::Null);
    let wanted = |family: &Family| match head {
        Head::Labels => Some(family.classifier),
        Head::Tokens => family.language_model,
    };
    let is_found = |family: &&Family| {
        let wanted = wanted(family);
        wanted.is_some_and(
            |wanted| matches!(found, Value::Array(names) if names.len() == 1 && names[0] == wanted),
        )
    };
    let Some(family) = FAMILIES.iter().find(is_found) else {
        let known: Vec<_> = FAMILIES.iter().filter_map(wanted).collect();
        let known: Vec<_> = known.iter().map(|name| format!("[\"{name}\"]")).collect();
        return Err(format!(
            "architectures is {found}; only {} are supported so far",
            known.join(" and ")
        ));
    };
    match fields.0.get("model_type") {
        Some(kind) if kind == family.model_type => Ok(family),
        kind => Err(format!(
            "model_type is {}; expected \"{}\", as architectures is {found}",
            kind.unwrap_or(&Value::Null),
            family.model_type
        )),
    }
}

/// `rope_theta` stands by itself in older files, and within `rope_parameters` in newer ones.
fn rope(fields: &Fields<'_>) -> Result<Rope, String> {
    let mut theta = fields.positive("rope_theta")?;
    let mut scaling = None;
    for name in ["rope_scaling", "rope_parameters"] {
        let table = match fields.given(name) {
            None => continue,
            Some(Value::Object(table)) => Fields(table),
            Some(value) => return Err(format!("{name} is {value}; expected an object")),
        };
        let inside = |message| format!("{name}: {message}");
        let kind = table.given("rope_type").or_else(|| table.given("type"));
        match kind.map(Value::as_str) {
            None | Some(Some("default")) => {}
            Some(Some("llama3")) => scaling = Some(llama3(&table).map_err(inside)?),
            _ => {
                return Err(format!(
                    "{name} has the type {}; only \"default\" and \"llama3\" are supported so far",
                    kind.unwrap_or(&Value::Null)
                ));
            }
        }
        let inner = table.positive("rope_theta").map_err(inside)?;
        if let (Some(outer), Some(inner)) = (theta, inner)
            && outer != inner
        {
            return Err(format!(
                "rope_theta is {outer}, but {name}.rope_theta is {inner}"
            ));
        }
        theta = theta.or(inner);
    }
    Ok(Rope {
        theta: theta.unwrap_or(DEFAULT_ROPE_THETA),
        scaling,
    })
}

fn llama3(table: &Fields<'_>) -> Result<Llama3Scaling, String> {
    let number = |name: &str| {
        table
            .positive(name)?
            .ok_or_else(|| format!("{name} is missing"))
    };
    let scaling = Llama3Scaling {
        factor: number("factor")?,
        low_freq_factor: number("low_freq_factor")?,
        high_freq_factor: number("high_freq_factor")?,
        original_max_position: number("original_max_position_embeddings")?,
    };
    if scaling.factor < 1.0 {
        return Err(format!("factor is {}; expected at least 1", scaling.factor));
    }
    if scaling.high_freq_factor <= scaling.low_freq_factor {
        return Err(format!(
            "high_freq_factor is {}; expected more than low_freq_factor, {}",
            scaling.high_freq_factor, scaling.low_freq_factor
        ));
    }
    Ok(scaling)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theta(extra: Value) -> Result<f64, String> {
        let mut fields = serde_json::json!({
            "architectures": ["Qwen2ForSequenceClassification"], "model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 8, "vocab_size": 9,
            "max_position_embeddings": 16,
        });
        let table = fields.as_object_mut().expect("an object");
        table.extend(extra.as_object().expect("an object").clone());
        Config::from_json(fields.to_string().as_bytes(), Head::Labels, None)
            .map(|config| config.rope.theta)
    }

    #[test]
    fn the_rotary_base_is_found_in_old_and_new_files() {
        use serde_json::json;
        assert_eq!(theta(json!({})), Ok(10_000.0));
        assert_eq!(theta(json!({ "rope_theta": 5.0 })), Ok(5.0));
        let newer = json!({ "rope_parameters": { "rope_type": "default", "rope_theta": 7.0 } });
        assert_eq!(theta(newer), Ok(7.0));
        let both = json!({ "rope_theta": 7.0, "rope_scaling": null, "rope_parameters": { "rope_theta": 7.0 } });
        assert_eq!(theta(both), Ok(7.0));
        assert!(theta(json!({ "rope_parameters": [] })).is_err());
    }
}
