//! A trained decoder as a Hugging Face folder, which the exporter and the rest of the world read.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde_json::json;
use tch::Tensor;

use crate::error::TrainError;
use crate::files::{write_atomically, write_json};
use crate::model::decoder::Decoder;
use crate::model::layout::Weights;
use crate::model::tensors::host;
use crate::model::weights::{NamedTensor, named_tensors, write_tensors};
use crate::recipe::ModelRecipe;

/// Writes `config.json`, `model.safetensors`, `tokenizer.json`, `golden.json` and `duoguard.json`.
///
/// `golden` are token sequences whose logits the exporter must reproduce; `guard` is what
/// the bundle's manifest takes over (name, window, categories, provenance). `labels` name the
/// classifier's outputs.
pub(crate) fn save_hugging_face(
    (folder, labels): (&Path, &[String]),
    decoder: &Decoder,
    tokenizer: &Path,
    golden: &[Vec<i32>],
    guard: &serde_json::Value,
) -> Result<(), TrainError> {
    fs::create_dir_all(folder).map_err(|e| TrainError::io("create", folder, e))?;
    let Weights { layout, flat } = &decoder.weights;
    let mut tensors = named_tensors("", layout, flat);
    if !decoder.shape.qkv_bias {
        tensors.extend(zero_biases(&decoder.shape));
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write_tensors(&folder.join("model.safetensors"), &tensors, Some(metadata))?;
    write_json(&folder.join("config.json"), &config(decoder, labels))?;
    write_json(&folder.join("golden.json"), &golden_cases(decoder, golden))?;
    write_json(&folder.join("duoguard.json"), guard)?;
    let bytes = fs::read(tokenizer).map_err(|e| TrainError::io("read", tokenizer, e))?;
    write_atomically(&folder.join("tokenizer.json"), &bytes)
}

/// The biases that a Qwen2 network has and a Llama has not.
fn zero_biases(shape: &ModelRecipe) -> Vec<NamedTensor> {
    let kv = shape.kv_heads * shape.head_size();
    let parts = [("q", shape.hidden), ("k", kv), ("v", kv)];
    let names = (0..shape.layers).flat_map(|layer| parts.map(|part| (layer, part)));
    let zeros = names.map(|(layer, (part, size))| {
        let name = format!("model.layers.{layer}.self_attn.{part}_proj.bias");
        (name, vec![size], vec![0.0; size])
    });
    zeros.collect()
}

fn config(decoder: &Decoder, names: &[String]) -> serde_json::Value {
    let shape = &decoder.shape;
    let id2label: serde_json::Map<_, _> = names
        .iter()
        .enumerate()
        .map(|(i, n)| (i.to_string(), json!(n)))
        .collect();
    let label2id: serde_json::Map<_, _> = names
        .iter()
        .enumerate()
        .map(|(i, n)| (n.clone(), json!(i)))
        .collect();
    json!({
        "architectures": ["Qwen2ForSequenceClassification"],
        "model_type": "qwen2",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.intermediate,
        "vocab_size": decoder.vocabulary,
        "max_position_embeddings": shape.max_position,
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
        "rope_scaling": rope_scaling(shape),
        "hidden_act": "silu",
        "tie_word_embeddings": true,
        "use_sliding_window": false,
        "attention_dropout": 0.0,
        "torch_dtype": "float32",
        "pad_token_id": 0,
        "eos_token_id": 0,
        "num_labels": names.len(),
        "problem_type": "multi_label_classification",
        "id2label": id2label,
        "label2id": label2id,
    })
}

fn rope_scaling(shape: &ModelRecipe) -> serde_json::Value {
    shape
        .rope_scaling
        .map_or(serde_json::Value::Null, |scaling| {
            json!({
                "rope_type": "llama3",
                "factor": scaling.factor,
                "low_freq_factor": scaling.low_freq_factor,
                "high_freq_factor": scaling.high_freq_factor,
                "original_max_position_embeddings": scaling.original_max_position,
            })
        })
}

/// What every engine is compared with: computed on the CPU, in full 32 bits. A GPU multiplies
/// floats with fewer.
fn golden_cases(decoder: &Decoder, inputs: &[Vec<i32>]) -> serde_json::Value {
    let weights = Weights {
        layout: decoder.weights.layout.clone(),
        flat: Tensor::from_slice(&host(&decoder.weights.flat)),
    };
    let decoder = Decoder::over(&decoder.shape, decoder.vocabulary, weights);
    let cases: Vec<_> = inputs
        .iter()
        .map(|ids| {
            let logits = host(&decoder.logits(ids, &[ids.len() as i32], ids.len()));
            json!({"input_ids": ids, "logits": logits})
        })
        .collect();
    json!({"tolerance": 1e-4, "cases": cases})
}
