//! Just enough of ONNX to check a graph's contract: its inputs and outputs, and where its weights
//! lie.
//!
//! Reads the protobuf wire format in place, allocates only for what it reports, and treats every
//! length as untrusted.

use std::collections::BTreeSet;

/// What a graph needs and gives.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) external: Vec<External>,
    /// The values of all node attributes named `epsilon`.
    pub(crate) epsilons: Vec<f32>,
    /// The weights of all nodes that multiply integers: their activations are rounded.
    pub(crate) integer_weights: Vec<String>,
    /// The operators of all nodes.
    pub(crate) operators: BTreeSet<String>,
    /// The values of all node attributes named `num_heads`.
    pub(crate) heads: Vec<u64>,
    /// The values of the constant `kept_labels`, int64, if there is one: of labels that exclude
    /// each other, those that are categories.
    pub(crate) kept_labels: Option<Vec<i64>>,
}

/// An input or output of the graph.
#[derive(Debug, Default)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// The sizes of its dimensions, as far as the graph fixes them.
    pub(crate) shape: Vec<Option<u64>>,
}

/// A tensor that is stored outside the graph.
#[derive(Debug, Default)]
pub(crate) struct External {
    pub(crate) name: String,
    pub(crate) location: String,
    pub(crate) offset: u64,
    pub(crate) length: Option<u64>,
    /// Bytes that its shape and type need; `None` for types that this crate does not know and
    /// shapes that overflow.
    pub(crate) needed: Option<u64>,
}

type Parsed<T> = Result<T, String>;

// Field numbers of onnx.proto.
const MODEL_GRAPH: u64 = 7;
const MODEL_FUNCTIONS: u64 = 25;
const GRAPH_NODE: u64 = 1;
const GRAPH_INITIALIZER: u64 = 5;
const GRAPH_INPUT: u64 = 11;
const GRAPH_OUTPUT: u64 = 12;
const GRAPH_SPARSE_INITIALIZER: u64 = 15;
const NODE_INPUT: u64 = 1;
const NODE_OPERATOR: u64 = 4;
const NODE_ATTRIBUTE: u64 = 5;
const ATTRIBUTE_NAME: u64 = 1;
const ATTRIBUTE_FLOAT: u64 = 2;
const ATTRIBUTE_INTEGER: u64 = 3;
const ATTRIBUTE_TENSOR: u64 = 5;
const ATTRIBUTE_GRAPH: u64 = 6;
const ATTRIBUTE_TENSORS: u64 = 10;
const ATTRIBUTE_GRAPHS: u64 = 11;
const ATTRIBUTE_SPARSE_TENSOR: u64 = 22;
const ATTRIBUTE_SPARSE_TENSORS: u64 = 23;
const TENSOR_DIMENSIONS: u64 = 1;
const TENSOR_TYPE: u64 = 2;
const TENSOR_NAME: u64 = 8;
const TENSOR_RAW_DATA: u64 = 9;
const TENSOR_EXTERNAL_DATA: u64 = 13;
const TENSOR_DATA_LOCATION: u64 = 14;
const ENTRY_KEY: u64 = 1;
const ENTRY_VALUE: u64 = 2;
const PORT_NAME: u64 = 1;
const PORT_TYPE: u64 = 2;
const TYPE_TENSOR: u64 = 1;
const TENSOR_TYPE_SHAPE: u64 = 2;
const SHAPE_DIMENSION: u64 = 1;
const DIMENSION_VALUE: u64 = 1;

/// The constant that [`Outline::kept_labels`] holds.
const KEPT_LABELS: &str = "kept_labels";

/// Reads the outline of a serialised `ModelProto`.
pub(crate) fn outline(model: &[u8]) -> Parsed<Outline> {
    let mut outline = None;
    for field in fields(model) {
        match field? {
            (MODEL_GRAPH, Value::Bytes(graph)) if outline.is_none() => {
                outline = Some(read_graph(graph)?)
            }
            (MODEL_GRAPH, _) => return Err("more than one graph".to_owned()),
            (MODEL_FUNCTIONS, _) => {
                return Err("model-local functions are not supported".to_owned());
            }
            _ => {}
        }
    }
    outline.ok_or_else(|| "there is no graph in it".to_owned())
}

fn read_graph(graph: &[u8]) -> Parsed<Outline> {
    let mut outline = Outline::default();
    let mut initializers = Vec::new();
    for field in fields(graph) {
        match field? {
            (GRAPH_NODE, Value::Bytes(node)) => read_node(node, &mut outline)?,
            (GRAPH_INITIALIZER, Value::Bytes(tensor)) => {
                let name = read_tensor(tensor, &mut outline.external)?;
                if name == KEPT_LABELS {
                    outline.kept_labels = Some(read_integers(tensor)?);
                }
                initializers.push(name);
            }
            (GRAPH_SPARSE_INITIALIZER, _) => {
                return Err("sparse tensors are not supported".to_owned());
            }
            (GRAPH_INPUT, Value::Bytes(port)) => outline.inputs.push(read_port(port)?),
            (GRAPH_OUTPUT, Value::Bytes(port)) => outline.outputs.push(read_port(port)?),
            _ => {}
        }
    }
    // Some writers list the weights among the inputs too: inputs with a default.
    outline
        .inputs
        .retain(|input| !initializers.contains(&input.name));
    Ok(outline)
}

fn read_node(node: &[u8], outline: &mut Outline) -> Parsed<()> {
    let (mut operator, mut inputs, mut weight) = (&b""[..], 0, None);
    for field in fields(node) {
        let attribute = match field? {
            (NODE_INPUT, Value::Bytes(name)) => {
                inputs += 1;
                if inputs == 2 {
                    weight = Some(name);
                }
                continue;
            }
            (NODE_OPERATOR, Value::Bytes(name)) => {
                operator = name;
                continue;
            }
            (NODE_ATTRIBUTE, Value::Bytes(attribute)) => attribute,
            _ => continue,
        };
        let (mut name, mut float, mut integer) = (&b""[..], None, None);
        for field in fields(attribute) {
            match field? {
                (ATTRIBUTE_NAME, Value::Bytes(bytes)) => name = bytes,
                (ATTRIBUTE_FLOAT, Value::Float(value)) => float = Some(value),
                (ATTRIBUTE_INTEGER, Value::Number(value)) => integer = Some(value),
                (ATTRIBUTE_TENSOR | ATTRIBUTE_TENSORS, Value::Bytes(tensor)) => {
                    read_tensor(tensor, &mut outline.external)?;
                }
                (ATTRIBUTE_GRAPH | ATTRIBUTE_GRAPHS, _) => {
                    return Err("nested graphs are not supported".to_owned());
                }
                (ATTRIBUTE_SPARSE_TENSOR | ATTRIBUTE_SPARSE_TENSORS, _) => {
                    return Err("sparse tensors are not supported".to_owned());
                }
                _ => {}
            }
        }
        match name {
            b"epsilon" => outline.epsilons.extend(float),
            b"num_heads" => outline.heads.extend(integer),
            _ => {}
        }
    }
    outline.operators.insert(text(operator)?);
    if let (b"MatMulInteger", Some(weight)) = (operator, weight) {
        outline.integer_weights.push(text(weight)?);
    }
    Ok(())
}

/// Notes the tensor's place if it is stored outside the graph, and returns its name.
fn read_tensor(tensor: &[u8], external: &mut Vec<External>) -> Parsed<String> {
    let mut found = External::default();
    let mut is_external = false;
    let mut elements = Some(1_u64);
    let mut bits = None;
    for field in fields(tensor) {
        match field? {
            (TENSOR_DIMENSIONS, Value::Number(size)) => {
                elements = elements.and_then(|n| n.checked_mul(size))
            }
            (TENSOR_DIMENSIONS, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    let size = read_varint(&mut packed).ok_or("a shape is cut short")?;
                    elements = elements.and_then(|n| n.checked_mul(size));
                }
            }
            (TENSOR_TYPE, Value::Number(kind)) => bits = element_bits(kind),
            (TENSOR_NAME, Value::Bytes(name)) => found.name = text(name)?,
            (TENSOR_DATA_LOCATION, Value::Number(location)) => is_external |= location != 0,
            (TENSOR_EXTERNAL_DATA, Value::Bytes(entry)) => {
                is_external = true;
                let (key, value) = read_entry(entry)?;
                let number = || {
                    value
                        .parse()
                        .map_err(|_| format!("tensor {:?}: {key} is {value:?}", found.name))
                };
                match key.as_str() {
                    "location" => found.location = value,
                    "offset" => found.offset = number()?,
                    "length" => found.length = Some(number()?),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    found.needed = elements
        .zip(bits)
        .and_then(|(n, bits)| n.checked_mul(bits))
        .map(|bits| bits.div_ceil(8));
    let name = found.name.clone();
    if is_external {
        external.push(found);
    }
    Ok(name)
}

/// The raw data of a tensor of int64.
fn read_integers(tensor: &[u8]) -> Parsed<Vec<i64>> {
    let raw = message(tensor, TENSOR_RAW_DATA)?.unwrap_or_default();
    match raw.as_chunks() {
        (values, []) => Ok(values.iter().map(|x| i64::from_le_bytes(*x)).collect()),
        _ => Err(format!("{KEPT_LABELS} holds {} bytes", raw.len())),
    }
}

/// The size of an element of `TensorProto.DataType`.
fn element_bits(kind: u64) -> Option<u64> {
    Some(match kind {
        21 | 22 => 4,          // uint4, int4
        2 | 3 | 9 => 8,        // uint8, int8, bool
        4 | 5 | 10 | 16 => 16, // uint16, int16, float16, bfloat16
        1 | 6 | 12 => 32,      // float, int32, uint32
        7 | 11 | 13 => 64,     // int64, double, uint64
        _ => return None,
    })
}

fn read_entry(entry: &[u8]) -> Parsed<(String, String)> {
    let mut result = (String::new(), String::new());
    for field in fields(entry) {
        match field? {
            (ENTRY_KEY, Value::Bytes(key)) => result.0 = text(key)?,
            (ENTRY_VALUE, Value::Bytes(value)) => result.1 = text(value)?,
            _ => {}
        }
    }
    Ok(result)
}

fn read_port(port: &[u8]) -> Parsed<Port> {
    let mut result = Port::default();
    for field in fields(port) {
        match field? {
            (PORT_NAME, Value::Bytes(name)) => result.name = text(name)?,
            (PORT_TYPE, Value::Bytes(kind)) => {
                let Some(tensor) = message(kind, TYPE_TENSOR)? else {
                    continue;
                };
                let Some(shape) = message(tensor, TENSOR_TYPE_SHAPE)? else {
                    continue;
                };
                result.shape = read_shape(shape)?;
            }
            _ => {}
        }
    }
    Ok(result)
}

fn read_shape(shape: &[u8]) -> Parsed<Vec<Option<u64>>> {
    let mut sizes = Vec::new();
    for field in fields(shape) {
        let (SHAPE_DIMENSION, Value::Bytes(dimension)) = field? else {
            continue;
        };
        let mut size = None;
        for field in fields(dimension) {
            if let (DIMENSION_VALUE, Value::Number(value)) = field? {
                size = Some(value);
            }
        }
        sizes.push(size);
    }
    Ok(sizes)
}

/// The last submessage with the given field number.
fn message(bytes: &[u8], number: u64) -> Parsed<Option<&[u8]>> {
    let mut last = None;
    for field in fields(bytes) {
        if let (found, Value::Bytes(bytes)) = field?
            && found == number
        {
            last = Some(bytes);
        }
    }
    Ok(last)
}

fn text(bytes: &[u8]) -> Parsed<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a name is not valid UTF-8".to_owned())
}

/// The value of a field, as far as the wire format tells.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Float(f32),
    Double,
}

/// The fields of a message; ends after the first error.
fn fields(bytes: &[u8]) -> impl Iterator<Item = Parsed<(u64, Value<'_>)>> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let mut bytes = rest.take().filter(|bytes| !bytes.is_empty())?;
        let field = read_field(&mut bytes);
        if field.is_some() {
            rest = Some(bytes);
        }
        Some(
            field.ok_or_else(|| {
                "it ends in the middle of a field, or is not ONNX at all".to_owned()
            }),
        )
    })
}

fn read_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let key = read_varint(bytes)?;
    let value = match key & 7 {
        0 => Value::Number(read_varint(bytes)?),
        1 => bytes.split_off(..8).map(|_| Value::Double)?,
        2 => {
            let length = usize::try_from(read_varint(bytes)?).ok()?;
            Value::Bytes(bytes.split_off(..length)?)
        }
        5 => Value::Float(f32::from_le_bytes(bytes.split_off(..4)?.try_into().ok()?)),
        _ => return None,
    };
    (key >> 3 != 0).then_some((key >> 3, value))
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut result = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.split_off_first()?;
        result |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(result);
        }
    }
    None
}
