//! The decoder as an ONNX graph that ONNX Runtime and rten both run, and both fuse.
//!
//! Shapes: B batch, T tokens, C hidden, L labels. The only input is `input_ids` [B, T], never padded; the only output `logits` [B, L].

use prost::Message;

use crate::checkpoint::{Checkpoint, EMBEDDING, NORM, SCORE, in_layer};
use crate::config::Config;
use crate::onnx::{
    AttributeProto, DataType, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, ValueInfoProto,
};
use crate::quantize::{self, Quantize};
use crate::reference::angle;
use crate::weights::{FILE, Layout, Tensor};

const IR_VERSION: i64 = 10;
const OPSET: i64 = 21;
const MICROSOFT: &str = "com.microsoft";
const MICROSOFT_OPSET: i64 = 1;

/// A graph and the tensors it points to.
pub(crate) struct Graph<'a> {
    pub(crate) onnx: Vec<u8>,
    pub(crate) layout: Layout,
    pub(crate) tensors: Vec<Tensor<'a>>,
}

/// The longest sequence that the graph accepts: as long as the network was made for, within what the runtime allows.
pub(crate) fn max_position(config: &Config) -> usize {
    config.max_position.min(duoguard::MAX_WINDOW_TOKENS)
}

/// Writes the checkpoint's network as a graph.
pub(crate) fn build(checkpoint: &Checkpoint, quantize: Quantize) -> Graph<'_> {
    let mut builder = Builder {
        checkpoint,
        quantize,
        nodes: Vec::new(),
        constants: Vec::new(),
        tensors: Vec::new(),
    };
    builder.network();
    builder.finish()
}

struct Builder<'a> {
    checkpoint: &'a Checkpoint,
    quantize: Quantize,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    tensors: Vec<Tensor<'a>>,
}

impl<'a> Builder<'a> {
    fn network(&mut self) {
        let checkpoint = self.checkpoint;
        let config = checkpoint.config();
        self.constants();
        self.lengths();
        self.rotary_tables();
        let mut residual = self.embed();
        let weight = self.vector("layers.0.input_norm", in_layer(0, "input_layernorm.weight"));
        let mut x = self.node(
            "layers.0.input_norm",
            "SimplifiedLayerNormalization",
            &[&residual, &weight],
        );
        self.attribute(AttributeProto::int("axis", -1));
        self.attribute(AttributeProto::int("stash_type", 1));
        self.attribute(AttributeProto::float("epsilon", config.norm_eps as f32));
        for layer in 0..config.layers {
            let own = |name: &str| format!("layers.{layer}.{name}");
            let mut mixed = self.attention(layer, &x);
            if layer + 1 == config.layers {
                // Only the last token is classified, and nothing after this mixes tokens.
                mixed = self.node(&own("pool"), "Gather", &[&mixed, "minus_one"]);
                self.attribute(AttributeProto::int("axis", 1));
                residual = self.node(&own("pool_residual"), "Gather", &[&residual, "minus_one"]);
                self.attribute(AttributeProto::int("axis", 1));
            }
            let projected = self.linear(
                &own("attention_output"),
                &mixed,
                vec![in_layer(layer, "self_attn.o_proj.weight")],
            );
            let weight = self.vector(
                &own("post_attention_norm"),
                in_layer(layer, "post_attention_layernorm.weight"),
            );
            (x, residual) =
                self.add_and_normalize(&own("post_attention_norm"), &projected, &residual, &weight);
            let fed = self.feed_forward(layer, &x);
            let (name, weight) = if layer + 1 == config.layers {
                ("norm".to_owned(), NORM.to_owned())
            } else {
                (
                    format!("layers.{}.input_norm", layer + 1),
                    in_layer(layer + 1, "input_layernorm.weight"),
                )
            };
            let weight = self.vector(&name, weight);
            (x, residual) = self.add_and_normalize(&name, &fed, &residual, &weight);
        }
        let labels = checkpoint.labels();
        let score = self.tensor(
            "score.weight",
            DataType::Float,
            vec![config.hidden, labels],
            move || {
                let weight = checkpoint.tensor(SCORE);
                le_bytes(transpose(&weight, labels))
            },
        );
        self.push("logits", "MatMul", &[&x, &score], &["logits"]);
    }

    fn constants(&mut self) {
        let scalar = |name: &str, kind, bytes: Vec<u8>| TensorProto::inline(name, kind, &[], bytes);
        self.constants = vec![
            TensorProto::inline("first", DataType::Int64, &[1], 0_i64.to_le_bytes().to_vec()),
            scalar("one", DataType::Int64, 1_i64.to_le_bytes().to_vec()),
            scalar(
                "minus_one",
                DataType::Int64,
                (-1_i64).to_le_bytes().to_vec(),
            ),
            scalar("one_i32", DataType::Int32, 1_i32.to_le_bytes().to_vec()),
        ];
        if self.quantize == Quantize::Int8 {
            // rten fuses MatMulInteger with what follows only if both zero points are given.
            self.constants
                .push(scalar("zero_point", DataType::Int8, vec![0]));
        }
    }

    /// What attention wants to know about lengths. Rows are never padded, so all of it follows from the shape of the input.
    fn lengths(&mut self) {
        self.node("shape", "Shape", &["input_ids"]);
        self.node("batch", "Gather", &["shape", "first"]);
        self.node("tokens_i64", "Gather", &["shape", "one"]);
        self.node("tokens", "Cast", &["tokens_i64"]);
        self.attribute(AttributeProto::int("to", DataType::Int32 as i64));
        self.node("last_position", "Sub", &["tokens", "one_i32"]);
        self.node("last_positions", "Expand", &["last_position", "batch"]);
    }

    fn rotary_tables(&mut self) {
        let config = self.checkpoint.config();
        let (rows, columns) = (max_position(config), config.head_size() / 2);
        for (name, function) in [
            ("rotary.cos", f64::cos as fn(f64) -> f64),
            ("rotary.sin", f64::sin),
        ] {
            self.tensor(name, DataType::Float, vec![rows, columns], move || {
                let places =
                    (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
                le_bytes(places.map(|(row, column)| {
                    function(angle(row, column, config.head_size(), config.rope_theta)) as f32
                }))
            });
        }
    }

    /// [B, T, C]
    fn embed(&mut self) -> String {
        let checkpoint = self.checkpoint;
        let (rows, width) = (checkpoint.config().vocabulary, checkpoint.config().hidden);
        let shape = vec![rows, width];
        if self.quantize == Quantize::None {
            let weight = self.tensor("embedding.weight", DataType::Float, shape, move || {
                le_bytes(checkpoint.tensor(EMBEDDING))
            });
            return self.node("embedding", "Gather", &[&weight, "input_ids"]);
        }
        let scale = self.tensor(
            "embedding.scale",
            DataType::Float,
            vec![rows, 1],
            move || {
                le_bytes(
                    checkpoint
                        .tensor(EMBEDDING)
                        .chunks_exact(width)
                        .map(quantize::scale),
                )
            },
        );
        let weight = self.tensor("embedding.weight", DataType::Int8, shape, move || {
            let weight = checkpoint.tensor(EMBEDDING);
            let rows = weight.chunks_exact(width);
            rows.flat_map(|row| {
                let scale = quantize::scale(row);
                row.iter().map(move |x| quantize::quantize(*x, scale) as u8)
            })
            .collect()
        });
        let row = self.node("embedding.row", "Gather", &[&weight, "input_ids"]);
        let scale = self.node("embedding.row_scale", "Gather", &[&scale, "input_ids"]);
        let row = self.cast_to_float("embedding.row_f32", &row);
        self.node("embedding", "Mul", &[&row, &scale])
    }

    /// Grouped-query attention up to, not including, its output projection. [B, T, C]
    fn attention(&mut self, layer: usize, x: &str) -> String {
        let checkpoint = self.checkpoint;
        let config = checkpoint.config();
        let own = |name: &str| format!("layers.{layer}.{name}");
        let parts = |kind: &str| {
            ["q", "k", "v"].map(|part| in_layer(layer, &format!("self_attn.{part}_proj.{kind}")))
        };
        let packed = self.linear(&own("qkv"), x, parts("weight").to_vec());
        let biases = parts("bias");
        let width = config.hidden + 2 * config.kv_width();
        let bias = self.tensor(&own("qkv.bias"), DataType::Float, vec![width], move || {
            le_bytes(biases.iter().flat_map(|name| checkpoint.tensor(name)))
        });
        let packed = self.node(&own("qkv_biased"), "Add", &[&packed, &bias]);
        let inputs = [
            &packed,
            "",
            "",
            "",
            "",
            "last_positions",
            "tokens",
            "rotary.cos",
            "rotary.sin",
        ];
        let (name, key, value) = (own("attention"), own("present_key"), own("present_value"));
        // ONNX Runtime writes the keys and values somewhere even if nobody reads them.
        self.push(
            &name,
            "GroupQueryAttention",
            &inputs,
            &[&name, &key, &value],
        );
        self.set_domain(MICROSOFT);
        self.attribute(AttributeProto::int("num_heads", config.heads as i64));
        self.attribute(AttributeProto::int("kv_num_heads", config.kv_heads as i64));
        self.attribute(AttributeProto::int("do_rotary", 1));
        name
    }

    /// SwiGLU. [.., C]
    fn feed_forward(&mut self, layer: usize, x: &str) -> String {
        let own = |name: &str| format!("layers.{layer}.{name}");
        let weights =
            ["gate", "up"].map(|part| in_layer(layer, &format!("mlp.{part}_proj.weight")));
        let packed = self.linear(&own("gate_up"), x, weights.to_vec());
        let (gate, up) = (own("gate"), own("up"));
        self.push(&own("split"), "Split", &[&packed], &[&gate, &up]);
        self.attribute(AttributeProto::int("axis", -1));
        self.attribute(AttributeProto::int("num_outputs", 2));
        let sigmoid = self.node(&own("gate_sigmoid"), "Sigmoid", &[&gate]);
        let silu = self.node(&own("gate_silu"), "Mul", &[&gate, &sigmoid]);
        let inner = self.node(&own("gated"), "Mul", &[&silu, &up]);
        self.linear(
            &own("down"),
            &inner,
            vec![in_layer(layer, "mlp.down_proj.weight")],
        )
    }

    /// The normalised sum, and the sum.
    fn add_and_normalize(
        &mut self,
        name: &str,
        x: &str,
        residual: &str,
        weight: &str,
    ) -> (String, String) {
        let sum = format!("{name}.residual");
        self.push(
            name,
            "SkipSimplifiedLayerNormalization",
            &[x, residual, weight],
            &[name, "", "", &sum],
        );
        self.set_domain(MICROSOFT);
        let eps = self.checkpoint.config().norm_eps as f32;
        self.attribute(AttributeProto::float("epsilon", eps));
        (name.to_owned(), sum)
    }

    /// `x` times the matrices of the checkpoint, stacked: their outputs stand side by side.
    fn linear(&mut self, name: &str, x: &str, parts: Vec<String>) -> String {
        let checkpoint = self.checkpoint;
        let outputs: usize = parts.iter().map(|part| checkpoint.shape(part)[0]).sum();
        let inputs = checkpoint.shape(&parts[0])[1];
        let weight_name = format!("{name}.weight");
        let shape = vec![inputs, outputs];
        // [outputs, inputs], as the checkpoint has it.
        let stacked = move || -> Vec<f32> {
            parts
                .iter()
                .flat_map(|part| checkpoint.tensor(part))
                .collect()
        };
        if self.quantize == Quantize::None {
            let weight = self.tensor(&weight_name, DataType::Float, shape, move || {
                le_bytes(transpose(&stacked(), outputs))
            });
            return self.node(name, "MatMul", &[x, &weight]);
        }
        let again = stacked.clone();
        let scale = self.tensor(
            &format!("{name}.scale"),
            DataType::Float,
            vec![outputs],
            move || le_bytes(again().chunks_exact(inputs).map(quantize::scale)),
        );
        let weight = self.tensor(&weight_name, DataType::Int8, shape, move || {
            let weight = stacked();
            let scales: Vec<f32> = weight.chunks_exact(inputs).map(quantize::scale).collect();
            let places = (0..inputs).flat_map(|i| (0..outputs).map(move |o| (i, o)));
            places
                .map(|(i, o)| quantize::quantize(weight[o * inputs + i], scales[o]) as u8)
                .collect()
        });
        let own = |part: &str| format!("{name}.{part}");
        let (int8, x_scale, x_zero) = (own("x"), own("x_scale"), own("x_zero_point"));
        self.push(
            &own("quantize"),
            "DynamicQuantizeLinear",
            &[x],
            &[&int8, &x_scale, &x_zero],
        );
        let sums = self.node(
            &own("sums"),
            "MatMulInteger",
            &[&int8, &weight, &x_zero, "zero_point"],
        );
        let scale = self.node(&own("sums_scale"), "Mul", &[&x_scale, &scale]);
        let sums = self.cast_to_float(&own("sums_f32"), &sums);
        self.node(name, "Mul", &[&sums, &scale])
    }

    fn cast_to_float(&mut self, name: &str, x: &str) -> String {
        let output = self.node(name, "Cast", &[x]);
        self.attribute(AttributeProto::int("to", DataType::Float as i64));
        output
    }

    /// A vector of the checkpoint, unchanged.
    fn vector(&mut self, name: &str, source: String) -> String {
        let checkpoint = self.checkpoint;
        let shape = checkpoint.shape(&source).to_vec();
        self.tensor(
            &format!("{name}.weight"),
            DataType::Float,
            shape,
            move || le_bytes(checkpoint.tensor(&source)),
        )
    }

    fn tensor(
        &mut self,
        name: &str,
        kind: DataType,
        shape: Vec<usize>,
        bytes: impl Fn() -> Vec<u8> + 'a,
    ) -> String {
        self.tensors.push(Tensor {
            name: name.to_owned(),
            kind,
            shape,
            bytes: Box::new(bytes),
        });
        name.to_owned()
    }

    /// Adds a node with one output, of the node's name.
    fn node(&mut self, name: &str, operator: &str, inputs: &[&str]) -> String {
        self.push(name, operator, inputs, &[name]);
        name.to_owned()
    }

    fn push(&mut self, name: &str, operator: &str, inputs: &[&str], outputs: &[&str]) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.nodes.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: Some(name.to_owned()),
            op_type: Some(operator.to_owned()),
            attribute: Vec::new(),
            domain: None,
        });
    }

    fn attribute(&mut self, attribute: AttributeProto) {
        let node = self.nodes.last_mut();
        node.expect("an attribute follows its node")
            .attribute
            .push(attribute);
    }

    fn set_domain(&mut self, domain: &str) {
        let node = self.nodes.last_mut();
        node.expect("a domain follows its node").domain = Some(domain.to_owned());
    }

    fn finish(self) -> Graph<'a> {
        let layout = Layout::new(&self.tensors);
        let mut initializer = self.constants;
        for (tensor, offset) in self.tensors.iter().zip(&layout.offsets) {
            let (name, kind, shape) = (&tensor.name, tensor.kind, &tensor.shape);
            initializer.push(TensorProto::external(
                name,
                kind,
                shape,
                FILE,
                *offset,
                tensor.length(),
            ));
        }
        let [batch, tokens] = ["batch", "tokens"].map(Dimension::Named);
        let labels = Dimension::Fixed(self.checkpoint.labels());
        let input = ValueInfoProto::new("input_ids", DataType::Int64, &[batch, tokens]);
        let output = ValueInfoProto::new(
            "logits",
            DataType::Float,
            &[Dimension::Named("batch"), labels],
        );
        let graph = GraphProto {
            node: self.nodes,
            name: Some("duoguard".to_owned()),
            initializer,
            input: vec![input],
            output: vec![output],
        };
        let opset = |domain: &str, version| OperatorSetIdProto {
            domain: Some(domain.to_owned()),
            version: Some(version),
        };
        let model = ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: Some("duoguard-export".to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            graph: Some(graph),
            opset_import: vec![opset("", OPSET), opset(MICROSOFT, MICROSOFT_OPSET)],
        };
        Graph {
            onnx: model.encode_to_vec(),
            layout,
            tensors: self.tensors,
        }
    }
}

/// [rows, columns] to [columns, rows].
fn transpose(matrix: &[f32], rows: usize) -> impl Iterator<Item = f32> {
    let columns = matrix.len() / rows;
    (0..columns).flat_map(move |column| (0..rows).map(move |row| matrix[row * columns + column]))
}

fn le_bytes(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}
