//! A trained decoder as a Hugging Face folder, which the exporter and the rest of the world read.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use duoguard_export::CATEGORIES;
use serde_json::json;

use crate::error::TrainError;
use crate::files::{write_atomically, write_json};
use crate::model::decoder::{Decoder, PER_LAYER, Parameter};
use crate::model::tensors::{host, transposed};
use crate::model::weights::write_shaped;
use crate::recipe::ModelRecipe;

/// A tensor's dimensions and values.
type Shaped = (Vec<usize>, Vec<f32>);

/// The outputs `from..from + count` of a [inputs, outputs] weight as [count, inputs],
/// which is how the Hugging Face format keeps a linear layer.
fn linear(parameter: &Parameter, from: usize, count: usize) -> Shaped {
    let [rows, columns] = parameter.value.dims();
    let all = transposed(&host(&parameter.value), rows, columns);
    (
        vec![count, rows],
        all[from * rows..(from + count) * rows].to_vec(),
    )
}

fn vector(parameter: &Parameter, from: usize, count: usize) -> Shaped {
    (
        vec![count],
        host(&parameter.value)[from..from + count].to_vec(),
    )
}

/// Writes `config.json`, `model.safetensors`, `tokenizer.json`, `golden.json` and `duoguard.json`.
///
/// `golden` are token sequences whose logits the exporter must reproduce; `guard` is what
/// the bundle's manifest takes over (name, window, categories, provenance).
pub(crate) fn save_hugging_face(
    folder: &Path,
    decoder: &Decoder,
    tokenizer: &Path,
    golden: &[Vec<i32>],
    guard: &serde_json::Value,
) -> Result<(), TrainError> {
    fs::create_dir_all(folder).map_err(|e| TrainError::io("create", folder, e))?;
    let shape = &decoder.shape;
    let (c, f) = (shape.hidden, shape.intermediate);
    let kv = shape.kv_heads * shape.head_size();
    let mut tensors: Vec<(String, Shaped)> = vec![(
        "model.embed_tokens.weight".to_owned(),
        (vec![decoder.vocabulary, c], host(decoder.embedding())),
    )];
    for layer in 0..shape.layers {
        let p = &decoder.parameters[1 + layer * PER_LAYER..1 + (layer + 1) * PER_LAYER];
        let mut add =
            |name: &str, tensor| tensors.push((format!("model.layers.{layer}.{name}"), tensor));
        add("input_layernorm.weight", vector(&p[0], 0, c));
        for (name, from, count) in [("q", 0, c), ("k", c, kv), ("v", c + kv, kv)] {
            add(
                &format!("self_attn.{name}_proj.weight"),
                linear(&p[1], from, count),
            );
            add(
                &format!("self_attn.{name}_proj.bias"),
                vector(&p[2], from, count),
            );
        }
        add("self_attn.o_proj.weight", linear(&p[3], 0, c));
        add("post_attention_layernorm.weight", vector(&p[4], 0, c));
        add("mlp.gate_proj.weight", linear(&p[5], 0, f));
        add("mlp.up_proj.weight", linear(&p[5], f, f));
        add("mlp.down_proj.weight", linear(&p[6], 0, c));
    }
    let last = decoder.parameters.len() - 1;
    tensors.push(("model.norm.weight".to_owned(), vector(decoder.norm(), 0, c)));
    tensors.push((
        "score.weight".to_owned(),
        linear(&decoder.parameters[last], 0, CATEGORIES.len()),
    ));
    let views: Vec<_> = tensors
        .iter()
        .map(|(n, (d, v))| (n.clone(), d.clone(), v.as_slice()))
        .collect();
    write_shaped(
        &folder.join("model.safetensors"),
        &views,
        Some(HashMap::from([("format".to_owned(), "pt".to_owned())])),
    )?;
    write_json(&folder.join("config.json"), &config(decoder))?;
    write_json(&folder.join("golden.json"), &golden_cases(decoder, golden))?;
    write_json(&folder.join("duoguard.json"), guard)?;
    let bytes = fs::read(tokenizer).map_err(|e| TrainError::io("read", tokenizer, e))?;
    write_atomically(&folder.join("tokenizer.json"), &bytes)
}

fn config(decoder: &Decoder) -> serde_json::Value {
    let shape = &decoder.shape;
    let names = CATEGORIES;
    let id2label: serde_json::Map<_, _> = names
        .iter()
        .enumerate()
        .map(|(i, n)| (i.to_string(), json!(n)))
        .collect();
    let label2id: serde_json::Map<_, _> = names
        .iter()
        .enumerate()
        .map(|(i, n)| (n.to_string(), json!(i)))
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
    let device = Device::flex();
    let mut decoder = decoder.clone();
    for parameter in &mut decoder.parameters {
        let data = TensorData::new(host(&parameter.value), parameter.value.dims());
        parameter.value = Tensor::from_data(data, &device);
    }
    let cases: Vec<_> = inputs
        .iter()
        .map(|ids| {
            let logits = host(&decoder.logits(ids, &[ids.len() as i32], ids.len()));
            json!({"input_ids": ids, "logits": logits})
        })
        .collect();
    json!({"tolerance": 1e-4, "cases": cases})
}
