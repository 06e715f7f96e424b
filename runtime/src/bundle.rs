//! A bundle: the files of a model, from a folder or from memory, verified.

pub(crate) mod files;
mod manifest;
#[cfg(target_family = "wasm")]
mod pages;
mod weights;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

pub use self::files::{
    BUNDLE_FILES, MAX_GRAPH_BYTES, MAX_MANIFEST_BYTES, MAX_READ_WEIGHTS_BYTES, MAX_TOKENIZER_BYTES,
    MAX_WEIGHTS_HEADER_BYTES, OPTIONAL_BUNDLE_FILES,
};
use self::files::{GRAPH, MANIFEST, MAX_SIGNATURE_BYTES, SIGNATURE, STREAM, TOKENIZER, WEIGHTS};
pub use self::manifest::{
    Architecture, FORMAT_VERSION, Limits, MAX_CATEGORIES, MAX_WINDOW_TOKENS, Manifest, Pooling,
};
use self::weights::Residence;
pub use self::weights::Weights;
pub(crate) use self::weights::{MmapMut, memory};
use crate::error::{Error, Result};
use crate::options::ModelOptions;

/// A bundle whose files are present, within their size limits and of the expected SHA-256.
#[derive(Debug)]
pub struct Bundle {
    manifest: Manifest,
    files: BTreeMap<&'static str, Vec<u8>>,
    weights: Arc<Weights>,
}

impl Bundle {
    /// Opens the bundle in the folder `path`. Files other than [`BUNDLE_FILES`] and the
    /// [`OPTIONAL_BUNDLE_FILES`] that its manifest lists are ignored.
    ///
    /// All files are read, and not needed any more afterwards, if `weights.data` has at most
    /// [`MAX_READ_WEIGHTS_BYTES`]. A larger one is memory-mapped, as with
    /// [`ModelOptions::map_weights`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &ModelOptions::default())
    }

    /// Opens the bundle in the folder `path` as the options say.
    ///
    /// # Errors
    /// Also a bundle that is not signed by the key in the options, before anything else in it is
    /// read.
    pub fn open_with(path: impl AsRef<Path>, options: &ModelOptions) -> Result<Self> {
        let folder = path.as_ref();
        if !folder.is_dir() {
            return Err(Error::io(
                folder,
                "open the bundle; expected a folder that holds manifest.json",
                match std::fs::metadata(folder) {
                    Ok(_) => std::io::ErrorKind::NotADirectory.into(),
                    Err(cause) => cause,
                },
            ));
        }
        let read = |name: &'static str, limit| Ok((name, read_file(&folder.join(name), limit)?));
        let in_folder =
            |error: Error| Error::new(error.kind(), format!("{}: {error}", folder.display()));
        let (_, json) = read(MANIFEST, MAX_MANIFEST_BYTES)?;
        if let Some(key) = &options.public_key {
            let path = folder.join(SIGNATURE);
            let name = path.display().to_string();
            match path.try_exists() {
                Ok(false) => return Err(unsigned(&name)),
                _ => key.verify(&json, &name, &read_file(&path, MAX_SIGNATURE_BYTES)?)?,
            }
        }
        let manifest = Manifest::from_json(&json).map_err(in_folder)?;
        let mut files = BTreeMap::from([
            (MANIFEST, json),
            read(TOKENIZER, MAX_TOKENIZER_BYTES)?,
            read(GRAPH, MAX_GRAPH_BYTES)?,
        ]);
        if manifest.files.contains_key(STREAM) {
            files.extend([read(STREAM, MAX_GRAPH_BYTES)?]);
        }
        let residence = match options.map_weights {
            true => Residence::Mapped,
            false => Residence::Read,
        };
        let weights = Weights::open(&folder.join(WEIGHTS), residence)?;
        Self::verified(manifest, files, weights).map_err(in_folder)
    }

    /// Copies a bundle from (file name, contents) pairs; names other than [`BUNDLE_FILES`] and the
    /// [`OPTIONAL_BUNDLE_FILES`] that its manifest lists are ignored. The latter may be left out:
    /// without `stream.onnx`, streams have no cache.
    pub fn from_memory<N: AsRef<str>, B: AsRef<[u8]>>(
        files: impl IntoIterator<Item = (N, B)>,
    ) -> Result<Self> {
        Self::from_memory_with(files, &ModelOptions::default())
    }

    /// Copies a bundle from (file name, contents) pairs as the options say. The signature that a
    /// key asks for is the file `manifest.json.minisig`.
    ///
    /// # Errors
    /// Also a bundle that is not signed by the key in the options.
    pub fn from_memory_with<N: AsRef<str>, B: AsRef<[u8]>>(
        files: impl IntoIterator<Item = (N, B)>,
        options: &ModelOptions,
    ) -> Result<Self> {
        let given: Vec<(N, B)> = files.into_iter().collect();
        let find_any = |name: &'static str, limit: u64| {
            let mut found = given.iter().filter(|(given, _)| given.as_ref() == name);
            let Some((_, bytes)) = found.next() else {
                return Ok(None);
            };
            if found.next().is_some() {
                return Err(Error::argument(format!("{name}: given more than once")));
            }
            let bytes = bytes.as_ref();
            check_size(name, bytes.len() as u64, limit)?;
            Ok(Some(bytes))
        };
        let find = |name: &'static str, limit: u64| {
            find_any(name, limit)?.ok_or_else(|| {
                let expected = BUNDLE_FILES.join(", ");
                Error::argument(format!(
                    "{name}: not among the files given; a bundle consists of {expected}"
                ))
            })
        };
        let json = find(MANIFEST, MAX_MANIFEST_BYTES)?;
        if let Some(key) = &options.public_key {
            let signature = find_any(SIGNATURE, MAX_SIGNATURE_BYTES)?;
            key.verify(
                json,
                SIGNATURE,
                signature.ok_or_else(|| unsigned(SIGNATURE))?,
            )?;
        }
        let mut files = BTreeMap::from([
            (MANIFEST, json.to_vec()),
            (TOKENIZER, find(TOKENIZER, MAX_TOKENIZER_BYTES)?.to_vec()),
            (GRAPH, find(GRAPH, MAX_GRAPH_BYTES)?.to_vec()),
        ]);
        let weights = find(WEIGHTS, u64::MAX)?;
        let manifest = Manifest::from_json(json)?;
        if manifest.files.contains_key(STREAM) {
            let stream = find_any(STREAM, MAX_GRAPH_BYTES)?;
            files.extend(stream.map(|bytes| (STREAM, bytes.to_vec())));
        }
        Self::verified(manifest, files, Weights::from_bytes(weights)?)
    }

    fn verified(
        manifest: Manifest,
        files: BTreeMap<&'static str, Vec<u8>>,
        weights: Weights,
    ) -> Result<Self> {
        let bundle = Self {
            manifest,
            files,
            weights: Arc::new(weights),
        };
        let optional = OPTIONAL_BUNDLE_FILES
            .into_iter()
            .filter(|name| bundle.files.contains_key(name));
        for name in files::HASHED_FILES.into_iter().chain(optional) {
            bundle.check_hash(name)?;
        }
        check_weights(&bundle.weights)?;
        Ok(bundle)
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bytes of one of its files; empty for any other name.
    pub fn file(&self, name: &str) -> &[u8] {
        match name {
            WEIGHTS => &self.weights,
            _ => self.files.get(name).map_or(&[], Vec::as_slice),
        }
    }

    /// The bytes of one of the [`OPTIONAL_BUNDLE_FILES`], if it is there.
    pub(crate) fn optional_file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// The bytes of `weights.data`.
    pub(crate) fn weights(&self) -> &Arc<Weights> {
        &self.weights
    }

    /// The manifest, without the rest.
    pub(crate) fn into_manifest(self) -> Manifest {
        self.manifest
    }

    fn check_hash(&self, name: &str) -> Result<()> {
        let expected = self.manifest.files.get(name).map_or("", String::as_str);
        let found: String = Sha256::digest(self.file(name))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if !expected.eq_ignore_ascii_case(&found) {
            return Err(Error::model(format!(
                "{name}: SHA-256 is {found}, but manifest.json says {expected}; the file is \
                 damaged or from another bundle: get the bundle again"
            )));
        }
        Ok(())
    }
}

/// Where a key is given and there is no signature.
fn unsigned(name: &str) -> Error {
    Error::model(format!(
        "{name}: not there, so the bundle is not signed, but a public key was given; get a signed \
         bundle, or sign its manifest: minisign -Sm {MANIFEST}"
    ))
}

fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |cause| Error::io(path, "read", cause);
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let name = path.display().to_string();
    check_size(&name, size, limit)?;
    // One more than there are: where a file ends is seen without room being made.
    let mut bytes = Vec::with_capacity(size as usize + 1);
    // The file may have grown since, or have no true size, as devices do.
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    check_size(&name, bytes.len() as u64, limit)?;
    Ok(bytes)
}

fn check_size(name: &str, size: u64, limit: u64) -> Result<()> {
    if size > limit {
        return Err(Error::model(format!(
            "{name}: {size} bytes, more than the {limit} allowed"
        )));
    }
    Ok(())
}

/// Checks the safetensors header: its length before anything is allocated for it, then that its
/// tensors fill the file exactly.
fn check_weights(bytes: &[u8]) -> Result<()> {
    let damaged = |what: String| {
        Error::model(format!(
            "{WEIGHTS}: {what}; expected the safetensors format: get the bundle again"
        ))
    };
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(damaged(format!(
            "{} bytes, too short for a header",
            bytes.len()
        )));
    };
    let length = u64::from_le_bytes(*length);
    let limit = MAX_WEIGHTS_HEADER_BYTES.min(rest.len() as u64);
    if length > limit {
        return Err(damaged(format!(
            "the header claims {length} bytes, of which at most {limit} can be"
        )));
    }
    SafeTensors::read_metadata(bytes)
        .map_err(|cause| damaged(format!("damaged header: {cause}")))?;
    Ok(())
}
