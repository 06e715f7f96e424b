//! A checkpoint: a Hugging Face folder, opened and checked against its own `config.json`.

mod guard;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use safetensors::Dtype;

use crate::config::{Config, Head};
use crate::embedding::is_of_blocks;
use crate::error::ExportError;
use crate::labels::odds;
use crate::quantize::BLOCK;
use crate::shards::{Place, Shards};
use crate::small::read_extra;
use crate::strays::{other_kind, prefixed, unread};
use crate::tokenizer;

pub use guard::{Golden, GoldenCase, Guard};

/// The names of the tensors that stand outside the layers.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const NORM: &str = "model.norm.weight";
pub(crate) const SCORE: &str = "score.weight";
const HEAD: &str = "lm_head.weight";

const MAX_LABELS: usize = duoguard::MAX_CATEGORIES;
/// Values of a tensor that are widened at a time, where it is taken in blocks: 16 MiB of f32.
const BLOCK_VALUES: usize = 4 << 20;

/// A checkpoint whose tensors are all there, of the shapes its configuration asks for, and finite.
///
/// The weights are memory-mapped: while it is open, their files must not be changed in place.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    config: Config,
    labels: usize,
    shards: Shards,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    embedding: String,
    has_block_embedding: OnceLock<bool>,
    golden: Option<Golden>,
    guard: Guard,
}

impl Checkpoint {
    /// Opens the folder of a classifier and checks everything an export relies on.
    pub fn open(folder: &Path) -> Result<Self, ExportError> {
        Self::open_with(folder, Head::Labels, None)
    }

    /// Opens the folder of a classifier whose label of that name stands for harmless text.
    pub fn open_with_safe_label(folder: &Path, name: Option<&str>) -> Result<Self, ExportError> {
        Self::open_with(folder, Head::Labels, name)
    }

    /// Opens the folder of a language model, which cannot be exported; it has no labels.
    pub fn open_language_model(folder: &Path) -> Result<Self, ExportError> {
        Self::open_with(folder, Head::Tokens, None)
    }

    fn open_with(folder: &Path, head: Head, safe: Option<&str>) -> Result<Self, ExportError> {
        if let Some(other) = other_kind(folder) {
            return Err(ExportError::checkpoint(folder, other));
        }
        let config = Config::open(&folder.join("config.json"), head, safe)?;
        let shards = Shards::open(folder)?;
        let labels = match head {
            Head::Labels => labels(&config, &shards)?,
            Head::Tokens => 0,
        };
        let embedding = match &config.encoder {
            Some(encoder) => encoder.embedding("word_embeddings.weight"),
            None => EMBEDDING.to_owned(),
        };
        let mut checkpoint = Self {
            golden: read_extra(&folder.join("golden.json"))?,
            guard: read_extra(&folder.join("duoguard.json"))?.unwrap_or_default(),
            folder: folder.to_owned(),
            config,
            labels,
            shards,
            prefix: Vec::new(),
            suffix: Vec::new(),
            embedding,
            has_block_embedding: OnceLock::new(),
        };
        checkpoint.check_languages()?;
        checkpoint.check_tensors()?;
        checkpoint.check_golden()?;
        checkpoint.compare_odds();
        (checkpoint.prefix, checkpoint.suffix) = tokenizer::check(
            &checkpoint.folder.join("tokenizer.json"),
            &checkpoint.config,
            checkpoint.guard.prefix_text.as_deref(),
        )?;
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

    /// Number of labels, which are the categories of a bundle, and after them its languages: rows
    /// of the classifier, less the one that stands for harmless text if they exclude each other; 0
    /// for a language model.
    pub fn labels(&self) -> usize {
        self.labels - usize::from(self.config.safe_label.is_some())
    }

    /// The name of the tokens' embedding.
    pub(crate) fn embedding(&self) -> &str {
        &self.embedding
    }

    /// The trainer's logits, if it left any.
    pub fn golden(&self) -> Option<&Golden> {
        self.golden.as_ref()
    }

    /// What the trainer says about the guard; empty if it says nothing.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The token ids that stand before every text: those that the tokenizer puts there, such as
    /// Llama's `<|begin_of_text|>`, and then those of the guard's `prefix_text`.
    pub fn prefix(&self) -> &[u32] {
        &self.prefix
    }

    /// The token ids that the tokenizer puts behind every text, such as BERT's `[SEP]`; decoders
    /// have none.
    pub fn suffix(&self) -> &[u32] {
        &self.suffix
    }

    /// Whether an encoder's embedding consists of 4-bit blocks; the shaders, which know no
    /// encoders, know no such embedding either.
    pub(crate) fn has_block_embedding(&self) -> bool {
        *self.has_block_embedding.get_or_init(|| {
            self.config.encoder.is_some()
                && self.config.hidden.is_multiple_of(BLOCK)
                && self
                    .row_blocks(&self.embedding)
                    .all(|rows| is_of_blocks(&rows))
        })
    }

    /// Size of the weights' files.
    pub fn bytes(&self) -> u64 {
        self.shards.bytes()
    }

    /// The values of a tensor in f32, row after row.
    ///
    /// # Panics
    /// If the network has no such tensor.
    pub fn tensor(&self, name: &str) -> Vec<f32> {
        let place = self.place(name);
        self.shards.read(place, 0, place.shape.iter().product())
    }

    /// Row `row` of a matrix, in f32.
    ///
    /// # Panics
    /// If the network has no such matrix, or the matrix no such row.
    pub fn row(&self, name: &str, row: usize) -> Vec<f32> {
        let place = self.place(name);
        let width = place.shape[1];
        self.shards.read(place, row * width, width)
    }

    /// The values of a tensor in f32, some rows at a time: the embedding of a large vocabulary
    /// fills half a gigabyte.
    pub(crate) fn row_blocks(&self, name: &str) -> impl Iterator<Item = Vec<f32>> {
        let place = self.place(name);
        let width: usize = place.shape[1..].iter().product();
        let rows = place.shape[0];
        let block = (BLOCK_VALUES / width).max(1);
        (0..rows).step_by(block).map(move |row| {
            let count = block.min(rows - row);
            self.shards.read(place, row * width, count * width)
        })
    }

    /// The shape of a tensor that the network has.
    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        &self.place(name).shape
    }

    fn place(&self, name: &str) -> &Place {
        let place = self.shards.place(name);
        place.expect("checkpoints are opened only if every tensor is there")
    }

    /// Number of labels that are categories.
    pub(crate) fn categories(&self) -> usize {
        self.labels() - self.guard.languages.len()
    }

    fn check_languages(&self) -> Result<(), ExportError> {
        let languages = self.guard.languages.len();
        let reason = match (languages, self.config.safe_label) {
            (0, _) => return Ok(()),
            (_, Some(_)) => {
                "languages, which labels that exclude each other cannot have".to_owned()
            }
            _ if languages >= self.labels => format!(
                "{languages} languages; expected fewer than the classifier's {} rows, of which \
                 the first are categories",
                self.labels
            ),
            _ => return Ok(()),
        };
        let path = self.folder.join("duoguard.json");
        Err(ExportError::checkpoint(&path, reason))
    }

    fn check_tensors(&self) -> Result<(), ExportError> {
        for (name, shape) in expected_tensors(&self.config, self.labels) {
            let refused =
                |message: String| ExportError::checkpoint(self.shards.path(&name), message);
            let place = self.shards.place(&name).ok_or_else(|| {
                refused(format!(
                    "tensor {name} is missing; expected {shape:?}{}",
                    prefixed(&self.shards, &name)
                ))
            })?;
            if place.shape != shape {
                return Err(refused(format!(
                    "tensor {name} is {:?}; config.json asks for {shape:?}",
                    place.shape
                )));
            }
            if !matches!(place.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                return Err(refused(format!(
                    "tensor {name} is of type {:?}; only F32, F16 and BF16 are supported",
                    place.dtype
                )));
            }
            let mut before = 0;
            for block in self.row_blocks(&name) {
                if let Some(index) = block.iter().position(|x| !x.is_finite()) {
                    return Err(refused(format!(
                        "tensor {name} has a value that is not a finite number, at index {}; the training diverged or the file is damaged",
                        before + index
                    )));
                }
                before += block.len();
            }
        }
        let expected = expected_tensors(&self.config, self.labels).map(|(name, _)| name);
        let is_decoder = self.config.encoder.is_none();
        if let Some((name, message)) = unread(&self.shards, expected, is_decoder) {
            return Err(ExportError::checkpoint(self.shards.path(&name), message));
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

    /// Makes of the trainer's logits what the graph gives, where labels exclude each other.
    fn compare_odds(&mut self) {
        let (Some(safe), Some(golden)) = (self.config.safe_label, &mut self.golden) else {
            return;
        };
        for case in &mut golden.cases {
            case.logits = odds(&case.logits, safe);
        }
    }
}

/// The name of a tensor of a layer.
pub(crate) fn in_layer(layer: usize, name: &str) -> String {
    format!("model.layers.{layer}.{name}")
}

/// Every tensor of the network with its shape, made one at a time: a `config.json` may claim a
/// million layers.
fn expected_tensors(
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
fn labels(config: &Config, shards: &Shards) -> Result<usize, ExportError> {
    let score = match &config.encoder {
        Some(encoder) => format!("{}.weight", encoder.classifier()),
        None => SCORE.to_owned(),
    };
    let refused = |message: String| ExportError::checkpoint(shards.path(&score), message);
    let place = shards.place(&score).ok_or_else(|| {
        refused(format!(
            "tensor {score} is missing; expected [labels, {}]{}",
            config.hidden,
            prefixed(shards, &score)
        ))
    })?;
    let rows = match place.shape[..] {
        [rows, width] if width == config.hidden => rows,
        _ => {
            return Err(refused(format!(
                "tensor {score} is {:?}; expected [labels, {}]",
                place.shape, config.hidden
            )));
        }
    };
    if rows == 0 || rows > MAX_LABELS {
        return Err(refused(format!(
            "tensor {score} has {rows} rows; expected 1 to {MAX_LABELS}"
        )));
    }
    if !config.labels.is_empty() && config.labels.len() != rows {
        return Err(refused(format!(
            "tensor {score} has {rows} rows, but config.json's id2label has {} names",
            config.labels.len()
        )));
    }
    Ok(rows)
}
