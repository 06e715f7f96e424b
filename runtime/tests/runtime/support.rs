//! A bundle small enough to know by heart.
//!
//! The network takes the maximum of its tokens' embeddings: a text's logits are the largest values
//! that any of its tokens has in each category.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const CATEGORIES: [&str; 3] = ["violence", "fraud", "hate"];
pub const WINDOW_TOKENS: usize = 4;
pub const OVERLAP_TOKENS: usize = 1;

/// Words, and their logits per category. The row number is the token id.
pub const WORDS: [(&str, [f32; 3]); 5] = [
    ("[UNK]", [-4.0, -4.0, -4.0]),
    ("good", [-5.0, -6.0, -7.0]),
    ("stab", [3.0, -2.0, -1.0]),
    ("scam", [-3.0, 4.0, -2.0]),
    ("odd", [-3.0, 0.5, -2.0]),
];

/// The files of a bundle, to be changed by a test and sealed again.
#[derive(Clone)]
pub struct Files {
    pub manifest: Value,
    pub tokenizer: Vec<u8>,
    pub graph: Vec<u8>,
    pub weights: Vec<u8>,
}

impl Files {
    pub fn new() -> Self {
        let weights = weights();
        let offset = weights.len() - WORDS.len() * CATEGORIES.len() * 4;
        let graph = Graph {
            offset,
            ..Graph::default()
        }
        .encode();
        Self {
            manifest: manifest(),
            tokenizer: tokenizer(),
            graph,
            weights,
        }
    }

    /// The files, with the hashes in the manifest brought up to date.
    pub fn seal(mut self) -> BTreeMap<String, Vec<u8>> {
        self.manifest["files"] = json!({
            "tokenizer.json": sha256(&self.tokenizer),
            "model.onnx": sha256(&self.graph),
            "weights.data": sha256(&self.weights),
        });
        BTreeMap::from([
            (
                "manifest.json".to_owned(),
                self.manifest.to_string().into_bytes(),
            ),
            ("tokenizer.json".to_owned(), self.tokenizer),
            ("model.onnx".to_owned(), self.graph),
            ("weights.data".to_owned(), self.weights),
        ])
    }
}

pub fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

pub fn model() -> duoguard::Model {
    open(Files::new()).unwrap()
}

pub fn open(files: Files) -> duoguard::Result<duoguard::Model> {
    duoguard::Model::from_bundle(duoguard::Bundle::from_memory(files.seal())?)
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn manifest() -> Value {
    json!({
        "format_version": 1,
        "name": "five words",
        "architecture": {
            "model_type": "test", "layers": 1, "hidden": 3, "heads": 1, "kv_heads": 1,
            "intermediate": 1, "vocabulary": WORDS.len(), "max_position": 16,
        },
        "categories": CATEGORIES,
        "policy": {
            "default_thresholds": { "violence": 0.5, "fraud": 0.5, "hate": 0.5 },
            "language_thresholds": { "fr": { "fraud": 0.9 } },
        },
        "limits": { "window_tokens": WINDOW_TOKENS, "overlap_tokens": OVERLAP_TOKENS },
        "files": {},
        "quantization": null,
        "provenance": {},
    })
}

pub fn tokenizer() -> Vec<u8> {
    let vocabulary: BTreeMap<_, _> = WORDS
        .iter()
        .enumerate()
        .map(|(id, (word, _))| (*word, id))
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" },
    });
    tokenizer.to_string().into_bytes()
}

fn weights() -> Vec<u8> {
    let data: Vec<u8> = WORDS
        .iter()
        .flat_map(|(_, row)| row)
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let shape = vec![WORDS.len(), CATEGORIES.len()];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &data).unwrap();
    safetensors::serialize([("embedding", view)], None).unwrap()
}

/// What varies in the graph that the tests write.
pub struct Graph<'a> {
    pub input: &'a str,
    pub output: &'a str,
    pub columns: usize,
    pub location: &'a str,
    pub offset: usize,
    pub length: usize,
}

impl Default for Graph<'_> {
    fn default() -> Self {
        Self {
            input: "input_ids",
            output: "logits",
            columns: CATEGORIES.len(),
            location: "weights.data",
            offset: 0,
            length: WORDS.len() * CATEGORIES.len() * 4,
        }
    }
}

impl Graph<'_> {
    /// `logits = ReduceMax(Gather(embedding, input_ids), axis 1)`, as a serialised `ModelProto`.
    pub fn encode(&self) -> Vec<u8> {
        let embedding = [
            number(1, WORDS.len() as u64),
            number(1, CATEGORIES.len() as u64),
            number(2, 1),
            bytes(8, b"embedding"),
            entry("location", self.location),
            entry("offset", &self.offset.to_string()),
            entry("length", &self.length.to_string()),
            number(14, 1),
        ];
        let gather = [
            bytes(1, b"embedding"),
            bytes(1, self.input.as_bytes()),
            bytes(2, b"embedded"),
            bytes(4, b"Gather"),
        ];
        let axes = [bytes(1, b"axes"), number(8, 1), number(20, 7)].concat();
        let keep = [bytes(1, b"keepdims"), number(3, 0), number(20, 2)].concat();
        let reduce = [
            bytes(1, b"embedded"),
            bytes(2, self.output.as_bytes()),
            bytes(4, b"ReduceMax"),
            bytes(5, &axes),
            bytes(5, &keep),
        ];
        let symbol = |name: &str| bytes(1, &bytes(2, name.as_bytes()));
        let graph = [
            bytes(1, &gather.concat()),
            bytes(1, &reduce.concat()),
            bytes(2, b"test"),
            bytes(5, &embedding.concat()),
            bytes(
                11,
                &port(self.input, 7, [symbol("batch"), symbol("tokens")]),
            ),
            bytes(
                12,
                &port(
                    self.output,
                    1,
                    [symbol("batch"), bytes(1, &number(1, self.columns as u64))],
                ),
            ),
        ];
        [
            number(1, 8),
            bytes(7, &graph.concat()),
            bytes(8, &number(2, 13)),
        ]
        .concat()
    }
}

fn port(name: &str, element: u64, dimensions: [Vec<u8>; 2]) -> Vec<u8> {
    let tensor = [number(1, element), bytes(2, &dimensions.concat())].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

fn entry(key: &str, value: &str) -> Vec<u8> {
    bytes(
        13,
        &[bytes(1, key.as_bytes()), bytes(2, value.as_bytes())].concat(),
    )
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut result = Vec::new();
    while value > 0x7f {
        result.push(value as u8 | 0x80);
        value >>= 7;
    }
    result.push(value as u8);
    result
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [
        varint(field << 3 | 2),
        varint(value.len() as u64),
        value.to_vec(),
    ]
    .concat()
}
