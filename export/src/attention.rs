//! Attention, as nodes that both engines run: over a window alone, or going on from the keys and
//! values of tokens before.
//!
//! Shapes: as in [`graph`](crate::graph); P tokens before.

use crate::checkpoint::in_layer;
use crate::config::Config;
use crate::graph::{FIRST_POSITION, Form, LAST_POSITION, LAST_POSITIONS, Network, TOKENS};
use crate::onnx::{AttributeProto, DataType, Dimension, ValueInfoProto};

/// The keys and values that a graph to go on with takes, or gives: two ports a layer, [B, K, P or
/// T, D].
pub(crate) fn cache_ports(
    config: &Config,
    time: &'static str,
    tokens: &'static str,
) -> impl Iterator<Item = ValueInfoProto> {
    let (heads, size) = (config.kv_heads, config.head_size());
    let shape = [
        Dimension::Named("batch"),
        Dimension::Fixed(heads),
        Dimension::Named(tokens),
        Dimension::Fixed(size),
    ];
    (0..config.layers).flat_map(move |layer| {
        let port = |part| {
            let name = cache_name(layer, time, part);
            ValueInfoProto::new(&name, DataType::Float, Some(&shape))
        };
        [port("key"), port("value")]
    })
}

fn cache_name(layer: usize, time: &str, part: &str) -> String {
    format!("layers.{layer}.{time}_{part}")
}

impl Network<'_> {
    /// Grouped-query attention up to, not including, its output projection. [B, T, C]
    pub(crate) fn attention(&mut self, layer: usize, x: &str) -> String {
        let config = self.checkpoint.config();
        let own = |name: &str| format!("layers.{layer}.{name}");
        let packed = self.attention_input(layer, &own("qkv"), x, &["q", "k", "v"]);
        let [past_key, past_value] = match self.form {
            Form::Window => Default::default(),
            Form::Stream => ["key", "value"].map(|part| cache_name(layer, "past", part)),
        };
        let inputs = [
            &packed,
            "",
            "",
            &past_key,
            &past_value,
            LAST_POSITIONS,
            TOKENS,
            "rotary.cos",
            "rotary.sin",
        ];
        let name = own("attention");
        // ONNX Runtime writes the keys and values somewhere even if nobody reads them.
        let [key, value] = ["key", "value"].map(|part| cache_name(layer, "present", part));
        self.builder.contrib_push(
            &name,
            "GroupQueryAttention",
            &inputs,
            &[&name, &key, &value],
        );
        self.builder
            .attribute(AttributeProto::int("num_heads", config.heads as i64));
        self.builder
            .attribute(AttributeProto::int("kv_num_heads", config.kv_heads as i64));
        self.builder.attribute(AttributeProto::int("do_rotary", 1));
        name
    }

    /// As [`attention`](Self::attention), for the last token alone: no other is asked for after the
    /// last layer. [B, C]
    ///
    /// GroupQueryAttention wants as many queries as keys, so this is spelled out.
    pub(crate) fn last_attention(&mut self, layer: usize, x: &str) -> String {
        let config = self.checkpoint.config();
        let own = |name: &str| format!("layers.{layer}.{name}");
        let last = self.last_token(&own("pool"), x);
        let query = self.attention_input(layer, &own("q"), &last, &["q"]);
        let packed = self.attention_input(layer, &own("kv"), x, &["k", "v"]);
        let (key, value) = (own("key"), own("value"));
        let builder = &mut self.builder;
        builder.push(&own("split_kv"), "Split", &[&packed], &[&key, &value]);
        builder.attribute(AttributeProto::int("axis", -1));
        builder.attribute(AttributeProto::int("num_outputs", 2));
        // The keys stand at the positions from the first new one, the query at the last.
        let key = self.rotate(&key, FIRST_POSITION, config.kv_heads);
        let builder = &mut self.builder;
        let query = builder.node(&own("query"), "Unsqueeze", &[&query, "token_axis"]);
        let query = self.rotate(&query, LAST_POSITION, config.heads);
        let builder = &mut self.builder;
        let query = builder.node(&own("query_pooled"), "Squeeze", &[&query, "token_axis"]);
        // [B, K, H / K, D]
        let query = builder.node(&own("query_heads"), "Reshape", &[&query, "split_query"]);
        let (key, value) = match self.form {
            Form::Window => (
                self.heads(&own("key"), &key, [0, 2, 3, 1]),
                self.heads(&own("value"), &value, [0, 2, 1, 3]),
            ),
            Form::Stream => {
                let key = self.appended(layer, "key", &key);
                let value = self.appended(layer, "value", &value);
                let builder = &mut self.builder;
                let key = builder.node(&own("key_turned_again"), "Transpose", &[&key]);
                builder.attribute(AttributeProto::ints("perm", &[0, 1, 3, 2]));
                (key, value)
            }
        };
        // Keys [B, K, D, P + T], values [B, K, P + T, D].
        let builder = &mut self.builder;
        let scores = builder.node(&own("scores"), "MatMul", &[&query, &key]);
        let scores = builder.node(&own("scores_scaled"), "Mul", &[&scores, "attention_scale"]);
        let weights = builder.node(&own("attention_weights"), "Softmax", &[&scores]);
        builder.attribute(AttributeProto::int("axis", -1));
        let mixed = builder.node(&own("mixed"), "MatMul", &[&weights, &value]);
        builder.node(&own("attention"), "Reshape", &[&mixed, "join_heads"])
    }

    /// `x` [B, T, K * D] by heads, in another order than [B, T, K, D].
    fn heads(&mut self, name: &str, x: &str, order: [i64; 4]) -> String {
        let builder = &mut self.builder;
        let split = builder.node(&format!("{name}_heads"), "Reshape", &[x, "split_keys"]);
        let turned = builder.node(&format!("{name}_turned"), "Transpose", &[&split]);
        builder.attribute(AttributeProto::ints("perm", &order));
        turned
    }

    /// The keys or values of the tokens before, then those of the new tokens. [B, K, P + T, D]
    fn appended(&mut self, layer: usize, part: &str, x: &str) -> String {
        let new = self.heads(&format!("layers.{layer}.{part}"), x, [0, 2, 1, 3]);
        let past = cache_name(layer, "past", part);
        let present = cache_name(layer, "present", part);
        let builder = &mut self.builder;
        builder.push(&present, "Concat", &[&past, &new], &[&present]);
        builder.attribute(AttributeProto::int("axis", 2));
        present
    }

    /// Rotary embedding of `x` [B, T, heads * D], whose first token stands at `position`.
    fn rotate(&mut self, x: &str, position: &str, heads: usize) -> String {
        let name = format!("{x}_rotated");
        let inputs = [x, position, "rotary.cos", "rotary.sin"];
        self.builder.contrib_node(&name, "RotaryEmbedding", &inputs);
        self.builder
            .attribute(AttributeProto::int("num_heads", heads as i64));
        name
    }

    /// Queries, keys or values, side by side, with their biases.
    fn attention_input(&mut self, layer: usize, name: &str, x: &str, parts: &[&str]) -> String {
        let checkpoint = self.checkpoint;
        let tensors = |kind: &str| -> Vec<String> {
            let tensor = |part| in_layer(layer, &format!("self_attn.{part}_proj.{kind}"));
            parts.iter().map(tensor).collect()
        };
        if !checkpoint.config().qkv_bias {
            return self.linear(name, x, tensors("weight"));
        }
        self.biased(name, x, (tensors("weight"), tensors("bias")))
    }
}
