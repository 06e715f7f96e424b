//! The tensors that a network must have.

use crate::checkpoint::{EMBEDDING, HEAD, NORM, SCORE};
use crate::config::Config;
use crate::error::ExportError;
use crate::shards::Shards;
use crate::strays::prefixed;

const MAX_LABELS: usize = duoguard::MAX_CATEGORIES;

/// The name of a tensor of a layer.
pub(crate) fn in_layer(layer: usize, name: &str) -> String {
    format!("model.layers.{layer}.{name}")
}

/// Every tensor of the network with its shape, made one at a time: a `config.json` may claim a
/// million layers.
pub(super) fn expected(
    config: &Config,
    labels: usize,
) -> Box<dyn Iterator<Item = (String, Vec<usize>)> + '_> {
    if let Some(encoder) = &config.encoder {
        return Box::new(encoder.tensors(config, labels));
    }
    let head = match labels {
        0 if config.tied => None,
        0 => Some((HEAD.to_owned(), vec![config.vocabulary, config.hidden])),
        labels => Some((SCORE.to_owned(), vec![labels, config.hidden])),
    };
    let outside = [
        (EMBEDDING.to_owned(), vec![config.vocabulary, config.hidden]),
        (NORM.to_owned(), vec![config.hidden]),
    ];
    let layers = 0..config.layers;
    let all = outside.into_iter().chain(head);
    Box::new(all.chain(layers.flat_map(|layer| layer_tensors(config, layer))))
}

fn layer_tensors(config: &Config, layer: usize) -> Vec<(String, Vec<usize>)> {
    let (hidden, kv, inner) = (config.hidden, config.kv_width(), config.intermediate);
    let mut tensors = vec![
        ("input_layernorm.weight", vec![hidden]),
        ("post_attention_layernorm.weight", vec![hidden]),
        ("self_attn.q_proj.weight", vec![hidden, hidden]),
        ("self_attn.k_proj.weight", vec![kv, hidden]),
        ("self_attn.v_proj.weight", vec![kv, hidden]),
        ("self_attn.o_proj.weight", vec![hidden, hidden]),
        ("mlp.gate_proj.weight", vec![inner, hidden]),
        ("mlp.up_proj.weight", vec![inner, hidden]),
        ("mlp.down_proj.weight", vec![hidden, inner]),
    ];
    if config.qkv_bias {
        tensors.extend([
            ("self_attn.q_proj.bias", vec![hidden]),
            ("self_attn.k_proj.bias", vec![kv]),
            ("self_attn.v_proj.bias", vec![kv]),
        ]);
    }
    let named = tensors.into_iter();
    named
        .map(|(name, shape)| (in_layer(layer, name), shape))
        .collect()
}

/// Rows of the tensor that gives the labels.
pub(super) fn labels(config: &Config, shards: &Shards) -> Result<usize, ExportError> {
    let score = match &config.encoder {
        Some(encoder) => format!("{}.weight", encoder.classifier()),
        None => SCORE.to_owned(),
    };
    let refused = |message: String| ExportError::checkpoint(shards.path(&score), message);
    let called = shards.name(&score);
    let place = shards.place(&score).ok_or_else(|| {
        refused(format!(
            "tensor {called} is missing; expected [labels, {}]{}",
            config.hidden,
            prefixed(shards, &score)
        ))
    })?;
    let rows = match place.shape[..] {
        [rows, width] if width == config.hidden => rows,
        _ => {
            return Err(refused(format!(
                "tensor {called} is {:?}; expected [labels, {}]",
                place.shape, config.hidden
            )));
        }
    };
    if rows == 0 || rows > MAX_LABELS {
        return Err(refused(format!(
            "tensor {called} has {rows} rows; expected 1 to {MAX_LABELS}"
        )));
    }
    if !config.labels.is_empty() && config.labels.len() != rows {
        return Err(refused(format!(
            "tensor {called} has {rows} rows, but {} has {} names",
            match shards.is_gguf() {
                true => "classifier.output_labels",
                false => "config.json's id2label",
            },
            config.labels.len()
        )));
    }
    Ok(rows)
}
