//! The weights of a checkpoint: `model.safetensors`, or several files and their index; or a GGUF
//! file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::{Mmap, MmapMut, MmapOptions};
use safetensors::{Dtype, SafeTensors};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::error::ExportError;
use crate::gguf::{blocks, gguf_name};
use crate::small::read_extra;

pub(crate) const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// The largest header that is read; the safetensors library would allow more.
const MAX_HEADER_BYTES: u64 = 64 << 20;

/// The files that hold the weights, memory-mapped, and where every tensor lies in them.
#[derive(Debug)]
pub(crate) struct Shards {
    files: Vec<Map>,
    places: BTreeMap<String, Place>,
    is_gguf: bool,
}

/// A file, memory-mapped.
#[derive(Debug)]
pub(crate) struct Map {
    path: PathBuf,
    map: Mmap,
    /// Whether the map is of the file, so that pages of it can be had again.
    is_of_file: bool,
}

impl Map {
    pub(crate) fn open(path: &Path) -> Result<Self, ExportError> {
        let opened = File::open(path).map_err(ExportError::io("read", path))?;
        // SAFETY: the map is only read. `Checkpoint` tells callers that the files must not be
        // changed in place while it is open, which is the one thing that cannot be checked here.
        let (map, is_of_file) = match unsafe { MmapOptions::new().map_copy_read_only(&opened) } {
            Ok(map) => (map, true),
            // Some file systems that are shared between machines have no maps.
            Err(_) => (
                in_memory(opened).map_err(ExportError::io("read", path))?,
                false,
            ),
        };
        let path = path.to_owned();
        Ok(Self {
            path,
            map,
            is_of_file,
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }
}

/// Where a tensor lies, and what it is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) encoding: Encoding,
    pub(crate) shape: Vec<usize>,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The size of a head in rows, where within each head the rows of the two halves alternate.
    /// They are read as if they did not.
    pub(crate) interleaved: Option<usize>,
}

/// How the values of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Safetensors(Dtype),
    Gguf(blocks::Kind),
}

impl Encoding {
    /// The name of a type that cannot be read.
    pub(crate) fn unsupported(self) -> Option<Dtype> {
        match self {
            Self::Safetensors(Dtype::F32 | Dtype::F16 | Dtype::BF16) | Self::Gguf(_) => None,
            Self::Safetensors(dtype) => Some(dtype),
        }
    }
}

impl Shards {
    /// Opens `model.safetensors`, or where there is none the files that its index names.
    pub(crate) fn open(folder: &Path) -> Result<Self, ExportError> {
        let single = folder.join(SINGLE);
        let index_path = folder.join(INDEX);
        if single.exists() || !index_path.exists() {
            let (shard, places) = open_shard(&single, 0)?;
            return Ok(Self {
                files: vec![shard],
                places,
                is_gguf: false,
            });
        }
        let refused = |message: String| ExportError::checkpoint(&index_path, message);
        let index: Index = read_extra(&index_path)?.unwrap_or_default();
        let names: BTreeSet<&String> = index.weight_map.0.values().collect();
        if names.is_empty() {
            return Err(refused("weight_map names no tensor".to_owned()));
        }
        let mut shards = Self {
            files: Vec::new(),
            places: BTreeMap::new(),
            is_gguf: false,
        };
        for name in &names {
            if Path::new(name)
                .file_name()
                .is_none_or(|file| file != name.as_str())
            {
                return Err(refused(format!(
                    "weight_map names {name:?}; expected a file in the same folder"
                )));
            }
            if !folder.join(name).is_file() {
                return Err(refused(format!(
                    "weight_map names {name}, which is not there; get the whole checkpoint"
                )));
            }
        }
        for name in names {
            let path = folder.join(name);
            let (shard, places) = open_shard(&path, shards.files.len())?;
            shards.files.push(shard);
            for (tensor, place) in places {
                match index.weight_map.0.get(&tensor) {
                    Some(listed) if listed == name => drop(shards.places.insert(tensor, place)),
                    Some(listed) => {
                        return Err(ExportError::checkpoint(
                            &path,
                            format!(
                                "tensor {tensor} is in here and, says {INDEX}, in {listed}; expected it once"
                            ),
                        ));
                    }
                    None => {
                        return Err(ExportError::checkpoint(
                            &path,
                            format!(
                                "tensor {tensor} is not listed in {INDEX}; the files are of different checkpoints"
                            ),
                        ));
                    }
                }
            }
        }
        let missing = |(tensor, _): &(&String, &String)| !shards.places.contains_key(*tensor);
        if let Some((tensor, file)) = index.weight_map.0.iter().find(missing) {
            return Err(refused(format!(
                "weight_map has tensor {tensor} in {file}, but it is not there; get the whole checkpoint"
            )));
        }
        Ok(shards)
    }

    /// A GGUF file, and where its tensors lie by the names that a folder has for them.
    pub(crate) fn of_gguf(map: Map, places: BTreeMap<String, Place>) -> Self {
        Self {
            files: vec![map],
            places,
            is_gguf: true,
        }
    }

    pub(crate) fn is_gguf(&self) -> bool {
        self.is_gguf
    }

    /// What the files call a tensor.
    pub(crate) fn name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self.is_gguf {
            true => gguf_name(name).into(),
            false => name.into(),
        }
    }

    /// The names of all tensors, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    pub(crate) fn place(&self, name: &str) -> Option<&Place> {
        self.places.get(name)
    }

    /// The file that holds a tensor; the first one for a tensor that there is not.
    pub(crate) fn path(&self, name: &str) -> &Path {
        let file = self.place(name).map_or(0, |place| place.file);
        &self.files[file].path
    }

    /// Size of all files together.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.map.len() as u64).sum()
    }

    /// `count` values of a tensor from the value at `start`, in f32: whole rows of a tensor whose
    /// type can be read.
    pub(crate) fn read(&self, place: &Place, start: usize, count: usize) -> Vec<f32> {
        let Some(head) = place.interleaved else {
            return self.read_stored(place, start, count);
        };
        let width: usize = place.shape[1..].iter().product();
        let rows = start / width..(start + count) / width;
        // All rows of the heads that they belong to.
        let first = rows.start / head * head;
        let last = rows.end.next_multiple_of(head);
        let stored = self.read_stored(place, first * width, (last - first) * width);
        let mut values = Vec::with_capacity(count);
        for row in rows {
            let at = (stored_row(row, head) - first) * width;
            values.extend_from_slice(&stored[at..at + width]);
        }
        values
    }

    /// As [`read`](Self::read), in the order of the file.
    fn read_stored(&self, place: &Place, start: usize, count: usize) -> Vec<f32> {
        let Map {
            map, is_of_file, ..
        } = &self.files[place.file];
        let range = match place.encoding {
            Encoding::Safetensors(dtype) => {
                let size = dtype.bitsize() / 8;
                start * size..(start + count) * size
            }
            Encoding::Gguf(kind) => kind.range(start, count),
        };
        let bytes = &map[place.start..place.end][range.clone()];
        let values = match place.encoding {
            Encoding::Safetensors(Dtype::F16) => widen(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Encoding::Safetensors(Dtype::BF16) => widen(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Encoding::Safetensors(_) => widen(bytes, f32::from_le_bytes),
            Encoding::Gguf(kind) => kind.widen(bytes),
        };
        if *is_of_file {
            release(map, place.start + range.start, bytes.len());
        }
        values
    }
}

/// Where a file whose heads' halves alternate has row `row`: in a head of 6 rows, rows 0 1 2 3 4 5
/// stand as 0 3 1 4 2 5, so row 4 stands in place 3.
fn stored_row(row: usize, head: usize) -> usize {
    let (start, within) = (row / head * head, row % head);
    let (half, index) = (within / (head / 2), within % (head / 2));
    start + 2 * index + half
}

/// Lets the system take back the memory of pages that were read: a checkpoint is larger than
/// anything else in an export.
fn release(map: &Mmap, start: usize, length: usize) {
    #[cfg(unix)]
    {
        // SAFETY: the map is read-only and, as the caller has made sure, of a file, so pages that
        // are dropped come back from it, unchanged, when they are read again, also by another
        // thread.
        let advised = unsafe {
            map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, length)
        };
        // Advice that is not taken costs memory, nothing else.
        let _ = advised;
    }
    #[cfg(not(unix))]
    let _ = (map, start, length);
}

fn widen<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<N>();
    values.iter().map(|value| convert(*value)).collect()
}

/// `model.safetensors.index.json`.
#[derive(Default, serde::Deserialize)]
struct Index {
    weight_map: UniqueKeys<String>,
}

fn open_shard(path: &Path, file: usize) -> Result<(Map, BTreeMap<String, Place>), ExportError> {
    let map = Map::open(path)?;
    let places = places(map.bytes(), file);
    let places = places.map_err(|message| ExportError::checkpoint(path, message))?;
    Ok((map, places))
}

/// All of a file, read.
fn in_memory(mut file: File) -> std::io::Result<Mmap> {
    let size = file.metadata()?.len() as usize;
    let mut map = MmapMut::map_anon(size.max(1))?;
    file.read_exact(&mut map[..size])?;
    map.make_read_only()
}

fn places(bytes: &[u8], file: usize) -> Result<BTreeMap<String, Place>, String> {
    let damaged = |cause: &dyn fmt::Display| {
        format!("not a whole safetensors file: {cause}; get the checkpoint again")
    };
    let length = bytes
        .first_chunk()
        .map(|length| u64::from_le_bytes(*length))
        .ok_or_else(|| damaged(&format!("{} bytes", bytes.len())))?;
    let limit = MAX_HEADER_BYTES.min(bytes.len() as u64 - 8);
    if length > limit {
        return Err(damaged(&format!(
            "the header claims {length} bytes, of which at most {limit} can be"
        )));
    }
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|cause| damaged(&cause))?;
    // The library keeps the last of two tensors of one name.
    serde_json::from_slice::<UniqueKeys<IgnoredAny>>(&bytes[8..8 + header])
        .map_err(|cause| damaged(&cause))?;
    let place = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (start, end) = info.data_offsets;
        let place = Place {
            file,
            encoding: Encoding::Safetensors(info.dtype),
            shape: info.shape.clone(),
            start: 8 + header + start,
            end: 8 + header + end,
            interleaved: None,
        };
        (name, place)
    };
    Ok(metadata.tensors().into_iter().map(place).collect())
}

/// A JSON object whose keys must differ.
#[derive(Debug)]
struct UniqueKeys<V>(BTreeMap<String, V>);

impl<V> Default for UniqueKeys<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueKeys<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys<V>(std::marker::PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Keys<V> {
            type Value = UniqueKeys<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut keys = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, V>()? {
                    if keys.contains_key(&key) {
                        return Err(serde::de::Error::custom(format!(
                            "tensor {key} is listed twice"
                        )));
                    }
                    keys.insert(key, value);
                }
                Ok(UniqueKeys(keys))
            }
        }
        deserializer.deserialize_map(Keys(std::marker::PhantomData))
    }
}
