//! Writing a bundle's files into a folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use duoguard::{Architecture, FORMAT_VERSION, Limits, Manifest, Pooling};
use serde_json::Value;

use crate::bundle::write_file;
use crate::calibrate;
use crate::checkpoint::Checkpoint;
use crate::error::ExportError;
use crate::graph::{self, Form, max_position};
use crate::scheme::Plan;
use crate::weights;

/// DuoGuard's categories in the order of its outputs; the names of a classifier with 12 labels that
/// names none.
pub const CATEGORIES: [&str; 12] = [
    "violent_crimes",
    "non_violent_crimes",
    "sex_crimes",
    "child_exploitation",
    "specialized_advice",
    "privacy",
    "intellectual_property",
    "weapons",
    "hate",
    "self_harm",
    "sexual_content",
    "jailbreak",
];
const DEFAULT_WINDOW_TOKENS: usize = 512;
/// The share of a window that is scanned again as part of the next, unless the checkpoint says
/// otherwise.
const DEFAULT_OVERLAP_SHARE: usize = 8;

/// A bundle that was written.
pub(crate) struct Written {
    pub(crate) manifest: Manifest,
    /// Size of the files other than the manifest.
    pub(crate) bytes: u64,
}

/// Writes a bundle with uncalibrated thresholds.
pub(crate) fn write(
    checkpoint: &Checkpoint,
    plan: &Plan,
    labels: Option<&[String]>,
    folder: &Path,
) -> Result<Written, ExportError> {
    let graph = graph::build(checkpoint, plan, Form::Window)?;
    let (onnx, layout) = graph.whole();
    let mut files = BTreeMap::new();
    let mut bytes = 0;
    let mut add = |name: &str, (hash, size): (String, u64)| {
        files.insert(name.to_owned(), hash);
        bytes += size;
    };
    add(
        "tokenizer.json",
        write_file(&folder.join("tokenizer.json"), |out| {
            out.write_all(checkpoint.tokenizer())
        })?,
    );
    add(
        "model.onnx",
        write_file(&folder.join("model.onnx"), |out| out.write_all(&onnx))?,
    );
    // A stream goes on from what tokens before have seen, and an encoder's see what comes after.
    if checkpoint.config().encoder.is_none() {
        // Points into the same weights.
        let (stream, _) = graph::build(checkpoint, plan, Form::Stream)?.whole();
        add(
            "stream.onnx",
            write_file(&folder.join("stream.onnx"), |out| out.write_all(&stream))?,
        );
    }
    let weights = write_file(&folder.join(weights::FILE), |out| {
        layout.write(&graph.tensors.iter().collect::<Vec<_>>(), out)
    })?;
    add(weights::FILE, weights);
    let manifest = manifest(checkpoint, labels, files)?;
    rewrite_manifest(folder, &manifest)?;
    Ok(Written { manifest, bytes })
}

/// Replaces the manifest, and returns its size.
pub(crate) fn rewrite_manifest(folder: &Path, manifest: &Manifest) -> Result<u64, ExportError> {
    manifest.validate()?;
    let path = folder.join("manifest.json");
    if path.exists() {
        fs::remove_file(&path).map_err(ExportError::io("replace", &path))?;
    }
    let (_, size) = write_file(&path, |out| {
        serde_json::to_writer_pretty(&mut *out, manifest)?;
        out.write_all(b"\n")
    })?;
    Ok(size)
}

fn manifest(
    checkpoint: &Checkpoint,
    labels: Option<&[String]>,
    files: BTreeMap<String, String>,
) -> Result<Manifest, ExportError> {
    let (config, guard) = (checkpoint.config(), checkpoint.guard());
    let categories = categories(checkpoint, labels)?;
    let max_position = max_position(config);
    let prefix_tokens = checkpoint.prefix().to_vec();
    let suffix_tokens = checkpoint.suffix().to_vec();
    let around = prefix_tokens.len() + suffix_tokens.len();
    let window_tokens = guard
        .window_tokens
        .unwrap_or(DEFAULT_WINDOW_TOKENS.min(max_position.saturating_sub(around)));
    let name = || {
        let path = checkpoint.path().canonicalize().ok()?;
        let name = match path.is_file() {
            true => path.file_stem()?,
            false => path.file_name()?,
        };
        Some(name.to_string_lossy().into_owned())
    };
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        name: guard
            .name
            .clone()
            .or_else(name)
            .unwrap_or_else(|| "guard".to_owned()),
        architecture: Architecture {
            model_type: config.model_type.clone(),
            layers: config.layers,
            hidden: config.hidden,
            heads: config.heads,
            kv_heads: config.kv_heads,
            intermediate: config.intermediate,
            vocabulary: config.vocabulary,
            max_position,
            pooling: match &config.encoder {
                Some(encoder) => encoder.pooling,
                None => Pooling::LastToken,
            },
        },
        policy: calibrate::uncalibrated(&categories),
        categories,
        languages: guard.languages.clone(),
        limits: Limits {
            window_tokens,
            overlap_tokens: guard
                .overlap_tokens
                .unwrap_or(window_tokens / DEFAULT_OVERLAP_SHARE),
        },
        files,
        prefix_tokens,
        suffix_tokens,
        quantization: Value::Null,
        certificate: Value::Null,
        provenance: Value::Object(guard.provenance.clone()),
    };
    manifest.validate()?;
    Ok(manifest)
}

fn categories(
    checkpoint: &Checkpoint,
    given: Option<&[String]>,
) -> Result<Vec<String>, ExportError> {
    let labels = checkpoint.categories();
    if let Some(given) = given {
        if given.len() != labels {
            return Err(ExportError::Option(format!(
                "{} labels are given, but the checkpoint has {labels} categories",
                given.len()
            )));
        }
        return Ok(given.to_vec());
    }
    if let Some(categories) = &checkpoint.guard().categories {
        if categories.len() != labels {
            return Err(ExportError::checkpoint(
                &checkpoint.path().join("duoguard.json"),
                format!(
                    "{} categories, but the checkpoint has {labels}",
                    categories.len()
                ),
            ));
        }
        return Ok(categories.clone());
    }
    let names = &checkpoint.config().labels;
    let safe = checkpoint.config().safe_label;
    // `transformers` writes these names when it was given none; of two that exclude each other they
    // still tell which is which.
    let mut numbered = names.iter().enumerate();
    let is_named = !names.is_empty()
        && (safe.is_some() || !numbered.all(|(i, name)| *name == format!("LABEL_{i}")));
    Ok(match labels {
        _ if is_named => {
            let unsafe_names = names.iter().enumerate().filter(|(i, _)| Some(*i) != safe);
            let unsafe_names = unsafe_names.map(|(_, name)| name.clone());
            unsafe_names.take(labels).collect()
        }
        12 => CATEGORIES.map(str::to_owned).to_vec(),
        _ => (0..labels).map(|label| format!("LABEL_{label}")).collect(),
    })
}
