//! A bundle small enough to know by heart.
//!
//! The network takes the maximum of its tokens' values: a text's logits are the largest that any of
//! its tokens has in each category. [`decoder`](crate::decoder) says how the tensors compute that;
//! the graph says it in a few operators.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::decoder::{HEAD, HEADS, HIDDEN, MAX_POSITION, weights};

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
    /// `stream.onnx`, if there is one.
    pub stream: Option<Vec<u8>>,
}

impl Files {
    pub fn new() -> Self {
        Self {
            manifest: manifest(),
            tokenizer: tokenizer(),
            graph: Graph::default().encode(),
            weights: weights(),
            stream: None,
        }
    }

    /// The same with `stream.onnx`.
    pub fn with_stream() -> Self {
        Self {
            stream: Some(Graph::default().encode_stream()),
            ..Self::new()
        }
    }

    /// The files, with the hashes in the manifest brought up to date.
    pub fn seal(mut self) -> BTreeMap<String, Vec<u8>> {
        self.manifest["files"] = json!({
            "tokenizer.json": sha256(&self.tokenizer),
            "model.onnx": sha256(&self.graph),
            "weights.data": sha256(&self.weights),
        });
        if let Some(stream) = &self.stream {
            self.manifest["files"]["stream.onnx"] = sha256(stream).into();
        }
        let stream = self.stream.map(|bytes| ("stream.onnx".to_owned(), bytes));
        let files = [
            (
                "manifest.json".to_owned(),
                self.manifest.to_string().into_bytes(),
            ),
            ("tokenizer.json".to_owned(), self.tokenizer),
            ("model.onnx".to_owned(), self.graph),
            ("weights.data".to_owned(), self.weights),
        ];
        files.into_iter().chain(stream).collect()
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
            "model_type": "qwen2", "layers": 1, "hidden": HIDDEN, "heads": 4, "kv_heads": 4,
            "intermediate": 1, "vocabulary": WORDS.len(), "max_position": MAX_POSITION,
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
            offset: offset_of("embedding.weight"),
            length: WORDS.len() * HIDDEN * 4,
        }
    }
}

impl Graph<'_> {
    /// `logits = ReduceMax(Gather(Norm(Gather(embedding, input_ids)), columns), axis 1)`, as a
    /// serialised `ModelProto`. All rows of the embedding have the same root mean square, which is
    /// the weight of the norm: it changes nothing, and has the one number that tensors do not tell.
    pub fn encode(&self) -> Vec<u8> {
        self.model(&[
            bytes(
                11,
                &port(self.input, 7, &[symbol("batch"), symbol("tokens")]),
            ),
            bytes(
                12,
                &port(self.output, 1, &[symbol("batch"), known(self.columns)]),
            ),
        ])
    }

    /// The same with keys and values before and behind, which nothing in it computes: for the
    /// engine native, which goes by the tensors.
    pub fn encode_stream(&self) -> Vec<u8> {
        let mut ports = vec![
            bytes(11, &port(self.input, 7, &[known(1), symbol("tokens")])),
            bytes(12, &port(self.output, 1, &[known(1), known(self.columns)])),
        ];
        for part in ["key", "value"] {
            for (field, time) in [(11, "past"), (12, "present")] {
                let shape = [known(1), known(HEADS), symbol(time), known(HEAD)];
                let name = format!("layers.0.{time}_{part}");
                ports.push(bytes(field, &port(&name, 1, &shape)));
            }
        }
        self.model(&ports)
    }

    fn model(&self, ports: &[Vec<u8>]) -> Vec<u8> {
        let external = |name: &str, shape: &[usize], offset: usize, length: usize| {
            let shape = shape.iter().flat_map(|size| number(1, *size as u64));
            let parts = [
                shape.collect(),
                number(2, 1),
                bytes(8, name.as_bytes()),
                entry("location", self.location),
                entry("offset", &offset.to_string()),
                entry("length", &length.to_string()),
                number(14, 1),
            ];
            bytes(5, &parts.concat())
        };
        let shape = [WORDS.len(), HIDDEN];
        let embedding = external("embedding", &shape, self.offset, self.length);
        let norm = offset_of("layers.0.input_norm.weight");
        let norm = external("norm", &[HIDDEN], norm, 4 * HIDDEN);
        let columns: Vec<u8> = (0..CATEGORIES.len() as i64)
            .flat_map(i64::to_le_bytes)
            .collect();
        let columns = [
            number(1, CATEGORIES.len() as u64),
            number(2, 7),
            bytes(8, b"columns"),
            bytes(9, &columns),
        ];
        let attribute = |name: &str, value: Vec<u8>, kind| {
            bytes(
                5,
                &[bytes(1, name.as_bytes()), value, number(20, kind)].concat(),
            )
        };
        let node = |operator: &str, inputs: [&str; 2], output: &str, attributes: &[u8]| {
            let inputs = inputs.iter().filter(|input| !input.is_empty());
            let inputs: Vec<u8> = inputs
                .flat_map(|input| bytes(1, input.as_bytes()))
                .collect();
            let (output, operator) = (bytes(2, output.as_bytes()), bytes(4, operator.as_bytes()));
            bytes(1, &[&inputs, &*output, &operator, attributes].concat())
        };
        let epsilon = [varint(2 << 3 | 5), 0.0_f32.to_le_bytes().to_vec()].concat();
        let graph = [
            node("Gather", ["embedding", self.input], "embedded", &[]),
            node(
                "SimplifiedLayerNormalization",
                ["embedded", "norm"],
                "normal",
                &attribute("epsilon", epsilon, 1),
            ),
            node(
                "Gather",
                ["normal", "columns"],
                "values",
                &attribute("axis", number(3, 2), 2),
            ),
            node(
                "ReduceMax",
                ["values", ""],
                self.output,
                &[
                    attribute("axes", number(8, 1), 7),
                    attribute("keepdims", number(3, 0), 2),
                ]
                .concat(),
            ),
            bytes(2, b"test"),
            embedding,
            norm,
            bytes(5, &columns.concat()),
            ports.concat(),
        ];
        [
            number(1, 8),
            bytes(7, &graph.concat()),
            bytes(8, &number(2, 13)),
        ]
        .concat()
    }
}

/// Where a tensor lies in the file.
fn offset_of(name: &str) -> usize {
    let file = weights();
    let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
    tensors.tensor(name).unwrap().data().as_ptr().addr() - file.as_ptr().addr()
}

fn symbol(name: &str) -> Vec<u8> {
    bytes(1, &bytes(2, name.as_bytes()))
}

fn known(size: usize) -> Vec<u8> {
    bytes(1, &number(1, size as u64))
}

fn port(name: &str, element: u64, dimensions: &[Vec<u8>]) -> Vec<u8> {
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
