//! An encoder in a Hugging Face folder: the pretrained body that training starts from, and the
//! classifier that comes out.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use safetensors::tensor::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::json;
use tch::{Device, Tensor};

use super::{CLASSIFIER, Encoder, EncoderShape, layouts};
use crate::error::TrainError;
use crate::files::{write_atomically, write_json};
use crate::model::layout::Weights;
use crate::model::network::{Classifier, Network};
use crate::model::tensors::host;
use crate::model::weights::{named_tensors, write_tensors};
use crate::recipe::EncoderRecipe;

/// Our own architecture, as the exporter knows it: a linear layer on the mean of the last layer.
const ARCHITECTURE: &str = "DuoguardBertForSequenceClassification";

/// What of `config.json` is read.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn absolute() -> String {
    "absolute".to_owned()
}

/// The encoder in `folder`, a `BertModel` in 32-bit floats, with a classifier of `outputs` zeros.
///
/// # Errors
/// A file that cannot be read, another family, a tensor that is missing or of another shape, more
/// frozen layers than there are.
pub(crate) fn open_encoder(
    folder: &Path,
    recipe: &EncoderRecipe,
    outputs: usize,
    device: &Device,
) -> Result<Encoder, TrainError> {
    let shape = read_shape(&folder.join("config.json"), recipe, outputs)?;
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).map_err(|e| TrainError::io("read", &path, e))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| TrainError::invalid(&path, format!("not a file of weights ({e})")))?;
    let [trained, frozen] = layouts(&shape).map(|layout| {
        let weights = Weights::zeros(layout.clone(), *device);
        for entry in layout.entries.iter() {
            if CLASSIFIER.contains(&entry.name.as_str()) {
                continue;
            }
            let values = read_tensor(&file, &path, &entry.name, &entry.shape())?;
            let values = Tensor::from_slice(&values).view(entry.dims.as_slice());
            weights.view(entry.offset, &entry.dims).copy_(&values);
        }
        Ok::<_, TrainError>(weights)
    });
    Ok(Encoder::over(&shape, trained?, Rc::new(frozen?)))
}

fn read_shape(
    path: &Path,
    recipe: &EncoderRecipe,
    outputs: usize,
) -> Result<EncoderShape, TrainError> {
    let text = fs::read_to_string(path).map_err(|e| TrainError::io("read", path, e))?;
    let config: Config =
        serde_json::from_str(&text).map_err(|e| TrainError::invalid(path, e.to_string()))?;
    for (field, found, expected) in [
        ("model_type", &config.model_type, "bert"),
        ("hidden_act", &config.hidden_act, "gelu"),
        (
            "position_embedding_type",
            &config.position_embedding_type,
            "absolute",
        ),
    ] {
        if found != expected {
            let reason = format!(
                "{field} is {found:?}; with [base.encoder] the trainer takes only {expected:?}"
            );
            return Err(TrainError::invalid(path, reason));
        }
    }
    let layers = recipe.layers.unwrap_or(config.num_hidden_layers);
    if !(1..=config.num_hidden_layers).contains(&layers) {
        let reason = format!(
            "the network has {} layers; base.encoder.layers is {layers}, expected 1 to as many",
            config.num_hidden_layers
        );
        return Err(TrainError::invalid(path, reason));
    }
    if recipe.frozen_layers >= layers {
        let reason = format!(
            "the network has {layers} layers; base.encoder.frozen_layers is {}, expected fewer",
            recipe.frozen_layers
        );
        return Err(TrainError::invalid(path, reason));
    }
    if config.num_attention_heads == 0
        || !config
            .hidden_size
            .is_multiple_of(config.num_attention_heads)
    {
        let reason = format!(
            "hidden_size is {} and num_attention_heads {}; expected a multiple",
            config.hidden_size, config.num_attention_heads
        );
        return Err(TrainError::invalid(path, reason));
    }
    Ok(EncoderShape {
        vocabulary: config.vocab_size,
        layers,
        hidden: config.hidden_size,
        heads: config.num_attention_heads,
        intermediate: config.intermediate_size,
        positions: config.max_position_embeddings,
        types: config.type_vocab_size,
        norm_eps: config.layer_norm_eps,
        outputs,
        frozen_layers: recipe.frozen_layers,
        layer_decay: recipe.layer_decay,
        classifier_rate: recipe.classifier_rate,
        dropout: recipe.dropout,
    })
}

/// A tensor called `name`, or that without `bert.`, as a body alone has it.
/// The token embedding of the encoder in `folder`, row by row, and its width.
///
/// # Errors
/// A file that cannot be read, and a tensor that is missing or of another shape.
pub(crate) fn word_embedding(folder: &Path) -> Result<(Vec<f32>, usize), TrainError> {
    let path = folder.join("config.json");
    let text = fs::read_to_string(&path).map_err(|e| TrainError::io("read", &path, e))?;
    let config: Config =
        serde_json::from_str(&text).map_err(|e| TrainError::invalid(&path, e.to_string()))?;
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).map_err(|e| TrainError::io("read", &path, e))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| TrainError::invalid(&path, format!("not a file of weights ({e})")))?;
    let name = "bert.embeddings.word_embeddings.weight";
    let dims = [config.vocab_size, config.hidden_size];
    Ok((read_tensor(&file, &path, name, &dims)?, config.hidden_size))
}

fn read_tensor(
    file: &SafeTensors<'_>,
    path: &Path,
    name: &str,
    dims: &[usize],
) -> Result<Vec<f32>, TrainError> {
    let bare = name.strip_prefix("bert.").unwrap_or(name);
    let view = file
        .tensor(name)
        .or_else(|_| file.tensor(bare))
        .map_err(|_| TrainError::invalid(path, format!("has no tensor {name} or {bare}")))?;
    if view.shape() != dims || view.dtype() != Dtype::F32 {
        let reason = format!(
            "tensor {bare} is {:?} {:?}, expected F32 {dims:?}",
            view.dtype(),
            view.shape()
        );
        return Err(TrainError::invalid(path, reason));
    }
    let values = view.data().chunks_exact(4);
    Ok(values
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect())
}

/// Writes `config.json`, `model.safetensors`, `tokenizer.json`, `golden.json` and `duoguard.json`:
/// what [`crate::model::hugging_face::save_hugging_face`] writes of a decoder. `labels` names the
/// classifier's rows.
pub(crate) fn save_encoder(
    folder: &Path,
    encoder: &Encoder,
    labels: &[String],
    tokenizer: &Path,
    golden: &[Vec<i32>],
    guard: &serde_json::Value,
) -> Result<(), TrainError> {
    fs::create_dir_all(folder).map_err(|e| TrainError::io("create", folder, e))?;
    let buffers = [&*encoder.frozen, &encoder.weights];
    let tensors: Vec<_> = buffers
        .iter()
        .flat_map(|buffer| named_tensors("", &buffer.layout, &buffer.flat))
        .collect();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write_tensors(&folder.join("model.safetensors"), &tensors, Some(metadata))?;
    write_json(&folder.join("config.json"), &config(&encoder.shape, labels))?;
    write_json(&folder.join("golden.json"), &golden_cases(encoder, golden))?;
    write_json(&folder.join("duoguard.json"), guard)?;
    let bytes = fs::read(tokenizer).map_err(|e| TrainError::io("read", tokenizer, e))?;
    write_atomically(&folder.join("tokenizer.json"), &bytes)
}

fn config(shape: &EncoderShape, labels: &[String]) -> serde_json::Value {
    let numbered = labels.iter().enumerate();
    let id2label: serde_json::Map<_, _> = numbered
        .clone()
        .map(|(i, name)| (i.to_string(), json!(name)))
        .collect();
    let label2id: serde_json::Map<_, _> =
        numbered.map(|(i, name)| (name.clone(), json!(i))).collect();
    json!({
        "architectures": [ARCHITECTURE],
        "model_type": "bert",
        "pooling": "mean",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.types,
        "layer_norm_eps": shape.norm_eps,
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "torch_dtype": "float32",
        "num_labels": labels.len(),
        "problem_type": "multi_label_classification",
        "id2label": id2label,
        "label2id": label2id,
    })
}

/// What every engine is compared with: computed on the CPU, in full 32 bits.
fn golden_cases(encoder: &Encoder, inputs: &[Vec<i32>]) -> serde_json::Value {
    let on_host = |weights: &Weights| Weights {
        layout: weights.layout.clone(),
        flat: Tensor::from_slice(&host(&weights.flat)),
    };
    let frozen = Rc::new(on_host(&encoder.frozen));
    let encoder = Encoder::over(&encoder.shape, on_host(encoder.weights()), frozen);
    let case = |ids: &Vec<i32>| {
        let logits = host(&encoder.logits(ids, &[ids.len() as i32], ids.len()));
        json!({"input_ids": ids, "logits": logits})
    };
    let cases: Vec<_> = inputs.iter().map(case).collect();
    json!({"tolerance": 1e-4, "cases": cases})
}
