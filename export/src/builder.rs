//! Nodes and tensors on their way to an ONNX graph, and the graph in one piece or in stages.

use std::collections::BTreeSet;

use prost::Message;

use crate::onnx::{
    AttributeProto, DataType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    ValueInfoProto,
};
use crate::weights::{FILE, Layout, Tensor};

const IR_VERSION: i64 = 10;
const OPSET: i64 = 21;
pub(crate) const MICROSOFT: &str = "com.microsoft";
const MICROSOFT_OPSET: i64 = 1;

/// A graph under construction.
pub(crate) struct Builder<'a> {
    nodes: Vec<(usize, NodeProto)>,
    stage: usize,
    constants: Vec<TensorProto>,
    tensors: Vec<Tensor<'a>>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            stage: 0,
            constants: Vec::new(),
            tensors: Vec::new(),
        }
    }

    /// Begins a new stage: nodes that follow may be run apart from those before.
    pub(crate) fn next_stage(&mut self) {
        self.stage += 1;
    }

    /// A small tensor that is kept in the graph itself.
    pub(crate) fn constant(&mut self, name: &str, kind: DataType, shape: &[usize], bytes: &[u8]) {
        let tensor = TensorProto::inline(name, kind, shape, bytes.to_vec());
        self.constants.push(tensor);
    }

    /// A tensor that is kept in `weights.data`.
    pub(crate) fn tensor(
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
    pub(crate) fn node(&mut self, name: &str, operator: &str, inputs: &[&str]) -> String {
        self.push(name, operator, inputs, &[name]);
        name.to_owned()
    }

    /// As [`node`](Self::node), of an operator of ONNX Runtime's own.
    pub(crate) fn contrib_node(&mut self, name: &str, operator: &str, inputs: &[&str]) -> String {
        self.contrib_push(name, operator, inputs, &[name]);
        name.to_owned()
    }

    pub(crate) fn push(&mut self, name: &str, operator: &str, inputs: &[&str], outputs: &[&str]) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let node = NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: Some(name.to_owned()),
            op_type: Some(operator.to_owned()),
            attribute: Vec::new(),
            domain: None,
        };
        self.nodes.push((self.stage, node));
    }

    pub(crate) fn contrib_push(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
    ) {
        self.push(name, operator, inputs, outputs);
        if let Some((_, node)) = self.nodes.last_mut() {
            node.domain = Some(MICROSOFT.to_owned());
        }
    }

    /// Adds an attribute to the last node.
    pub(crate) fn attribute(&mut self, attribute: AttributeProto) {
        let node = self.nodes.last_mut();
        let (_, node) = node.expect("an attribute follows its node");
        node.attribute.push(attribute);
    }

    pub(crate) fn cast(&mut self, name: &str, x: &str, kind: DataType) -> String {
        let output = self.node(name, "Cast", &[x]);
        self.attribute(AttributeProto::int("to", kind as i64));
        output
    }

    pub(crate) fn finish(self, ports: Ports) -> Graph<'a> {
        Graph {
            ports,
            nodes: self.nodes,
            constants: self.constants,
            tensors: self.tensors,
        }
    }
}

/// What a whole graph takes and gives.
pub(crate) struct Ports {
    pub(crate) inputs: Vec<ValueInfoProto>,
    pub(crate) outputs: Vec<ValueInfoProto>,
}

/// A finished graph and the tensors it points to.
pub(crate) struct Graph<'a> {
    ports: Ports,
    nodes: Vec<(usize, NodeProto)>,
    constants: Vec<TensorProto>,
    pub(crate) tensors: Vec<Tensor<'a>>,
}

/// A stage of a graph, as a graph of its own.
pub(crate) struct Stage {
    pub(crate) onnx: Vec<u8>,
    pub(crate) weights: Vec<u8>,
    /// What it takes from earlier stages.
    pub(crate) inputs: Vec<String>,
    /// What later stages, or the user, take from it.
    pub(crate) outputs: Vec<String>,
}

impl Graph<'_> {
    /// The ONNX file, and where the tensors lie in `weights.data`.
    pub(crate) fn whole(&self) -> (Vec<u8>, Layout) {
        let layout = Layout::new(&self.tensors.iter().collect::<Vec<_>>());
        let nodes = self.nodes.iter().map(|(_, node)| node.clone()).collect();
        let tensors: Vec<_> = self.tensors.iter().collect();
        let initializer = self.initializers(&tensors, &layout);
        let Ports { inputs, outputs } = &self.ports;
        let onnx = encode(nodes, initializer, inputs.clone(), outputs.clone());
        (onnx, layout)
    }

    /// The number of stages.
    pub(crate) fn stages(&self) -> usize {
        self.nodes.last().map_or(0, |(stage, _)| stage + 1)
    }

    /// The nodes of one stage, with what crosses its borders as inputs and outputs. `integers` are
    /// the inputs that are int32.
    pub(crate) fn stage(&self, index: usize, integers: &[&str]) -> std::io::Result<Stage> {
        let in_stage = |stage: usize| {
            let nodes = self.nodes.iter().filter(move |(s, _)| *s == stage);
            nodes.map(|(_, node)| node)
        };
        let made: BTreeSet<&String> = in_stage(index).flat_map(|node| &node.output).collect();
        let taken: BTreeSet<&String> = in_stage(index).flat_map(|node| &node.input).collect();
        let tensors: Vec<_> = self
            .tensors
            .iter()
            .filter(|tensor| taken.contains(&tensor.name))
            .collect();
        let is_initializer = |name: &str| {
            let constant = |tensor: &TensorProto| tensor.name.as_deref() == Some(name);
            self.constants.iter().any(constant) || tensors.iter().any(|t| t.name == name)
        };
        let inputs: Vec<String> = taken
            .difference(&made)
            .filter(|name| !name.is_empty() && !is_initializer(name))
            .map(|name| (*name).clone())
            .collect();
        let later: BTreeSet<&String> = (index + 1..self.stages())
            .flat_map(in_stage)
            .flat_map(|node| &node.input)
            .collect();
        let outputs: Vec<String> = made
            .iter()
            .filter(|name| !name.is_empty() && (later.contains(*name) || *name == &"logits"))
            .map(|name| (*name).clone())
            .collect();
        let port = |name: &String| {
            let kind = match integers.contains(&name.as_str()) {
                true => DataType::Int32,
                false => DataType::Float,
            };
            ValueInfoProto::new(name, kind, None)
        };
        let layout = Layout::new(&tensors);
        let onnx = encode(
            in_stage(index).cloned().collect(),
            self.initializers(&tensors, &layout),
            inputs.iter().map(port).collect(),
            outputs.iter().map(port).collect(),
        );
        let mut weights = Vec::new();
        layout.write(&tensors, &mut weights)?;
        Ok(Stage {
            onnx,
            weights,
            inputs,
            outputs,
        })
    }

    fn initializers(&self, tensors: &[&Tensor<'_>], layout: &Layout) -> Vec<TensorProto> {
        let external = tensors.iter().zip(&layout.offsets).map(|(tensor, offset)| {
            TensorProto::external(
                &tensor.name,
                tensor.kind,
                &tensor.shape,
                FILE,
                *offset,
                tensor.length(),
            )
        });
        self.constants.iter().cloned().chain(external).collect()
    }
}

fn encode(
    node: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
    input: Vec<ValueInfoProto>,
    output: Vec<ValueInfoProto>,
) -> Vec<u8> {
    let graph = GraphProto {
        node,
        name: Some("duoguard".to_owned()),
        initializer,
        input,
        output,
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
    model.encode_to_vec()
}
