//! What is kept on disk: the training state (exact resume) and the Hugging Face folder
//! (what the rest of the world reads).

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde_json::json;

use crate::error::TrainError;
use crate::model::decoder::{Decoder, PER_LAYER, Parameter};
use crate::train::optimizer::AdamW;

/// Writes `bytes` to `path` so that a reader sees the old file or the new one, never a part.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".partial");
    let temporary = Path::new(&temporary);
    let written = fs::File::create(temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(temporary, path)
    });
    written.map_err(|e| {
        let _ = fs::remove_file(temporary);
        TrainError::io("write", path, e)
    })
}

/// A tensor's values on the host.
pub fn host(tensor: &Tensor<2>) -> Vec<f32> {
    tensor.clone().into_data().iter::<f32>().collect()
}

/// Everything a stage needs to go on as if it had never stopped.
pub struct TrainingState {
    /// Stage name, so that a state is never resumed by another stage.
    pub stage: String,
    /// The optimizer, with its step count.
    pub optimizer: AdamW,
    /// The averaged weights, when the recipe asks for them.
    pub average: Vec<Tensor<2>>,
}

/// Saves parameters, moments and averages in one safetensors file.
pub fn save_state(path: &Path, decoder: &Decoder, state: &TrainingState) -> Result<(), TrainError> {
    let mut tensors: Vec<(String, [usize; 2], Vec<f32>)> = Vec::new();
    for (index, parameter) in decoder.parameters.iter().enumerate() {
        let dims = parameter.value.dims();
        let [first, second] = &state.optimizer.moments[index];
        tensors.push((
            format!("value.{}", parameter.name),
            dims,
            host(&parameter.value.clone().inner()),
        ));
        tensors.push((format!("first.{}", parameter.name), dims, host(first)));
        tensors.push((format!("second.{}", parameter.name), dims, host(second)));
        if let Some(average) = state.average.get(index) {
            tensors.push((format!("average.{}", parameter.name), dims, host(average)));
        }
    }
    let metadata = HashMap::from([
        ("stage".to_owned(), state.stage.clone()),
        ("step".to_owned(), state.optimizer.step.to_string()),
    ]);
    write_safetensors(path, &tensors, Some(metadata))
}

/// Loads what [`save_state`] wrote into `decoder`, which must have the same layout.
pub fn load_state(
    path: &Path,
    decoder: &mut Decoder,
    device: &Device,
) -> Result<TrainingState, TrainError> {
    let bytes = fs::read(path).map_err(|e| TrainError::io("read", path, e))?;
    let corrupt = |e: safetensors::SafeTensorError| {
        TrainError::invalid(
            path,
            format!("not a training state ({e}); delete it to start the stage again"),
        )
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(corrupt)?;
    let file = SafeTensors::deserialize(&bytes).map_err(corrupt)?;
    let entry = |key: &str| {
        header
            .metadata()
            .as_ref()
            .and_then(|m| m.get(key).cloned())
            .ok_or_else(|| TrainError::invalid(path, format!("metadata lacks {key:?}")))
    };
    let step = entry("step")?;
    let step = step
        .parse()
        .map_err(|_| TrainError::invalid(path, format!("step is {step:?}, not a number")))?;
    let plain = device.clone().without_autodiff();
    let read = |name: String, dims: [usize; 2], device: &Device| {
        read_tensor(&file, path, &name, dims, device)
    };
    let mut moments = Vec::new();
    let mut average = Vec::new();
    for parameter in &mut decoder.parameters {
        let dims = parameter.value.dims();
        let name = parameter.name.clone();
        parameter.value = read(format!("value.{name}"), dims, device)?.require_grad();
        moments.push([
            read(format!("first.{name}"), dims, &plain)?,
            read(format!("second.{name}"), dims, &plain)?,
        ]);
        if file.tensor(&format!("average.{name}")).is_ok() {
            average.push(read(format!("average.{name}"), dims, &plain)?);
        }
    }
    Ok(TrainingState {
        stage: entry("stage")?,
        optimizer: AdamW {
            step,
            moments,
            device: plain.clone(),
        },
        average,
    })
}

/// Saves the weights alone.
pub fn save_weights(path: &Path, decoder: &Decoder) -> Result<(), TrainError> {
    let tensors: Vec<_> = decoder
        .parameters
        .iter()
        .map(|p| {
            (
                p.name.clone(),
                p.value.dims(),
                host(&p.value.clone().inner()),
            )
        })
        .collect();
    write_safetensors(path, &tensors, None)
}

/// Loads what [`save_weights`] wrote into `decoder`, which must have the same layout.
pub fn load_weights(path: &Path, decoder: &mut Decoder, device: &Device) -> Result<(), TrainError> {
    let bytes = fs::read(path).map_err(|e| TrainError::io("read", path, e))?;
    let corrupt = |e: safetensors::SafeTensorError| {
        TrainError::invalid(path, format!("not a file of weights ({e})"))
    };
    let file = SafeTensors::deserialize(&bytes).map_err(corrupt)?;
    for parameter in &mut decoder.parameters {
        let dims = parameter.value.dims();
        parameter.value = read_tensor(&file, path, &parameter.name, dims, device)?.require_grad();
    }
    Ok(())
}

/// One float32 tensor of a given shape.
fn read_tensor(
    file: &SafeTensors<'_>,
    path: &Path,
    name: &str,
    dims: [usize; 2],
    device: &Device,
) -> Result<Tensor<2>, TrainError> {
    let view = file
        .tensor(name)
        .map_err(|e| TrainError::invalid(path, format!("tensor {name}: {e}")))?;
    if view.shape() != dims || view.dtype() != Dtype::F32 {
        return Err(TrainError::invalid(
            path,
            format!(
                "tensor {name} is {:?} {:?}, expected F32 {dims:?}; was the recipe's [model] changed?",
                view.dtype(),
                view.shape()
            ),
        ));
    }
    let values: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    Ok(Tensor::from_data(TensorData::new(values, dims), device))
}

fn write_safetensors(
    path: &Path,
    tensors: &[(String, [usize; 2], Vec<f32>)],
    metadata: Option<HashMap<String, String>>,
) -> Result<(), TrainError> {
    let shaped: Vec<(String, Vec<usize>, &[f32])> = tensors
        .iter()
        .map(|(n, d, v)| (n.clone(), d.to_vec(), v.as_slice()))
        .collect();
    write_shaped(path, &shaped, metadata)
}

fn write_shaped(
    path: &Path,
    tensors: &[(String, Vec<usize>, &[f32])],
    metadata: Option<HashMap<String, String>>,
) -> Result<(), TrainError> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, v)| v.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, dims, _), bytes)| {
            TensorView::new(Dtype::F32, dims.clone(), bytes).map(|view| (name.clone(), view))
        })
        .collect();
    let file = views
        .and_then(|views| serialize(views, metadata))
        .map_err(|e| TrainError::invalid(path, e.to_string()))?;
    write_atomically(path, &file)
}

/// A tensor's dimensions and values.
type Shaped = (Vec<usize>, Vec<f32>);

/// Transposes [rows, columns] values.
pub fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| values[row * columns + column]));
    }
    out
}

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
pub fn save_hugging_face(
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
        linear(
            &decoder.parameters[last],
            0,
            crate::model::decoder::CATEGORIES,
        ),
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

/// Writes indented JSON, atomically.
pub fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), TrainError> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|e| TrainError::invalid(path, e.to_string()))?;
    bytes.push(b'\n');
    write_atomically(path, &bytes)
}

fn config(decoder: &Decoder) -> serde_json::Value {
    let shape = &decoder.shape;
    let names = crate::data::rows::CATEGORIES;
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

fn rope_scaling(shape: &crate::recipe::ModelRecipe) -> serde_json::Value {
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
