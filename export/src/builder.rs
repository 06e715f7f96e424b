//! Nodes and tensors on their way to an ONNX graph.

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
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    tensors: Vec<Tensor<'a>>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            constants: Vec::new(),
            tensors: Vec::new(),
        }
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
        self.nodes.push(node);
    }

    pub(crate) fn contrib_push(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
    ) {
        self.push(name, operator, inputs, outputs);
        if let Some(node) = self.nodes.last_mut() {
            node.domain = Some(MICROSOFT.to_owned());
        }
    }

    /// Adds an attribute to the last node.
    pub(crate) fn attribute(&mut self, attribute: AttributeProto) {
        let node = self.nodes.last_mut();
        let node = node.expect("an attribute follows its node");
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
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    pub(crate) tensors: Vec<Tensor<'a>>,
}

impl Graph<'_> {
    /// The ONNX file, and where the tensors lie in `weights.data`.
    pub(crate) fn whole(&self) -> (Vec<u8>, Layout) {
        let layout = Layout::new(&self.tensors.iter().collect::<Vec<_>>());
        let tensors: Vec<_> = self.tensors.iter().collect();
        let initializer = self.initializers(&tensors, &layout);
        let Ports { inputs, outputs } = &self.ports;
        let onnx = encode(
            self.nodes.clone(),
            initializer,
            inputs.clone(),
            outputs.clone(),
        );
        (onnx, layout)
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
