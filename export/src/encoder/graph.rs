//! The encoder's part of the graph, as nodes that ONNX Runtime fuses.
//!
//! Shapes: as in [`graph`](crate::graph); S tokens of which the last layer is asked: all T, or the
//! first alone.

use duoguard::Pooling;

use super::config::{Activation, Encoder};
use crate::graph::{EMBEDDED, Network, TOKENS};
use crate::linear::{le_bytes, transpose};
use crate::onnx::{AttributeProto, DataType};

/// The projections of a layer.
pub(crate) fn projections(encoder: &Encoder, is_last: bool) -> &'static [&'static str] {
    match is_last && encoder.pooling == Pooling::FirstToken {
        true => &["q", "kv", "attention_output", "up", "down"],
        false => &["qkv", "attention_output", "up", "down"],
    }
}

impl Network<'_> {
    /// Everything between the embedding of the tokens and the logits.
    pub(crate) fn encode(&mut self, encoder: &Encoder) {
        let config = self.checkpoint.config();
        let mut x = self.embeddings(encoder);
        for layer in 0..config.layers {
            let is_last = layer + 1 == config.layers;
            x = self.encoder_layer(encoder, layer, &x, is_last);
        }
        let pooled = match encoder.pooling {
            // The last layer was asked for nothing else.
            Pooling::FirstToken => self.builder.node("pooled", "Squeeze", &[&x, "token_axis"]),
            Pooling::Mean => {
                let mean = self
                    .builder
                    .node("pooled", "ReduceMean", &[&x, "token_axis"]);
                self.builder.attribute(AttributeProto::int("keepdims", 0));
                mean
            }
            Pooling::LastToken => unreachable!("an encoder's configuration has no such pooling"),
        };
        let pooled = match encoder.dense() {
            Some(dense) => {
                let dense = self.affine("pooler", &pooled, dense);
                self.builder.node("pooler_tanh", "Tanh", &[&dense])
            }
            None => pooled,
        };
        let raw = self.raw_logits();
        self.affine(raw, &pooled, encoder.classifier());
        self.logits(raw);
    }

    /// Tokens, positions and the first token type, normalised. [B, T, C]
    fn embeddings(&mut self, encoder: &Encoder) -> String {
        let checkpoint = self.checkpoint;
        let config = checkpoint.config();
        let width = config.hidden;
        let [positions, types] = ["position", "token_type"]
            .map(|name| encoder.embedding(&format!("{name}_embeddings.weight")));
        // Every row has the same type: one table holds both.
        let (first, rows) = (encoder.first_position, crate::graph::max_position(config));
        let shape = vec![rows, width];
        let table = self
            .builder
            .tensor("position.weight", DataType::Float, shape, move || {
                let kind = checkpoint.row(&types, 0);
                let table = (first..first + rows).flat_map(|row| {
                    let row = checkpoint.row(&positions, row).into_iter();
                    row.zip(&kind).map(|(a, b)| a + b).collect::<Vec<_>>()
                });
                le_bytes(table)
            });
        let builder = &mut self.builder;
        let end = builder.node("position.end", "Unsqueeze", &[TOKENS, "first"]);
        let place = builder.node(
            "position",
            "Slice",
            &[&table, "first_i32", &end, "first_i32"],
        );
        let sum = builder.node("embeddings", "Add", &[EMBEDDED, &place]);
        let [weight, bias] = ["weight", "bias"].map(|part| {
            let source = encoder.embedding(&format!("LayerNorm.{part}"));
            self.part("embeddings_norm", part, source)
        });
        let inputs = [&*sum, &weight, &bias];
        let x = self
            .builder
            .node("embeddings_norm", "LayerNormalization", &inputs);
        let eps = AttributeProto::float("epsilon", config.norm_eps as f32);
        self.builder.attribute(AttributeProto::int("axis", -1));
        self.builder.attribute(eps);
        x
    }

    /// Attention and feed-forward, each added to what it was given and then normalised. [B, S, C]
    fn encoder_layer(&mut self, encoder: &Encoder, layer: usize, x: &str, is_last: bool) -> String {
        let own = |name: &str| format!("layers.{layer}.{name}");
        let tensor = |name: &str| encoder.in_layer(layer, name);
        let attention = |parts: &[&str], kind: &str| -> Vec<String> {
            let name = |part| tensor(&format!("attention.self.{part}.{kind}"));
            parts.iter().map(name).collect()
        };
        let (asked, query, key, value) = if is_last && encoder.pooling == Pooling::FirstToken {
            // Only the first token is classified, and nothing after attention mixes tokens.
            let asked = self
                .builder
                .node(&own("first_token"), "Gather", &[x, "first"]);
            self.builder.attribute(AttributeProto::int("axis", 1));
            let parts = ["query"];
            let weights = (attention(&parts, "weight"), attention(&parts, "bias"));
            let query = self.biased(&own("q"), &asked, weights);
            let parts = ["key", "value"];
            let weights = (attention(&parts, "weight"), attention(&parts, "bias"));
            let packed = self.biased(&own("kv"), x, weights);
            let [key, value] = ["key", "value"].map(own);
            self.split(&own("split"), &packed, &[&key, &value]);
            (asked, query, key, value)
        } else {
            let parts = ["query", "key", "value"];
            let weights = (attention(&parts, "weight"), attention(&parts, "bias"));
            let packed = self.biased(&own("qkv"), x, weights);
            let [query, key, value] = parts.map(own);
            self.split(&own("split"), &packed, &[&query, &key, &value]);
            (x.to_owned(), query, key, value)
        };
        let heads = self.checkpoint.config().heads as i64;
        let name = own("attention");
        let builder = &mut self.builder;
        builder.contrib_node(&name, "MultiHeadAttention", &[&query, &key, &value]);
        builder.attribute(AttributeProto::int("num_heads", heads));
        let mixed = self.linear(
            &own("attention_output"),
            &name,
            vec![tensor("attention.output.dense.weight")],
        );
        let x = self.add_and_center(
            &own("attention_norm"),
            [&mixed, &asked],
            &tensor("attention.output.dense.bias"),
            &tensor("attention.output.LayerNorm"),
        );
        let up = self.linear(&own("up"), &x, vec![tensor("intermediate.dense.weight")]);
        let bias = self.part(&own("up"), "bias", tensor("intermediate.dense.bias"));
        let operator = match encoder.activation {
            Activation::Gelu => "BiasGelu",
            Activation::GeluTanh => "FastGelu",
        };
        let inner = self
            .builder
            .contrib_node(&own("gelu"), operator, &[&up, &bias]);
        let fed = self.linear(&own("down"), &inner, vec![tensor("output.dense.weight")]);
        self.add_and_center(
            &own("norm"),
            [&fed, &x],
            &tensor("output.dense.bias"),
            &tensor("output.LayerNorm"),
        )
    }

    fn split(&mut self, name: &str, packed: &str, parts: &[&str]) {
        self.builder.push(name, "Split", &[packed], parts);
        self.builder.attribute(AttributeProto::int("axis", -1));
        let count = AttributeProto::int("num_outputs", parts.len() as i64);
        self.builder.attribute(count);
    }

    /// The sum of two values and a bias, less its mean, over its deviation.
    fn add_and_center(&mut self, name: &str, sum: [&str; 2], bias: &str, norm: &str) -> String {
        let [weight, shift] =
            ["weight", "bias"].map(|part| self.part(name, part, format!("{norm}.{part}")));
        let bias = self.part(name, "projection_bias", bias.to_owned());
        let inputs = [sum[0], sum[1], &weight, &shift, &bias];
        self.builder
            .contrib_node(name, "SkipLayerNormalization", &inputs);
        let eps = self.checkpoint.config().norm_eps as f32;
        self.builder
            .attribute(AttributeProto::float("epsilon", eps));
        name.to_owned()
    }

    /// A small linear layer with a bias, in f32.
    fn affine(&mut self, name: &str, x: &str, source: &'static str) -> String {
        let checkpoint = self.checkpoint;
        let source_weight = format!("{source}.weight");
        let (rows, columns) = match *checkpoint.shape(&source_weight) {
            [rows, columns] => (rows, columns),
            _ => unreachable!("checked when the checkpoint was opened"),
        };
        let weight = self.builder.tensor(
            &format!("{name}.weight"),
            DataType::Float,
            vec![columns, rows],
            move || le_bytes(transpose(&checkpoint.tensor(&source_weight), rows)),
        );
        let bias = self.part(name, "bias", format!("{source}.bias"));
        let product = self
            .builder
            .node(&format!("{name}_product"), "MatMul", &[x, &weight]);
        self.builder.node(name, "Add", &[&product, &bias])
    }
}
