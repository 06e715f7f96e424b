//! GGUF files made up on the spot, to be damaged before they are written.

use crate::support::{Family, Files, Recipe};

/// A file: its keys, its tensors, and what the header says.
#[derive(Clone)]
pub struct GgufFile {
    pub magic: [u8; 4],
    pub version: u32,
    /// What the header claims beyond what there is.
    pub claimed: [u64; 2],
    pub keys: Vec<(String, Item)>,
    pub tensors: Vec<Tensor>,
}

/// A value of the metadata.
#[derive(Clone)]
pub enum Item {
    U32(u32),
    F32(f32),
    Flag(u8),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    /// A value type and the bytes of the value.
    Raw(u32, Vec<u8>),
}

/// A tensor; `offset` is where it says that its bytes are, if not where they are.
#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub dimensions: Vec<u64>,
    pub kind: u32,
    pub offset: Option<u64>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// One of type F32.
    pub fn floats(name: &str, dimensions: Vec<u64>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        Self {
            name: name.to_owned(),
            dimensions,
            kind: 0,
            offset: None,
            bytes: bytes.collect(),
        }
    }
}

pub fn text(value: &str) -> Item {
    Item::Text(value.to_owned())
}

/// A random language model of F32, as `Recipe` makes it, with a byte-level tokenizer of letters.
pub fn language_model(family: Family) -> (Files, GgufFile) {
    let recipe = Recipe {
        family,
        ..Recipe::default()
    };
    let mut files = recipe.files();
    files.tensors.remove("score.weight");
    let name = match family {
        Family::Llama => "llama",
        Family::Qwen2 => "qwen2",
    };
    let mut letters: Vec<String> = ('a'..='z').map(String::from).collect();
    letters.extend(["th", "the", "an"].map(str::to_owned));
    letters.extend((letters.len()..50).map(|i| format!("<{i}>")));
    let types = (0..50).map(|i| if i < 29 { 1 } else { 3 }).collect();
    let own = |key: &str| format!("{name}.{key}");
    let keys = vec![
        ("general.architecture".to_owned(), text(name)),
        (own("block_count"), Item::U32(recipe.layers as u32)),
        (own("context_length"), Item::U32(128)),
        (own("embedding_length"), Item::U32(recipe.hidden as u32)),
        (
            own("feed_forward_length"),
            Item::U32(recipe.intermediate as u32),
        ),
        (own("attention.head_count"), Item::U32(recipe.heads as u32)),
        (
            own("attention.head_count_kv"),
            Item::U32(recipe.kv_heads as u32),
        ),
        (own("attention.layer_norm_rms_epsilon"), Item::F32(1e-6)),
        ("tokenizer.ggml.model".to_owned(), text("gpt2")),
        ("tokenizer.ggml.pre".to_owned(), text("smollm")),
        ("tokenizer.ggml.tokens".to_owned(), Item::Texts(letters)),
        ("tokenizer.ggml.token_type".to_owned(), Item::I32s(types)),
        (
            "tokenizer.ggml.merges".to_owned(),
            Item::Texts(["t h", "th e", "a n"].map(str::to_owned).to_vec()),
        ),
        ("tokenizer.ggml.eos_token_id".to_owned(), Item::U32(30)),
    ];
    let tensors = files.tensors.iter().map(|(called, (shape, values))| {
        let values = match called {
            called if family == Family::Qwen2 || !called.contains("self_attn") => values.clone(),
            called if called.contains("q_proj") || called.contains("k_proj") => {
                interleaved(values, shape[1], recipe.hidden / recipe.heads)
            }
            _ => values.clone(),
        };
        let dimensions = shape.iter().rev().map(|size| *size as u64);
        Tensor::floats(&gguf_name(called), dimensions.collect(), &values)
    });
    let file = GgufFile {
        magic: *b"GGUF",
        version: 3,
        claimed: [0, 0],
        keys,
        tensors: tensors.collect(),
    };
    (files, file)
}

/// The rows of every head's two halves by turns, as converters write Llama's Q and K.
fn interleaved(values: &[f32], width: usize, head: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = values.chunks(width).collect();
    let heads = rows.chunks(head);
    let by_turns = heads.flat_map(|rows| {
        let (first, second) = rows.split_at(head / 2);
        first.iter().zip(second).flat_map(|(a, b)| [*a, *b])
    });
    by_turns.flatten().copied().collect()
}

fn gguf_name(name: &str) -> String {
    let mut name = name.replace("model.layers.", "blk.");
    for (from, to) in [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.", "attn_"),
        ("mlp.", "ffn_"),
        ("_proj", ""),
    ] {
        name = name.replace(from, to);
    }
    name
}

impl GgufFile {
    /// Replaces the value of a key, or adds it.
    pub fn set(&mut self, key: &str, item: Item) {
        self.keys.retain(|(name, _)| name != key);
        self.keys.push((key.to_owned(), item));
    }

    pub fn remove(&mut self, key: &str) {
        self.keys.retain(|(name, _)| name != key);
    }

    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        let mut tensors = self.tensors.iter_mut();
        tensors.find(|tensor| tensor.name == name).unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        let counts = [self.tensors.len(), self.keys.len()];
        for (count, claimed) in counts.iter().zip(self.claimed) {
            out.extend((*count as u64).wrapping_add(claimed).to_le_bytes());
        }
        for (key, item) in &self.keys {
            put_text(&mut out, key);
            put_item(&mut out, item);
        }
        let mut at = 0_u64;
        for tensor in &self.tensors {
            put_text(&mut out, &tensor.name);
            out.extend((tensor.dimensions.len() as u32).to_le_bytes());
            out.extend(tensor.dimensions.iter().flat_map(|size| size.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend(tensor.offset.unwrap_or(at).to_le_bytes());
            at += (tensor.bytes.len() as u64).next_multiple_of(32);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        for tensor in &self.tensors {
            out.extend(&tensor.bytes);
            out.resize(out.len().next_multiple_of(32), 0);
        }
        out
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_item(out: &mut Vec<u8>, item: &Item) {
    let kind = match item {
        Item::U32(_) => 4,
        Item::F32(_) => 6,
        Item::Flag(_) => 7,
        Item::Text(_) => 8,
        Item::Texts(_) | Item::I32s(_) | Item::F32s(_) => 9,
        Item::Raw(kind, _) => *kind,
    };
    out.extend(u32::to_le_bytes(kind));
    let array = |out: &mut Vec<u8>, kind: u32, count: usize| {
        out.extend(kind.to_le_bytes());
        out.extend((count as u64).to_le_bytes());
    };
    match item {
        Item::U32(value) => out.extend(value.to_le_bytes()),
        Item::F32(value) => out.extend(value.to_le_bytes()),
        Item::Flag(value) => out.push(*value),
        Item::Text(text) => put_text(out, text),
        Item::Texts(texts) => {
            array(out, 8, texts.len());
            texts.iter().for_each(|text| put_text(out, text));
        }
        Item::I32s(values) => {
            array(out, 5, values.len());
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Item::F32s(values) => {
            array(out, 6, values.len());
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Item::Raw(_, bytes) => out.extend(bytes),
    }
}
