//! The layout of a GGUF file: a header, metadata, a table of tensors, and their data.

use std::collections::{BTreeMap, BTreeSet};

use super::blocks::Kind;
use super::metadata::{Metadata, Value, required};

const MAGIC: &[u8; 4] = b"GGUF";
/// Version 1 counted with 32 bits, in the first days of the format.
const VERSIONS: [u32; 2] = [2, 3];
const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u64 = 1 << 16;
/// The largest header, metadata and table of tensors together.
const MAX_HEADER_BYTES: usize = 64 << 20;
const MAX_KEYS: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 16;
/// What the format allows a key, and ggml the name of a tensor.
const MAX_KEY_BYTES: usize = (1 << 16) - 1;
const MAX_NAME_BYTES: usize = 64;
const MAX_DIMENSIONS: u32 = 4;
/// Arrays within arrays that are skipped; deeper ones are refused.
const MAX_NESTING: usize = 4;

/// What a file says about itself.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) metadata: Metadata,
    /// In the order of the file.
    pub(crate) tensors: Vec<TensorInfo>,
}

/// A row of the table of tensors.
#[derive(Debug)]
pub(crate) struct TensorInfo {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Rows first, as everywhere else; the file has the innermost dimension first.
    pub(crate) shape: Vec<usize>,
    /// Where its bytes lie in the file.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Reads everything before the data, and checks that the data are all there.
pub(crate) fn parse(bytes: &[u8]) -> Result<File, String> {
    let limit = bytes.len().min(MAX_HEADER_BYTES);
    let mut reader = Reader {
        bytes: &bytes[..limit],
        at: 0,
        whole: bytes.len(),
    };
    if reader.take("the first 4 bytes", 4)? != MAGIC {
        return Err(format!(
            "not a GGUF file: it begins with \"{}\"; expected \"{}\"",
            bytes[..4].escape_ascii(),
            MAGIC.escape_ascii()
        ));
    }
    let version = reader.u32("the version")?;
    if !VERSIONS.contains(&version) {
        let hint = match VERSIONS.contains(&version.swap_bytes()) {
            true => "; big-endian files are not supported: convert the model again without that",
            false => ", and convert the model again otherwise",
        };
        return Err(format!(
            "GGUF version {version}; expected little-endian version 2 or 3{hint}"
        ));
    }
    let tensors = reader.count("the number of tensors", MAX_TENSORS)?;
    let keys = reader.count("the number of keys", MAX_KEYS)?;
    let metadata = metadata(&mut reader, keys)?;
    let alignment = alignment(&metadata)?;
    if let Some(parts @ 2..) = metadata.count("split.count")? {
        return Err(format!(
            "split.count is {parts}: the model is in {parts} files; merge them into one first, as llama-gguf-split --merge does"
        ));
    }
    let rows = table(&mut reader, tensors)?;
    let data = (reader.at as u64).next_multiple_of(alignment);
    let tensors = placed(rows, (data, alignment), bytes.len() as u64)?;
    Ok(File { metadata, tensors })
}

fn metadata(reader: &mut Reader<'_>, keys: u64) -> Result<Metadata, String> {
    let mut metadata = Metadata::default();
    for index in 0..keys {
        let what = format!("key {index}");
        let key = reader.text(&what, MAX_KEY_BYTES)?.to_owned();
        let kind = reader.u32(&key)?;
        let value = match kind {
            9 => array(reader, &key)?,
            kind => scalar(reader, &key, kind)?,
        };
        if let Some(first) = metadata.0.insert(key.clone(), value) {
            return Err(format!(
                "{key} stands twice in the metadata, first as {first}; expected it once"
            ));
        }
    }
    Ok(metadata)
}

fn scalar(reader: &mut Reader<'_>, key: &str, kind: u32) -> Result<Value, String> {
    Ok(match kind {
        0 => Value::Unsigned(reader.number(key, u8::from_le_bytes)?.into()),
        1 => Value::Signed(reader.number(key, i8::from_le_bytes)?.into()),
        2 => Value::Unsigned(reader.number(key, u16::from_le_bytes)?.into()),
        3 => Value::Signed(reader.number(key, i16::from_le_bytes)?.into()),
        4 => Value::Unsigned(reader.number(key, u32::from_le_bytes)?.into()),
        5 => Value::Signed(reader.number(key, i32::from_le_bytes)?.into()),
        6 => Value::F32(reader.number(key, f32::from_le_bytes)?),
        7 => match reader.number(key, u8::from_le_bytes)? {
            0 => Value::Flag(false),
            1 => Value::Flag(true),
            other => return Err(format!("{key} is the boolean {other}; expected 0 or 1")),
        },
        8 => Value::Text(reader.text(key, MAX_HEADER_BYTES)?.to_owned()),
        10 => Value::Unsigned(reader.number(key, u64::from_le_bytes)?),
        11 => Value::Signed(reader.number(key, i64::from_le_bytes)?),
        12 => Value::F64(reader.number(key, f64::from_le_bytes)?),
        kind => return Err(unknown_kind(key, kind)),
    })
}

fn unknown_kind(key: &str, kind: u32) -> String {
    format!("{key} is of the value type {kind}; expected 0 to 12; the file is damaged")
}

fn array(reader: &mut Reader<'_>, key: &str) -> Result<Value, String> {
    let kind = reader.u32(key)?;
    let length = reader.length(key)?;
    match kind {
        8 => (0..length)
            .map(|_| reader.text(key, MAX_HEADER_BYTES).map(str::to_owned))
            .collect::<Result<_, _>>()
            .map(Value::Texts),
        4 => Ok(Value::Integers(
            reader.numbers(key, length, |b| u32::from_le_bytes(b).into())?,
        )),
        5 => Ok(Value::Integers(
            reader.numbers(key, length, |b| i32::from_le_bytes(b).into())?,
        )),
        6 => Ok(Value::Floats(reader.numbers(
            key,
            length,
            f32::from_le_bytes,
        )?)),
        9 => {
            for _ in 0..length {
                skip_array(reader, key, 1)?;
            }
            Ok(Value::Other("arrays"))
        }
        kind => {
            reader.take_many(key, length, width(key, kind)?)?;
            Ok(Value::Other("other numbers"))
        }
    }
}

fn skip_array(reader: &mut Reader<'_>, key: &str, nesting: usize) -> Result<(), String> {
    if nesting > MAX_NESTING {
        return Err(format!(
            "{key} has arrays within arrays, more than {MAX_NESTING} deep; the file is damaged"
        ));
    }
    let kind = reader.u32(key)?;
    let length = reader.length(key)?;
    match kind {
        8 => {
            for _ in 0..length {
                reader.text(key, MAX_HEADER_BYTES)?;
            }
        }
        9 => {
            for _ in 0..length {
                skip_array(reader, key, nesting + 1)?;
            }
        }
        kind => drop(reader.take_many(key, length, width(key, kind)?)?),
    }
    Ok(())
}

/// Bytes of a number of a value type.
fn width(key: &str, kind: u32) -> Result<usize, String> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        kind => Err(unknown_kind(key, kind)),
    }
}

fn alignment(metadata: &Metadata) -> Result<u64, String> {
    let key = "general.alignment";
    match metadata.count(key)? {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(alignment)
            if alignment.is_power_of_two() && (8..=MAX_ALIGNMENT).contains(&alignment) =>
        {
            Ok(alignment)
        }
        Some(alignment) => Err(format!(
            "{key} is {alignment}; expected a power of two from 8 to {MAX_ALIGNMENT}"
        )),
    }
}

/// A row as it stands in the file: the name, the type, the dimensions and the offset of the data.
type Row = (String, Kind, Vec<usize>, u64);

fn table(reader: &mut Reader<'_>, tensors: u64) -> Result<Vec<Row>, String> {
    let mut names = BTreeSet::new();
    let mut rows = Vec::new();
    for index in 0..tensors {
        let what = format!("the name of tensor {index}");
        let name = reader.text(&what, MAX_NAME_BYTES)?.to_owned();
        let what = format!("tensor {name}");
        if !names.insert(name.clone()) {
            return Err(format!("{what} is listed twice; expected it once"));
        }
        let dimensions = reader.u32(&what)?;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(format!(
                "{what} has {dimensions} dimensions; expected 1 to {MAX_DIMENSIONS}"
            ));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = reader.number(&what, u64::from_le_bytes)?;
            let size = usize::try_from(size).ok().filter(|size| *size > 0);
            shape.push(size.ok_or_else(|| {
                format!("{what} has a dimension that is 0 or too large; the file is damaged")
            })?);
        }
        shape.reverse();
        let kind = Kind::of(reader.u32(&what)?).map_err(|why| format!("{what} {why}"))?;
        let offset = reader.number(&what, u64::from_le_bytes)?;
        rows.push((name, kind, shape, offset));
    }
    Ok(rows)
}

/// Where the data of every tensor lie, none of them outside the file or in another's place.
fn placed(
    rows: Vec<Row>,
    (data, alignment): (u64, u64),
    length: u64,
) -> Result<Vec<TensorInfo>, String> {
    let mut tensors = Vec::new();
    let mut taken = BTreeMap::new();
    for (name, kind, shape, offset) in rows {
        let size = kind
            .bytes(&shape)
            .map_err(|why| format!("tensor {name} {why}"))?;
        if !offset.is_multiple_of(alignment) {
            return Err(format!(
                "tensor {name} begins at offset {offset}; expected a multiple of the alignment, {alignment}"
            ));
        }
        let start = data.checked_add(offset);
        let end = start.and_then(|start| start.checked_add(size));
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= length)) else {
            return Err(format!(
                "tensor {name} has {size} bytes at offset {offset} of the data, which begin at {data}; the file has {length} bytes: get the whole file again"
            ));
        };
        taken.insert(start, (end, name.clone()));
        tensors.push(TensorInfo {
            name,
            kind,
            shape,
            start: start as usize,
            end: end as usize,
        });
    }
    if taken.len() < tensors.len() {
        return Err("two tensors begin at the same offset; the file is damaged".to_owned());
    }
    let ends = taken.values().zip(taken.iter().skip(1));
    for ((end, name), (start, (_, next))) in ends {
        if end > start {
            return Err(format!(
                "tensors {name} and {next} lie over each other; the file is damaged"
            ));
        }
    }
    Ok(tensors)
}

impl File {
    /// `general.architecture`.
    pub(crate) fn architecture(&self) -> Result<&str, String> {
        let key = "general.architecture";
        required(key, self.metadata.text(key)?)
    }

    pub(crate) fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

/// Reads on from where it is; errors name what was to be read.
struct Reader<'a> {
    /// The file, up to the largest header.
    bytes: &'a [u8],
    at: usize,
    /// Size of the whole file.
    whole: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, what: &str, count: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..count) else {
            return Err(self.ended(&format!("{what} needs {count} bytes")));
        };
        self.at += count;
        Ok(taken)
    }

    /// Why nothing more can be read.
    fn ended(&self, wanted: &str) -> String {
        let (at, whole) = (self.at, self.whole);
        match whole > self.bytes.len() {
            true => format!(
                "{wanted} at byte {at}; the metadata and the table of tensors may have {MAX_HEADER_BYTES} bytes"
            ),
            false => format!(
                "not a whole GGUF file: {wanted} at byte {at}, and the file has {whole}; get it again"
            ),
        }
    }

    fn take_many(&mut self, what: &str, count: u64, width: usize) -> Result<&'a [u8], String> {
        let bytes = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(width));
        self.take(what, bytes.unwrap_or(usize::MAX))
    }

    fn number<const N: usize, T>(
        &mut self,
        what: &str,
        convert: fn([u8; N]) -> T,
    ) -> Result<T, String> {
        let taken = self.take(what, N)?;
        Ok(convert(
            *taken.first_chunk().expect("as many as were taken"),
        ))
    }

    fn numbers<const N: usize, T>(
        &mut self,
        what: &str,
        count: u64,
        convert: fn([u8; N]) -> T,
    ) -> Result<Vec<T>, String> {
        let (values, _) = self.take_many(what, count, N)?.as_chunks::<N>();
        Ok(values.iter().map(|value| convert(*value)).collect())
    }

    fn u32(&mut self, what: &str) -> Result<u32, String> {
        self.number(what, u32::from_le_bytes)
    }

    fn count(&mut self, what: &str, limit: u64) -> Result<u64, String> {
        match self.number(what, u64::from_le_bytes)? {
            count if count <= limit => Ok(count),
            count => Err(format!(
                "{what} is {count}; expected at most {limit}; the file is damaged"
            )),
        }
    }

    /// The length of an array, of which every element takes a byte or more.
    fn length(&mut self, key: &str) -> Result<u64, String> {
        let length = self.number(key, u64::from_le_bytes)?;
        let rest = (self.bytes.len() - self.at) as u64;
        if length > rest {
            return Err(self.ended(&format!("{key} is an array of {length}")));
        }
        Ok(length)
    }

    fn text(&mut self, what: &str, limit: usize) -> Result<&'a str, String> {
        let length = self.number(what, u64::from_le_bytes)?;
        let rest = self.bytes.len() - self.at;
        let Some(length) = usize::try_from(length).ok().filter(|n| *n <= rest) else {
            return Err(self.ended(&format!("{what} is a string of {length} bytes")));
        };
        if length > limit {
            return Err(format!(
                "{what} is a string of {length} bytes; expected at most {limit}"
            ));
        }
        std::str::from_utf8(self.take(what, length)?)
            .map_err(|cause| format!("{what} is no UTF-8: {cause}; the file is damaged"))
    }
}
