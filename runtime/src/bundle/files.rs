//! The files of a bundle: their names, and how large they may be.

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const GRAPH: &str = "model.onnx";
pub(crate) const WEIGHTS: &str = "weights.data";
pub(crate) const STREAM: &str = "stream.onnx";
/// The signature of `manifest.json`, in minisign's format. It is looked at where a key is given.
pub(crate) const SIGNATURE: &str = "manifest.json.minisig";
/// The files that every bundle has.
pub const BUNDLE_FILES: [&str; 4] = [MANIFEST, TOKENIZER, GRAPH, WEIGHTS];
/// The files that a bundle may have besides; the manifest lists those that it has. `stream.onnx` is
/// the graph with which streams go on from the keys and values of the text so far.
pub const OPTIONAL_BUNDLE_FILES: [&str; 1] = [STREAM];
/// Those whose SHA-256 the manifest must give.
pub(crate) const HASHED_FILES: [&str; 3] = [TOKENIZER, GRAPH, WEIGHTS];

/// The largest `manifest.json` that is read.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// The largest signature that is read: four short lines.
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 4 << 10;
/// The largest `tokenizer.json` that is read.
pub const MAX_TOKENIZER_BYTES: u64 = 64 << 20;
/// The largest `model.onnx` that is read. The weights are not in it.
pub const MAX_GRAPH_BYTES: u64 = 64 << 20;
/// The largest `weights.data` that is read into memory; larger ones are mapped. See
/// [`Bundle::open`](super::Bundle::open).
pub const MAX_READ_WEIGHTS_BYTES: u64 = 1 << 30;
/// The largest header of `weights.data`, as in the safetensors format's own limit.
pub const MAX_WEIGHTS_HEADER_BYTES: u64 = 16 << 20;
