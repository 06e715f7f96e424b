//! The shape of a network, from the metadata of a GGUF file.

use serde_json::{Map, Value as Json, json};

use super::file::File;
use super::metadata::{Metadata, Value, required};
use crate::config::{Config, Head, architecture};
use crate::rope::{Llama3Scaling, Rope};

/// The families, as `general.architecture` and `model_type` name them alike.
const ARCHITECTURES: [&str; 2] = ["llama", "qwen2"];
/// Factors by which the frequencies of the rotary embedding are divided.
pub(super) const ROPE_FREQUENCIES: &str = "rope_freqs.weight";
/// The labels of a classifier.
const LABELS: &str = "classifier.output_labels";

/// Keys that are read, and what stands for them in a `config.json`.
const SIZES: [(&str, &str); 5] = [
    ("block_count", "num_hidden_layers"),
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
];

/// Keys that are read otherwise, or say nothing about what is computed.
const KNOWN: [&str; 11] = [
    "attention.head_count_kv",
    "attention.layer_norm_rms_epsilon",
    "attention.key_length",
    "attention.value_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
    "rope.scaling.finetuned",
    "vocab_size",
    "tensor_data_layout",
    LABELS,
];

/// Keys that must be absent or have this value, for they would change what is computed.
const FIXED: [(&str, Value); 5] = [
    ("attention.causal", Value::Flag(true)),
    ("use_parallel_residual", Value::Flag(false)),
    ("expert_count", Value::Unsigned(0)),
    ("expert_used_count", Value::Unsigned(0)),
    ("rope.scale_linear", Value::F32(1.0)),
];

/// The shape, checked as a `config.json` is.
pub(super) fn read(
    (file, bytes): (&File, &[u8]),
    head: Head,
    safe: Option<&str>,
) -> Result<Config, String> {
    let architecture = file.architecture()?;
    if !ARCHITECTURES.contains(&architecture) {
        return Err(format!(
            "general.architecture is {architecture:?}; only {} are supported so far",
            ARCHITECTURES.map(|name| format!("{name:?}")).join(" and ")
        ));
    }
    check_head(file, head)?;
    let metadata = &file.metadata;
    check_known(metadata, architecture)?;
    let fields = fields(file, architecture, head)?;
    let mut config = Config::from_map(&fields, head, safe)
        .map_err(|why| format!("{why} (named as in a config.json that says the same)"))?;
    for name in [
        "attention.key_length",
        "attention.value_length",
        "rope.dimension_count",
    ] {
        let key = format!("{architecture}.{name}");
        if let Some(size) = metadata.size(&key)?
            && size != config.head_size() as u64
        {
            return Err(format!(
                "{key} is {size}; only the size of a head, {}, is supported so far",
                config.head_size()
            ));
        }
    }
    config.rope.scaling = scaling(file, bytes, &config)?;
    Ok(config)
}

/// That the file is what the caller opens it as.
fn check_head(file: &File, head: Head) -> Result<(), String> {
    let classifiers = ["cls.output.weight", "cls.weight"];
    let classifier = classifiers.iter().find(|name| file.tensor(name).is_some());
    match (head, classifier) {
        (Head::Labels, None) => Err(format!(
            "a language model: it has no tensor {}, so there are no labels to export; what can start from it is training, with checkpoint = \"...\" under [base] in a recipe",
            classifiers.join(" or ")
        )),
        (Head::Tokens, Some(name)) => Err(format!(
            "a classifier: it has the tensor {name}; expected a language model to start from"
        )),
        _ => Ok(()),
    }
}

/// Refuses keys of the architecture that nothing here knows: they may change what is computed.
fn check_known(metadata: &Metadata, architecture: &str) -> Result<(), String> {
    let prefix = format!("{architecture}.");
    for (key, value) in &metadata.0 {
        let Some(name) = key.strip_prefix(&prefix) else {
            continue;
        };
        if let Some((_, expected)) = FIXED.iter().find(|(fixed, _)| *fixed == name) {
            if value != expected {
                return Err(format!(
                    "{key} is {value}; only {expected} is supported so far"
                ));
            }
        } else if !KNOWN.contains(&name) && !SIZES.iter().any(|(known, _)| *known == name) {
            return Err(format!(
                "{key} is {value}, which is not known here and may change what the network computes; only models without it are supported so far"
            ));
        }
    }
    let key = format!("{architecture}.rope.scaling.type");
    match metadata.text(&key)? {
        None | Some("none") => {}
        Some(kind) => {
            return Err(format!(
                "{key} is {kind:?}; only \"none\", and the tensor {ROPE_FREQUENCIES} of Llama 3, are supported so far"
            ));
        }
    }
    let key = format!("{architecture}.tensor_data_layout");
    match metadata.text(&key)? {
        None | Some("Meta AI original pth") => Ok(()),
        Some(layout) => Err(format!(
            "{key} is {layout:?}; only that of llama.cpp's converters is supported"
        )),
    }
}

/// The fields of a `config.json` that says the same.
fn fields(file: &File, family: &str, head: Head) -> Result<Map<String, Json>, String> {
    let metadata = &file.metadata;
    let mut fields = Map::new();
    let mut set = |name: &str, value: Json| drop(fields.insert(name.to_owned(), value));
    set("model_type", json!(family));
    set("architectures", json!([architecture(family, head)]));
    for (name, field) in SIZES {
        let key = format!("{family}.{name}");
        set(field, json!(required(&key, metadata.size(&key)?)?));
    }
    let heads = format!("{family}.attention.head_count");
    let kv_heads = format!("{family}.attention.head_count_kv");
    let kv_heads = metadata.size(&kv_heads)?.or(metadata.size(&heads)?);
    set("num_key_value_heads", json!(kv_heads));
    let epsilon = format!("{family}.attention.layer_norm_rms_epsilon");
    let value = metadata.positive(&epsilon)?;
    set("rms_norm_eps", json!(required(&epsilon, value)?));
    // llama.cpp takes 10,000 too where the file does not say.
    set(
        "rope_theta",
        json!(metadata.positive(&format!("{family}.rope.freq_base"))?),
    );
    let tokens = metadata.texts("tokenizer.ggml.tokens")?.map(<[_]>::len);
    let vocabulary = metadata.size(&format!("{family}.vocab_size"))?;
    let vocabulary = vocabulary.or(tokens.map(|tokens| tokens as u64));
    set(
        "vocab_size",
        json!(required("tokenizer.ggml.tokens", vocabulary)?),
    );
    set(
        "tie_word_embeddings",
        json!(file.tensor("output.weight").is_none()),
    );
    if let Some(labels) = metadata.texts(&format!("{family}.{LABELS}"))? {
        let names = labels.iter().enumerate();
        let names: Map<_, _> = names
            .map(|(id, name)| (id.to_string(), json!(name)))
            .collect();
        set("id2label", Json::Object(names));
    }
    Ok(fields)
}

/// What Llama 3.1 and later do to slow frequencies. Of that, a file has only the factors that come
/// out; all these models have the same parameters but for the largest factor, and parameters are
/// taken only if they give every factor of the file.
fn scaling(file: &File, bytes: &[u8], config: &Config) -> Result<Option<Llama3Scaling>, String> {
    const TOLERANCE: f32 = 1e-4;
    let Some(tensor) = file.tensor(ROPE_FREQUENCIES) else {
        return Ok(None);
    };
    let size = config.head_size();
    if tensor.shape != [size / 2] {
        return Err(format!(
            "tensor {ROPE_FREQUENCIES} is {:?}; expected [{}], half the size of a head",
            tensor.shape,
            size / 2
        ));
    }
    let factors = tensor.kind.widen(&bytes[tensor.start..tensor.end]);
    let largest = factors.iter().copied().fold(1.0, f32::max);
    if factors.iter().all(|factor| *factor == 1.0) {
        return Ok(None);
    }
    let scaling = Llama3Scaling {
        factor: f64::from(largest),
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position: 8192.0,
    };
    let plain = Rope {
        scaling: None,
        ..config.rope
    };
    let scaled = Rope {
        scaling: Some(scaling),
        ..config.rope
    };
    for (index, found) in factors.iter().enumerate() {
        let expected = plain.frequency(index, size) / scaled.frequency(index, size);
        // Not a number, too.
        let off = (found / expected - 1.0).abs();
        if off.is_nan() || off > TOLERANCE {
            return Err(format!(
                "tensor {ROPE_FREQUENCIES} has {found} at index {index}; Llama 3's scaling by {largest} has {expected} there, and only that is supported so far"
            ));
        }
    }
    Ok(Some(scaling))
}
