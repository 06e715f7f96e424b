//! A checkpoint: a Hugging Face folder, opened and checked against its own `config.json`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use tokenizers::Tokenizer;

use crate::config::Config;
use crate::error::ExportError;

/// The names of the tensors that stand outside the layers.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const NORM: &str = "model.norm.weight";
pub(crate) const SCORE: &str = "score.weight";

const MAX_LABELS: usize = duoguard::MAX_CATEGORIES;
const MAX_EXTRA_BYTES: u64 = 64 << 20;

/// A checkpoint whose tensors are all there, of the shapes its configuration asks for, and finite.
///
/// The weights are memory-mapped: while it is open, the file must not be changed in place.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    config: Config,
    labels: usize,
    map: Mmap,
    places: BTreeMap<String, Place>,
    golden: Option<Golden>,
    guard: Guard,
}

#[derive(Clone, Debug)]
struct Place {
    dtype: Dtype,
    shape: Vec<usize>,
    start: usize,
    end: usize,
}

/// `golden.json`: logits that the trainer's own forward pass computed.
#[derive(Clone, Debug, Deserialize)]
pub struct Golden {
    /// The largest absolute difference that is allowed.
    pub tolerance: f64,
    /// Inputs and their logits.
    pub cases: Vec<GoldenCase>,
}

/// One input and its logits.
#[derive(Clone, Debug, Deserialize)]
pub struct GoldenCase {
    /// Token ids.
    pub input_ids: Vec<u32>,
    /// One logit per label.
    pub logits: Vec<f32>,
}

/// `duoguard.json`: what the bundle's manifest takes over from the trainer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// The model's name.
    pub name: Option<String>,
    /// Tokens in one window.
    pub window_tokens: Option<usize>,
    /// Tokens that neighbouring windows share.
    pub overlap_tokens: Option<usize>,
    /// The categories, in the order of the logits.
    pub categories: Option<Vec<String>>,
    /// Data, licences, recipe, metrics.
    #[serde(default)]
    pub provenance: serde_json::Map<String, serde_json::Value>,
}

impl Checkpoint {
    /// Opens the folder and checks everything an export relies on.
    pub fn open(folder: &Path) -> Result<Self, ExportError> {
        let config = Config::open(&folder.join("config.json"))?;
        let weights = folder.join("model.safetensors");
        let map = map(&weights)?;
        let places = places(&map).map_err(|message| ExportError::checkpoint(&weights, message))?;
        let labels = labels(&config, &places)
            .map_err(|message| ExportError::checkpoint(&weights, message))?;
        let checkpoint = Self {
            golden: read_extra(&folder.join("golden.json"))?,
            guard: read_extra(&folder.join("duoguard.json"))?.unwrap_or_default(),
            folder: folder.to_owned(),
            config,
            labels,
            map,
            places,
        };
        checkpoint
            .check_tensors()
            .map_err(|message| ExportError::checkpoint(&weights, message))?;
        checkpoint.check_golden()?;
        checkpoint.check_tokenizer()?;
        Ok(checkpoint)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The shape of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Number of labels: rows of `score.weight`.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// The trainer's logits, if it left any.
    pub fn golden(&self) -> Option<&Golden> {
        self.golden.as_ref()
    }

    /// What the trainer says about the guard; empty if it says nothing.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The values of a tensor in f32, row after row.
    ///
    /// # Panics
    /// If the network has no such tensor.
    pub fn tensor(&self, name: &str) -> Vec<f32> {
        let place = &self.places[name];
        let bytes = &self.map[place.start..place.end];
        match place.dtype {
            Dtype::F16 => widen(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => widen(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            _ => widen(bytes, f32::from_le_bytes),
        }
    }

    /// The shape of a tensor that the network has.
    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        &self.places[name].shape
    }

    fn check_tensors(&self) -> Result<(), String> {
        for (name, shape) in expected_tensors(&self.config, self.labels) {
            let place = self
                .places
                .get(&name)
                .ok_or_else(|| format!("tensor {name} is missing; expected {shape:?}"))?;
            if place.shape != shape {
                return Err(format!(
                    "tensor {name} is {:?}; config.json asks for {shape:?}",
                    place.shape
                ));
            }
            if !matches!(place.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                return Err(format!(
                    "tensor {name} is of type {:?}; only F32, F16 and BF16 are supported",
                    place.dtype
                ));
            }
            if let Some(index) = self.tensor(&name).iter().position(|x| !x.is_finite()) {
                return Err(format!(
                    "tensor {name} has a value that is not a finite number, at index {index}; the training diverged or the file is damaged"
                ));
            }
        }
        Ok(())
    }

    fn check_golden(&self) -> Result<(), ExportError> {
        let Some(golden) = &self.golden else {
            return Ok(());
        };
        let refused =
            |message: String| ExportError::checkpoint(&self.folder.join("golden.json"), message);
        if !(golden.tolerance > 0.0 && golden.tolerance.is_finite()) {
            return Err(refused(format!(
                "tolerance is {}; expected a positive number",
                golden.tolerance
            )));
        }
        for (index, case) in golden.cases.iter().enumerate() {
            let tokens = case.input_ids.len();
            if tokens == 0 || tokens > self.config.max_position {
                return Err(refused(format!(
                    "case {index} has {tokens} tokens; expected 1 to {}",
                    self.config.max_position
                )));
            }
            if let Some(id) = case
                .input_ids
                .iter()
                .find(|id| **id as usize >= self.config.vocabulary)
            {
                return Err(refused(format!(
                    "case {index} has token {id}; the embedding has {} rows",
                    self.config.vocabulary
                )));
            }
            if case.logits.len() != self.labels {
                return Err(refused(format!(
                    "case {index} has {} logits; expected {}",
                    case.logits.len(),
                    self.labels
                )));
            }
        }
        Ok(())
    }

    fn check_tokenizer(&self) -> Result<(), ExportError> {
        let path = self.folder.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(ExportError::io("read", &path))?;
        let tokenizer = Tokenizer::from_bytes(&bytes)
            .map_err(|cause| ExportError::checkpoint(&path, format!("not a tokenizer: {cause}")))?;
        let largest = tokenizer
            .get_vocab(true)
            .into_iter()
            .max_by_key(|(_, id)| *id);
        match largest {
            None => Err(ExportError::checkpoint(&path, "the vocabulary is empty")),
            Some((token, id)) if id as usize >= self.config.vocabulary => {
                Err(ExportError::checkpoint(
                    &path,
                    format!(
                        "token {token:?} has id {id}, but the embedding has {} rows: tokenizer and weights are of different models",
                        self.config.vocabulary
                    ),
                ))
            }
            Some(_) => Ok(()),
        }
    }
}

/// The name of a tensor of a layer.
pub(crate) fn in_layer(layer: usize, name: &str) -> String {
    format!("model.layers.{layer}.{name}")
}

fn expected_tensors(config: &Config, labels: usize) -> Vec<(String, Vec<usize>)> {
    let (hidden, kv, inner) = (config.hidden, config.kv_width(), config.intermediate);
    let mut tensors = vec![
        (EMBEDDING.to_owned(), vec![config.vocabulary, hidden]),
        (NORM.to_owned(), vec![hidden]),
        (SCORE.to_owned(), vec![labels, hidden]),
    ];
    for layer in 0..config.layers {
        let in_layer = [
            ("input_layernorm.weight", vec![hidden]),
            ("post_attention_layernorm.weight", vec![hidden]),
            ("self_attn.q_proj.weight", vec![hidden, hidden]),
            ("self_attn.q_proj.bias", vec![hidden]),
            ("self_attn.k_proj.weight", vec![kv, hidden]),
            ("self_attn.k_proj.bias", vec![kv]),
            ("self_attn.v_proj.weight", vec![kv, hidden]),
            ("self_attn.v_proj.bias", vec![kv]),
            ("self_attn.o_proj.weight", vec![hidden, hidden]),
            ("mlp.gate_proj.weight", vec![inner, hidden]),
            ("mlp.up_proj.weight", vec![inner, hidden]),
            ("mlp.down_proj.weight", vec![hidden, inner]),
        ]
        .map(|(name, shape)| (self::in_layer(layer, name), shape));
        tensors.extend(in_layer);
    }
    tensors
}

fn map(path: &Path) -> Result<Mmap, ExportError> {
    if !path.exists() && path.with_extension("safetensors.index.json").exists() {
        return Err(ExportError::checkpoint(
            path,
            "the weights are split into several files; only a single model.safetensors is supported so far",
        ));
    }
    let file = File::open(path).map_err(ExportError::io("read", path))?;
    // SAFETY: the map is only read. `Checkpoint` tells callers that the file must not be changed in place while it is open, which is
    // the one thing that cannot be checked here.
    unsafe { Mmap::map(&file) }.map_err(ExportError::io("map into memory", path))
}

fn places(bytes: &[u8]) -> Result<BTreeMap<String, Place>, String> {
    let damaged =
        |cause| format!("not a whole safetensors file: {cause}; get the checkpoint again");
    let (header, _) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let data = 8 + header;
    let offsets = tensors.iter().map(|(name, view)| {
        let start = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        debug_assert!(start >= data);
        let place = Place {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            start,
            end: start + view.data().len(),
        };
        (name.to_owned(), place)
    });
    Ok(offsets.collect())
}

fn labels(config: &Config, places: &BTreeMap<String, Place>) -> Result<usize, String> {
    let place = places.get(SCORE).ok_or_else(|| {
        format!(
            "tensor {SCORE} is missing; expected [labels, {}]",
            config.hidden
        )
    })?;
    let rows = match place.shape[..] {
        [rows, width] if width == config.hidden => rows,
        _ => {
            return Err(format!(
                "tensor {SCORE} is {:?}; expected [labels, {}]",
                place.shape, config.hidden
            ));
        }
    };
    if rows == 0 || rows > MAX_LABELS {
        return Err(format!(
            "tensor {SCORE} has {rows} rows; expected 1 to {MAX_LABELS}"
        ));
    }
    if !config.labels.is_empty() && config.labels.len() != rows {
        return Err(format!(
            "tensor {SCORE} has {rows} rows, but config.json's id2label has {} names",
            config.labels.len()
        ));
    }
    Ok(rows)
}

/// Reads one of the two files that are ours and may be absent.
fn read_extra<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, ExportError> {
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(ExportError::io("read", path)(cause)),
    };
    if size > MAX_EXTRA_BYTES {
        return Err(ExportError::checkpoint(
            path,
            format!("{size} bytes, more than the {MAX_EXTRA_BYTES} allowed"),
        ));
    }
    let bytes = std::fs::read(path).map_err(ExportError::io("read", path))?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|cause| ExportError::checkpoint(path, format!("not as expected: {cause}")))
}

fn widen<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<N>();
    values.iter().map(|value| convert(*value)).collect()
}
