//! The network as an ONNX graph that ONNX Runtime runs and fuses, and whose tensors the engines
//! native and wgpu read by their names.
//!
//! Shapes: B batch, T tokens, C hidden, H query heads, K key/value heads, D head size, L labels.
//! The input is `input_ids` [B, T], never padded; the output `logits` [B, L]. A graph for streams
//! also takes the keys and values of P tokens before, and gives those of all P + T.

use crate::attention::cache_ports;
use crate::builder::{Builder, Graph, Ports};
use crate::checkpoint::{Checkpoint, NORM, SCORE, in_layer};
use crate::config::Config;
use crate::embedding::{Storage, embed};
use crate::encoder;
use crate::error::ExportError;
use crate::linear::{self, Projection, le_bytes, transpose};
use crate::onnx::{AttributeProto, DataType, Dimension, ValueInfoProto};
use crate::outliers::Apart;
use crate::quantize::BLOCK;
use crate::scheme::{Plan, Precision};

/// P + T, a scalar.
pub(crate) const TOKENS: &str = "tokens";
/// P + T - 1 for every row, `[B]`.
pub(crate) const LAST_POSITIONS: &str = "last_positions";
/// P + T - 1, `[1]`.
pub(crate) const LAST_POSITION: &str = "last_position_i64";
/// P, `[1]`.
pub(crate) const FIRST_POSITION: &str = "first_position";
/// [B, T, C]
pub(crate) const EMBEDDED: &str = "embedding";
/// The tensor that holds the embedding.
pub(crate) const EMBEDDING: &str = "embedding.weight";

/// A little more than what GELU goes below 0, in either form: 0.17.
const GELU_SHIFT: f32 = 0.171;
/// Added to a logit that is not to count.
const NEVER: f32 = -1e30;

/// What a graph is for. Its tensors are the same either way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Whole windows: P is 0.
    Window,
    /// Windows that grow: each run goes on from the keys and values of the tokens before.
    Stream,
}

/// The longest sequence that the graph accepts: as long as the network was made for, within what
/// the runtime allows.
pub(crate) fn max_position(config: &Config) -> usize {
    config.max_position.min(duoguard::MAX_WINDOW_TOKENS)
}

/// The names of the projections of a layer, in the graph and in a plan.
pub(crate) fn projections(config: &Config, layer: usize) -> Vec<String> {
    let is_last = layer + 1 == config.layers;
    let names: &[&str] = match &config.encoder {
        Some(encoder) => encoder::graph::projections(encoder, is_last),
        None if is_last => &["q", "kv", "attention_output", "gate_up", "down"],
        None => &["qkv", "attention_output", "gate_up", "down"],
    };
    let own = |name: &&str| format!("layers.{layer}.{name}");
    names.iter().map(own).collect()
}

/// What makes all inputs of a projection positive, if something does.
pub(crate) fn shift(config: &Config, projection: &str) -> Option<f32> {
    let follows_gelu = config.encoder.is_some() && projection.ends_with(".down");
    follows_gelu.then_some(GELU_SHIFT)
}

/// Writes the checkpoint's network as a graph.
pub(crate) fn build<'a>(
    checkpoint: &'a Checkpoint,
    plan: &'a Plan,
    form: Form,
) -> Result<Graph<'a>, ExportError> {
    let mut network = Network {
        checkpoint,
        plan,
        form,
        builder: Builder::new(),
        uneven: None,
    };
    network.build();
    match network.uneven {
        Some((name, inputs)) => Err(ExportError::Option(format!(
            "the scheme {} takes weights in blocks of {BLOCK}, but {name} has {inputs} inputs, which is no multiple of that; choose another scheme",
            plan.quantize.name()
        ))),
        None => Ok(network.builder.finish(ports(checkpoint, form))),
    }
}

fn ports(checkpoint: &Checkpoint, form: Form) -> Ports {
    let [batch, tokens] = ["batch", "tokens"].map(Dimension::Named);
    let ids = ValueInfoProto::new("input_ids", DataType::Int64, Some(&[batch, tokens]));
    let shape = [
        Dimension::Named("batch"),
        Dimension::Fixed(checkpoint.labels()),
    ];
    let logits = ValueInfoProto::new("logits", DataType::Float, Some(&shape));
    let mut ports = Ports {
        inputs: vec![ids],
        outputs: vec![logits],
    };
    if form == Form::Stream {
        let config = checkpoint.config();
        ports.inputs.extend(cache_ports(config, "past", "past"));
        ports.outputs.extend(cache_ports(config, "present", "all"));
    }
    ports
}

pub(crate) struct Network<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    plan: &'a Plan,
    pub(crate) form: Form,
    pub(crate) builder: Builder<'a>,
    /// A projection that does not divide into blocks, though the plan wants it to.
    uneven: Option<(String, usize)>,
}

impl<'a> Network<'a> {
    fn build(&mut self) {
        let checkpoint = self.checkpoint;
        let config = checkpoint.config();
        self.lengths();
        if config.encoder.is_none() {
            self.rotary_tables();
        }
        let storage = Storage::new(self.plan, checkpoint);
        let matrix = checkpoint.embedding();
        let residual = embed(&mut self.builder, checkpoint, matrix, storage);
        match &config.encoder {
            Some(encoder) => self.encode(encoder),
            None => self.decode(residual),
        }
    }

    /// Everything between a decoder's embedding and its logits.
    fn decode(&mut self, mut residual: String) {
        let checkpoint = self.checkpoint;
        let config = checkpoint.config();
        let weight = self.vector("layers.0.input_norm", in_layer(0, "input_layernorm.weight"));
        let mut x = self.builder.node(
            "layers.0.input_norm",
            "SimplifiedLayerNormalization",
            &[&residual, &weight],
        );
        self.builder.attribute(AttributeProto::int("axis", -1));
        self.builder.attribute(AttributeProto::int("stash_type", 1));
        self.builder
            .attribute(AttributeProto::float("epsilon", config.norm_eps as f32));
        for layer in 0..config.layers {
            let own = |name: &str| format!("layers.{layer}.{name}");
            let is_last = layer + 1 == config.layers;
            let mixed = if is_last {
                // Only the last token is classified, and nothing after attention mixes tokens.
                residual = self.last_token(&own("pool_residual"), &residual);
                self.last_attention(layer, &x)
            } else {
                self.attention(layer, &x)
            };
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
            let (name, weight) = if is_last {
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
        let rows = checkpoint.shape(SCORE)[0];
        let score = self.builder.tensor(
            "score.weight",
            DataType::Float,
            vec![config.hidden, rows],
            move || le_bytes(transpose(&checkpoint.tensor(SCORE), rows)),
        );
        let raw = self.raw_logits();
        self.builder.node(raw, "MatMul", &[&x, &score]);
        self.logits(raw);
    }

    /// The name of the values that the classifier gives, one for each label.
    pub(crate) fn raw_logits(&self) -> &'static str {
        match self.checkpoint.config().safe_label {
            Some(_) => "score",
            None => "logits",
        }
    }

    /// From the classifier's values to the logits. [B, L]
    pub(crate) fn logits(&mut self, raw: &str) {
        let Some(safe) = self.checkpoint.config().safe_label else {
            return;
        };
        // Of labels that exclude each other: each but the safe one against all others together,
        // z - log(sum of the others' exp(z)). [B, L, rows]
        let labels = self.checkpoint.labels();
        let rows = labels + 1;
        let kept = || (0..rows).filter(|row| *row != safe);
        let others =
            kept().flat_map(|row| (0..rows).map(move |r| if r == row { NEVER } else { 0.0 }));
        let builder = &mut self.builder;
        builder.constant(
            "others",
            DataType::Float,
            &[labels, rows],
            &le_bytes(others),
        );
        let kept: Vec<u8> = kept().flat_map(|row| (row as i64).to_le_bytes()).collect();
        builder.constant("kept_labels", DataType::Int64, &[labels], &kept);
        let own = builder.node("score.kept", "Gather", &[raw, "kept_labels"]);
        builder.attribute(AttributeProto::int("axis", 1));
        let all = builder.node("score.each", "Unsqueeze", &[raw, "token_axis"]);
        let others = builder.node("score.others", "Add", &[&all, "others"]);
        let largest = builder.node("score.largest", "ReduceMax", &[&others, "last_axis"]);
        let rest = builder.node("score.rest", "Sub", &[&others, &largest]);
        let powers = builder.node("score.powers", "Exp", &[&rest]);
        let sum = builder.node("score.sum", "ReduceSum", &[&powers, "last_axis"]);
        let log = builder.node("score.log", "Log", &[&sum]);
        let log = builder.node("score.log_of_others", "Add", &[&log, &largest]);
        let log = builder.node("score.against", "Squeeze", &[&log, "last_axis"]);
        builder.node("logits", "Sub", &[&own, &log]);
    }

    /// What attention wants to know about lengths. Rows are never padded, so all of it follows from
    /// the shapes of the inputs.
    fn lengths(&mut self) {
        let builder = &mut self.builder;
        linear::constants(builder);
        let i64s = |values: &[i64]| -> Vec<u8> {
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        };
        builder.constant("first", DataType::Int64, &[1], &i64s(&[0]));
        builder.constant("token_axis", DataType::Int64, &[1], &i64s(&[1]));
        builder.constant("one", DataType::Int64, &[], &i64s(&[1]));
        builder.constant("minus_one", DataType::Int64, &[], &i64s(&[-1]));
        builder.constant("one_i32", DataType::Int32, &[], &1_i32.to_le_bytes());
        builder.constant("first_i32", DataType::Int32, &[1], &0_i32.to_le_bytes());
        let config = self.checkpoint.config();
        let (kv, size) = (config.kv_heads as i64, config.head_size() as i64);
        let group = config.heads as i64 / kv;
        let scale = (config.head_size() as f32).sqrt().recip();
        // A 0 keeps a dimension as it is.
        builder.constant(
            "split_keys",
            DataType::Int64,
            &[4],
            &i64s(&[0, 0, kv, size]),
        );
        builder.constant(
            "split_query",
            DataType::Int64,
            &[4],
            &i64s(&[0, kv, group, size]),
        );
        builder.constant(
            "join_heads",
            DataType::Int64,
            &[2],
            &i64s(&[0, kv * group * size]),
        );
        builder.constant(
            "attention_scale",
            DataType::Float,
            &[],
            &scale.to_le_bytes(),
        );

        builder.node("shape", "Shape", &["input_ids"]);
        builder.node("batch", "Gather", &["shape", "first"]);
        match self.form {
            Form::Window => {
                builder.node("tokens_i64", "Gather", &["shape", "one"]);
                builder.constant(FIRST_POSITION, DataType::Int64, &[1], &i64s(&[0]));
            }
            Form::Stream => {
                builder.constant("cached_axis", DataType::Int64, &[], &i64s(&[2]));
                builder.node("new_tokens", "Gather", &["shape", "one"]);
                builder.node("past_shape", "Shape", &["layers.0.past_key"]);
                builder.node("past_tokens", "Gather", &["past_shape", "cached_axis"]);
                builder.node(FIRST_POSITION, "Unsqueeze", &["past_tokens", "first"]);
                builder.node("tokens_i64", "Add", &["past_tokens", "new_tokens"]);
            }
        }
        builder.cast(TOKENS, "tokens_i64", DataType::Int32);
        builder.node("last_position", "Sub", &[TOKENS, "one_i32"]);
        builder.node(LAST_POSITIONS, "Expand", &["last_position", "batch"]);
        builder.node("last_position_scalar", "Sub", &["tokens_i64", "one"]);
        builder.node(
            LAST_POSITION,
            "Unsqueeze",
            &["last_position_scalar", "first"],
        );
    }

    fn rotary_tables(&mut self) {
        let config = self.checkpoint.config();
        let (rows, columns) = (max_position(config), config.head_size() / 2);
        for (name, function) in [
            ("rotary.cos", f64::cos as fn(f64) -> f64),
            ("rotary.sin", f64::sin),
        ] {
            let shape = vec![rows, columns];
            self.builder.tensor(name, DataType::Float, shape, move || {
                let places =
                    (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
                le_bytes(places.map(|(row, column)| {
                    function(config.rope.angle(row, column, config.head_size())) as f32
                }))
            });
        }
    }

    /// [B, T, C] to [B, C]
    pub(crate) fn last_token(&mut self, name: &str, x: &str) -> String {
        let row = self.builder.node(name, "Gather", &[x, "minus_one"]);
        self.builder.attribute(AttributeProto::int("axis", 1));
        row
    }

    /// SwiGLU. [.., C]
    fn feed_forward(&mut self, layer: usize, x: &str) -> String {
        let own = |name: &str| format!("layers.{layer}.{name}");
        let weights =
            ["gate", "up"].map(|part| in_layer(layer, &format!("mlp.{part}_proj.weight")));
        let packed = self.linear(&own("gate_up"), x, weights.to_vec());
        let (gate, up) = (own("gate"), own("up"));
        let builder = &mut self.builder;
        builder.push(&own("split"), "Split", &[&packed], &[&gate, &up]);
        builder.attribute(AttributeProto::int("axis", -1));
        builder.attribute(AttributeProto::int("num_outputs", 2));
        let sigmoid = builder.node(&own("gate_sigmoid"), "Sigmoid", &[&gate]);
        let silu = builder.node(&own("gate_silu"), "Mul", &[&gate, &sigmoid]);
        let inner = builder.node(&own("gated"), "Mul", &[&silu, &up]);
        let weight = in_layer(layer, "mlp.down_proj.weight");
        self.linear(&own("down"), &inner, vec![weight])
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
        self.builder.contrib_push(
            name,
            "SkipSimplifiedLayerNormalization",
            &[x, residual, weight],
            &[name, "", "", &sum],
        );
        let eps = self.checkpoint.config().norm_eps as f32;
        self.builder
            .attribute(AttributeProto::float("epsilon", eps));
        (name.to_owned(), sum)
    }

    /// `x` times matrices of the checkpoint, in the precision of the plan.
    pub(crate) fn linear(&mut self, name: &str, x: &str, parts: Vec<String>) -> String {
        let projection = Projection {
            checkpoint: self.checkpoint,
            parts,
        };
        let precision = self.plan.precision(name);
        let inputs = projection.inputs();
        if precision == Precision::Int4Blocks && !inputs.is_multiple_of(BLOCK) {
            self.uneven.get_or_insert((name.to_owned(), inputs));
        }
        let apart = Apart {
            outliers: self.plan.outliers.get(name).cloned().unwrap_or_default(),
            shift: shift(self.checkpoint.config(), name),
        };
        projection.multiply(&mut self.builder, name, x, (precision, apart))
    }

    /// `x` times matrices of the checkpoint, and their biases added.
    pub(crate) fn biased(
        &mut self,
        name: &str,
        x: &str,
        (weights, biases): (Vec<String>, Vec<String>),
    ) -> String {
        let product = self.linear(name, x, weights);
        let checkpoint = self.checkpoint;
        let width = biases.iter().map(|bias| checkpoint.shape(bias)[0]).sum();
        let bias = format!("{name}.bias");
        self.builder
            .tensor(&bias, DataType::Float, vec![width], move || {
                le_bytes(biases.iter().flat_map(|bias| checkpoint.tensor(bias)))
            });
        self.builder
            .node(&format!("{name}_biased"), "Add", &[&product, &bias])
    }

    /// A vector of the checkpoint, unchanged.
    fn vector(&mut self, name: &str, source: String) -> String {
        self.part(name, "weight", source)
    }

    /// A vector of the checkpoint, unchanged, as a part of something.
    pub(crate) fn part(&mut self, name: &str, part: &str, source: String) -> String {
        let checkpoint = self.checkpoint;
        let shape = checkpoint.shape(&source).to_vec();
        let name = format!("{name}.{part}");
        self.builder.tensor(&name, DataType::Float, shape, move || {
            le_bytes(checkpoint.tensor(&source))
        })
    }
}
