//! The part of ONNX's protobuf schema that we write, with the field numbers of the official
//! `onnx.proto`.

use prost::Message;

/// `TensorProto.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum DataType {
    Float = 1,
    UInt8 = 2,
    Int8 = 3,
    Int32 = 6,
    Int64 = 7,
}

const EXTERNAL: i32 = 1;
const ATTRIBUTE_FLOAT: i32 = 1;
const ATTRIBUTE_INT: i32 = 2;
const ATTRIBUTE_INTS: i32 = 7;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelProto {
    #[prost(int64, optional, tag = "1")]
    pub(crate) ir_version: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(crate) producer_name: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) producer_version: Option<String>,
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) opset_import: Vec<OperatorSetIdProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OperatorSetIdProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) domain: Option<String>,
    #[prost(int64, optional, tag = "2")]
    pub(crate) version: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<NodeProto>,
    #[prost(string, optional, tag = "2")]
    pub(crate) name: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(crate) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) output: Vec<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) name: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(crate) op_type: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attribute: Vec<AttributeProto>,
    #[prost(string, optional, tag = "7")]
    pub(crate) domain: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AttributeProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub(crate) f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub(crate) i: Option<i64>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub(crate) ints: Vec<i64>,
    #[prost(int32, optional, tag = "20")]
    pub(crate) r#type: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorProto {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub(crate) dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) data_type: Option<i32>,
    #[prost(string, optional, tag = "8")]
    pub(crate) name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(crate) raw_data: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "13")]
    pub(crate) external_data: Vec<StringStringEntryProto>,
    #[prost(int32, optional, tag = "14")]
    pub(crate) data_location: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StringStringEntryProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) key: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) value: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueInfoProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub(crate) r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorTypeProto {
    #[prost(int32, optional, tag = "1")]
    pub(crate) elem_type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) dim: Vec<DimensionProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    pub(crate) dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(crate) dim_param: Option<String>,
}

/// A dimension of an input or output.
pub(crate) enum Dimension {
    Fixed(usize),
    Named(&'static str),
}

impl ValueInfoProto {
    /// An input or output; without a shape it may have any.
    pub(crate) fn new(name: &str, kind: DataType, shape: Option<&[Dimension]>) -> Self {
        let dim = |dimension: &Dimension| match dimension {
            Dimension::Fixed(size) => DimensionProto {
                dim_value: Some(*size as i64),
                dim_param: None,
            },
            Dimension::Named(name) => DimensionProto {
                dim_value: None,
                dim_param: Some((*name).to_owned()),
            },
        };
        let tensor = TensorTypeProto {
            elem_type: Some(kind as i32),
            shape: shape.map(|shape| TensorShapeProto {
                dim: shape.iter().map(dim).collect(),
            }),
        };
        Self {
            name: Some(name.to_owned()),
            r#type: Some(TypeProto {
                tensor_type: Some(tensor),
            }),
        }
    }
}

impl TensorProto {
    fn new(name: &str, kind: DataType, shape: &[usize]) -> Self {
        Self {
            dims: shape.iter().map(|size| *size as i64).collect(),
            data_type: Some(kind as i32),
            name: Some(name.to_owned()),
            ..Self::default()
        }
    }

    /// A tensor whose bytes lie in the graph.
    pub(crate) fn inline(name: &str, kind: DataType, shape: &[usize], bytes: Vec<u8>) -> Self {
        Self {
            raw_data: Some(bytes),
            ..Self::new(name, kind, shape)
        }
    }

    /// A tensor whose bytes lie in another file.
    pub(crate) fn external(
        name: &str,
        kind: DataType,
        shape: &[usize],
        file: &str,
        offset: usize,
        length: usize,
    ) -> Self {
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value),
        };
        Self {
            external_data: vec![
                entry("location", file.to_owned()),
                entry("offset", offset.to_string()),
                entry("length", length.to_string()),
            ],
            data_location: Some(EXTERNAL),
            ..Self::new(name, kind, shape)
        }
    }
}

impl AttributeProto {
    pub(crate) fn int(name: &str, value: i64) -> Self {
        Self {
            i: Some(value),
            ..Self::new(name, ATTRIBUTE_INT)
        }
    }

    pub(crate) fn ints(name: &str, values: &[i64]) -> Self {
        Self {
            ints: values.to_vec(),
            ..Self::new(name, ATTRIBUTE_INTS)
        }
    }

    pub(crate) fn float(name: &str, value: f32) -> Self {
        Self {
            f: Some(value),
            ..Self::new(name, ATTRIBUTE_FLOAT)
        }
    }

    fn new(name: &str, kind: i32) -> Self {
        Self {
            name: Some(name.to_owned()),
            r#type: Some(kind),
            ..Self::default()
        }
    }
}
