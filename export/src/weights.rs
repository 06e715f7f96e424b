//! `weights.data`: tensors in the safetensors byte format, each of them aligned.
//!
//! The format allows no gaps, so the header is padded with spaces and the space between tensors is
//! filled by tensors of its own.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::onnx::DataType;

/// The alignment of every tensor: a cache line, and enough for any vector instruction.
pub(crate) const ALIGNMENT: usize = 64;
/// The name of the file.
pub(crate) const FILE: &str = "weights.data";

/// A tensor to be written. Its bytes are made when it is its turn, so that one tensor at a time is
/// in memory.
pub(crate) struct Tensor<'a> {
    pub(crate) name: String,
    pub(crate) kind: DataType,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Box<dyn Fn() -> Vec<u8> + 'a>,
}

impl Tensor<'_> {
    pub(crate) fn length(&self) -> usize {
        let size = match self.kind {
            DataType::Int8 | DataType::UInt8 => 1,
            DataType::Float | DataType::Int32 => 4,
            DataType::Int64 => 8,
        };
        self.shape.iter().product::<usize>() * size
    }

    fn dtype(&self) -> &'static str {
        match self.kind {
            DataType::Float => "F32",
            DataType::Int8 => "I8",
            DataType::UInt8 => "U8",
            DataType::Int32 => "I32",
            DataType::Int64 => "I64",
        }
    }
}

/// Where everything lies in the file.
pub(crate) struct Layout {
    header: Vec<u8>,
    /// Per tensor, its position in the file.
    pub(crate) offsets: Vec<usize>,
}

impl Layout {
    pub(crate) fn new(tensors: &[&Tensor<'_>]) -> Self {
        let mut table = Map::new();
        let mut end = 0;
        let mut starts = Vec::new();
        for tensor in tensors {
            let length = tensor.length();
            starts.push(end);
            let entry = json!({ "dtype": tensor.dtype(), "shape": tensor.shape, "data_offsets": [end, end + length] });
            table.insert(tensor.name.clone(), entry);
            end += length;
            let padding = padding(end);
            if padding > 0 {
                let entry = json!({ "dtype": "U8", "shape": [padding], "data_offsets": [end, end + padding] });
                table.insert(format!("padding.{end}"), entry);
                end += padding;
            }
        }
        let mut json = Value::Object(table).to_string().into_bytes();
        json.resize(json.len() + padding(8 + json.len()), b' ');
        let mut header = (json.len() as u64).to_le_bytes().to_vec();
        header.append(&mut json);
        let offsets = starts.iter().map(|start| header.len() + start).collect();
        Self { header, offsets }
    }

    /// Writes the file: header, tensors, padding.
    pub(crate) fn write(&self, tensors: &[&Tensor<'_>], out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.header)?;
        for tensor in tensors {
            let bytes = (tensor.bytes)();
            assert_eq!(
                bytes.len(),
                tensor.length(),
                "tensor {} is not as long as its shape",
                tensor.name
            );
            out.write_all(&bytes)?;
            out.write_all(&[0; ALIGNMENT][..padding(bytes.len())])?;
        }
        Ok(())
    }
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT) - length
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    #[test]
    fn any_reader_of_the_format_finds_aligned_tensors() {
        let tensor = |name: &str, size: usize, value: u8| Tensor {
            name: name.to_owned(),
            kind: DataType::Int8,
            shape: vec![size],
            bytes: Box::new(move || vec![value; size]),
        };
        let tensors = [
            tensor("a", 3, 1),
            tensor("b", 64, 2),
            tensor("c", 65, 3),
            tensor("d", 1, 4),
        ];
        let tensors: Vec<_> = tensors.iter().collect();
        let layout = Layout::new(&tensors);
        let mut file = Vec::new();
        layout.write(&tensors, &mut file).unwrap();
        let read = SafeTensors::deserialize(&file).unwrap();
        for (tensor, offset) in tensors.iter().zip(&layout.offsets) {
            assert_eq!(offset % ALIGNMENT, 0);
            let found = read.tensor(&tensor.name).unwrap();
            assert_eq!(found.data(), &file[*offset..][..tensor.length()]);
            assert_eq!(found.data(), (tensor.bytes)());
        }
    }
}
