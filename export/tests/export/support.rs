//! Random checkpoints, made as a trainer would write them.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

/// The shape of a checkpoint, and what a test may change in it.
#[derive(Clone)]
pub struct Recipe {
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub intermediate: usize,
    pub vocabulary: usize,
    pub labels: usize,
    pub max_position: usize,
    pub dtype: Dtype,
    pub family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Family {
    Qwen2,
    Llama,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            layers: 2,
            hidden: 64,
            heads: 4,
            kv_heads: 2,
            intermediate: 40,
            vocabulary: 50,
            labels: 12,
            max_position: 128,
            dtype: Dtype::F32,
            family: Family::Qwen2,
        }
    }
}

/// The files of a checkpoint, to be changed before they are written.
#[derive(Clone)]
pub struct Files {
    pub config: Value,
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    pub dtype: Dtype,
    pub tokenizer: Value,
    pub extra: BTreeMap<&'static str, Value>,
}

impl Recipe {
    pub fn files(&self) -> Files {
        let (c, kv) = (
            self.hidden,
            self.kv_heads * (self.hidden / self.heads.max(1)),
        );
        let mut numbers = Numbers(self.hidden as u64);
        let mut tensors = BTreeMap::new();
        let mut add = |name: String, shape: Vec<usize>| {
            let count = shape.iter().product();
            let fan_in = (*shape.last().unwrap() as f32).sqrt();
            let value = |_| {
                let x = numbers.next();
                match &name {
                    name if name.contains("norm") => 1.0 + 0.3 * x,
                    name if name.ends_with("bias") => 0.2 * x,
                    name if name.contains("embed") => x,
                    _ => 1.7 * x / fan_in,
                }
            };
            tensors.insert(name.clone(), (shape, (0..count).map(value).collect()));
        };
        add("model.embed_tokens.weight".into(), vec![self.vocabulary, c]);
        add("model.norm.weight".into(), vec![c]);
        add("score.weight".into(), vec![self.labels, c]);
        for layer in 0..self.layers {
            let mut add =
                |name: &str, shape| add(format!("model.layers.{layer}.{name}.weight"), shape);
            add("input_layernorm", vec![c]);
            add("post_attention_layernorm", vec![c]);
            add("self_attn.q_proj", vec![c, c]);
            add("self_attn.k_proj", vec![kv, c]);
            add("self_attn.v_proj", vec![kv, c]);
            add("self_attn.o_proj", vec![c, c]);
            add("mlp.gate_proj", vec![self.intermediate, c]);
            add("mlp.up_proj", vec![self.intermediate, c]);
            add("mlp.down_proj", vec![c, self.intermediate]);
        }
        let biased = match self.family {
            Family::Qwen2 => self.layers,
            Family::Llama => 0,
        };
        for layer in 0..biased {
            for (name, width) in [("q", c), ("k", kv), ("v", kv)] {
                add(
                    format!("model.layers.{layer}.self_attn.{name}_proj.bias"),
                    vec![width],
                );
            }
        }
        let words: BTreeMap<String, usize> =
            (0..self.vocabulary).map(|i| (format!("w{i}"), i)).collect();
        let (architecture, model_type) = match self.family {
            Family::Qwen2 => ("Qwen2ForSequenceClassification", "qwen2"),
            Family::Llama => ("LlamaForSequenceClassification", "llama"),
        };
        Files {
            config: json!({
                "architectures": [architecture], "model_type": model_type,
                "hidden_size": self.hidden, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
                "num_key_value_heads": self.kv_heads, "intermediate_size": self.intermediate, "vocab_size": self.vocabulary,
                "max_position_embeddings": self.max_position, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu",
                "use_sliding_window": false,
            }),
            tensors,
            dtype: self.dtype,
            tokenizer: json!({
                "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
                "pre_tokenizer": { "type": "WhitespaceSplit" }, "post_processor": null, "decoder": null,
                "model": { "type": "WordLevel", "vocab": words, "unk_token": "w0" },
            }),
            extra: BTreeMap::new(),
        }
    }
}

impl Files {
    pub fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        let write = |name: &str, value: &Value| {
            std::fs::write(folder.join(name), value.to_string()).unwrap()
        };
        write("config.json", &self.config);
        write("tokenizer.json", &self.tokenizer);
        for (name, value) in &self.extra {
            write(name, value);
        }
        std::fs::write(folder.join("model.safetensors"), self.safetensors()).unwrap();
    }

    /// As [`write`](Self::write), with the weights in `count` files and their index.
    pub fn write_sharded(&self, folder: &Path, count: usize) {
        self.write(folder);
        std::fs::remove_file(folder.join("model.safetensors")).unwrap();
        let names: Vec<_> = self.tensors.keys().cloned().collect();
        let mut map = serde_json::Map::new();
        for (index, part) in names.chunks(names.len().div_ceil(count)).enumerate() {
            let file = format!("model-{:05}-of-{count:05}.safetensors", index + 1);
            let mut shard = self.clone();
            shard.tensors.retain(|name, _| part.contains(name));
            std::fs::write(folder.join(&file), shard.safetensors()).unwrap();
            map.extend(part.iter().map(|name| (name.clone(), json!(file))));
        }
        let index = json!({ "metadata": { "total_size": 0 }, "weight_map": map });
        let path = folder.join("model.safetensors.index.json");
        std::fs::write(path, index.to_string()).unwrap();
    }

    pub fn safetensors(&self) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = self
            .tensors
            .values()
            .map(|(_, values)| encode(values, self.dtype))
            .collect();
        let views = self
            .tensors
            .iter()
            .zip(&bytes)
            .map(|((name, (shape, _)), bytes)| {
                (
                    name,
                    TensorView::new(self.dtype, shape.clone(), bytes).unwrap(),
                )
            });
        serialize(views, None).unwrap()
    }
}

fn encode(values: &[f32], dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Dtype::F16 => values
            .iter()
            .flat_map(|x| half::f16::from_f32(*x).to_le_bytes())
            .collect(),
        Dtype::BF16 => values
            .iter()
            .flat_map(|x| half::bf16::from_f32(*x).to_le_bytes())
            .collect(),
        other => vec![0; values.len() * other.bitsize() / 8],
    }
}

/// Uniform numbers in (-1, 1), the same every time.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn ids(&mut self, count: usize, vocabulary: usize) -> Vec<u32> {
        let id = |_| ((self.next() + 1.0) / 2.0 * vocabulary as f32) as u32;
        (0..count).map(id).collect()
    }
}

/// The names of what lies in a folder, hidden files too.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
