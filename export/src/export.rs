//! From a checkpoint to a bundle.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use duoguard::{Architecture, FORMAT_VERSION, Limits, Manifest, Model};
use serde_json::{Value, json};

use crate::bundle::{Staging, write_file};
use crate::calibrate::{self, CalibrationReport};
use crate::checkpoint::Checkpoint;
use crate::error::ExportError;
use crate::graph::{self, max_position};
use crate::measure::{self, LogitError};
use crate::scheme::{Plan, Quantize};
use crate::weights;

/// DuoGuard's categories in the order of its outputs; the names of a classifier with 12 labels that names none.
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
/// The share of a window that is scanned again as part of the next, unless the checkpoint says otherwise.
const DEFAULT_OVERLAP_SHARE: usize = 8;
/// Quantisation is measured on this many calibration texts, taken evenly; the others add time, not knowledge.
const MEASURED_TEXTS: usize = 1000;

/// How [`export`] writes a bundle.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// How weights are stored.
    pub quantize: Quantize,
    /// Labelled texts, JSONL or gzipped JSONL with the fields `text`, `lang` and `unsafe` (0 or 1), on which thresholds are found.
    /// Without them every threshold is 0.5.
    pub calibration: Option<PathBuf>,
    /// Replace a bundle that is already there, and write one even if its fp32 graph fails the parity check.
    pub force: bool,
    /// The false positive rate that thresholds are to stay within, per language, on the calibration texts.
    pub target_fpr: f64,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            quantize: Quantize::Int8,
            calibration: None,
            force: false,
            target_fpr: 0.10,
        }
    }
}

/// What an export did and measured.
#[derive(Clone, Debug)]
pub struct ExportReport {
    /// Size of the four files together.
    pub bundle_bytes: u64,
    /// The largest difference between the logits of the fp32 graph and of its judges, the reference and the golden values.
    pub fp32_parity_max_error: f64,
    /// How far the bundle's logits are from the fp32 graph's; `None` if it was not quantised.
    pub logit_error: Option<LogitError>,
    /// What calibration found, if there were texts for it.
    pub calibration: Option<CalibrationReport>,
    /// The manifest, as read back from the bundle.
    pub manifest: Manifest,
}

/// Exports the checkpoint in the folder `checkpoint` to a bundle in the folder `bundle`, whose parent must exist.
///
/// The bundle appears whole, or not at all: it is made in a temporary folder beside its place and renamed. A folder that is there and
/// not empty is an error unless [`force`](ExportOptions::force) is set and it holds a bundle, which is then replaced; files in it that
/// are not the bundle's own are kept.
pub fn export(
    checkpoint: &Path,
    bundle: &Path,
    options: &ExportOptions,
) -> Result<ExportReport, ExportError> {
    if !(0.0..1.0).contains(&options.target_fpr) {
        return Err(ExportError::Option(format!(
            "the target false positive rate is {}; expected at least 0 and less than 1",
            options.target_fpr
        )));
    }
    let rows = options
        .calibration
        .as_deref()
        .map(calibrate::read)
        .transpose()?;
    let checkpoint = Checkpoint::open(checkpoint)?;
    let staging = Staging::new(bundle, options.force)?;

    let fp32_folder = staging.folder("fp32")?;
    let mut written = write(&checkpoint, Quantize::None, &fp32_folder)?;
    let fp32 = Model::open(&fp32_folder)?;
    let parity = measure::parity(&checkpoint, &fp32, options.force)?;

    let mut folder = fp32_folder;
    let mut model = fp32.clone();
    let mut logit_error = None;
    let mut measured_on = 0;
    if options.quantize == Quantize::Int8 {
        folder = staging.folder("int8")?;
        written = write(&checkpoint, Quantize::Int8, &folder)?;
        model = Model::open(&folder)?;
        let error = match &rows {
            Some(rows) => {
                let step = rows.len().div_ceil(MEASURED_TEXTS);
                let texts: Vec<&str> = rows
                    .iter()
                    .step_by(step)
                    .map(|row| row.text.as_str())
                    .collect();
                measured_on = texts.len();
                measure::logit_error_on_texts(&fp32, &model, &texts)?
            }
            None => {
                let inputs = measure::inputs(&checkpoint);
                measured_on = inputs.len();
                measure::logit_error_on_ids(&fp32, &model, &inputs)?
            }
        };
        logit_error = Some(error);
    }
    let manifest = &mut written.manifest;
    manifest.quantization = json!({
        "scheme": options.quantize.name(),
        "texts": measured_on,
        "logit_error": logit_error,
        "fp32_parity_max_error": parity,
    });
    let mut calibration = None;
    if let (Some(rows), Some(path)) = (&rows, &options.calibration) {
        let (policy, report) = calibrate::calibrate(&model, path, rows, options.target_fpr)?;
        manifest.policy = policy;
        manifest.provenance["calibration"] = json!(report);
        calibration = Some(report);
    }
    // The weights are mapped; some systems do not rename what is in use.
    drop((fp32, model));
    let manifest_bytes = rewrite_manifest(&folder, manifest)?;
    let manifest = Model::open(&folder)?.manifest().clone();
    staging.publish(&folder)?;
    Ok(ExportReport {
        bundle_bytes: written.bytes + manifest_bytes,
        fp32_parity_max_error: parity,
        logit_error,
        calibration,
        manifest,
    })
}

struct Written {
    manifest: Manifest,
    /// Size of the files other than the manifest.
    bytes: u64,
}

/// Writes a bundle with uncalibrated thresholds.
fn write(
    checkpoint: &Checkpoint,
    quantize: Quantize,
    folder: &Path,
) -> Result<Written, ExportError> {
    let plan = Plan::new(quantize);
    let graph = graph::build(checkpoint, &plan)?;
    let (onnx, layout) = graph.whole(checkpoint.labels());
    let mut files = BTreeMap::new();
    let mut bytes = 0;
    let mut add = |name: &str, (hash, size): (String, u64)| {
        files.insert(name.to_owned(), hash);
        bytes += size;
    };
    let tokenizer = checkpoint.folder().join("tokenizer.json");
    let tokenizer = fs::read(&tokenizer).map_err(ExportError::io("read", &tokenizer))?;
    add(
        "tokenizer.json",
        write_file(&folder.join("tokenizer.json"), |out| {
            out.write_all(&tokenizer)
        })?,
    );
    add(
        "model.onnx",
        write_file(&folder.join("model.onnx"), |out| out.write_all(&onnx))?,
    );
    let weights = write_file(&folder.join(weights::FILE), |out| {
        layout.write(&graph.tensors.iter().collect::<Vec<_>>(), out)
    })?;
    add(weights::FILE, weights);
    let manifest = manifest(checkpoint, files)?;
    rewrite_manifest(folder, &manifest)?;
    Ok(Written { manifest, bytes })
}

fn rewrite_manifest(folder: &Path, manifest: &Manifest) -> Result<u64, ExportError> {
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
    files: BTreeMap<String, String>,
) -> Result<Manifest, ExportError> {
    let (config, guard) = (checkpoint.config(), checkpoint.guard());
    let categories = categories(checkpoint)?;
    let max_position = max_position(config);
    let window_tokens = guard
        .window_tokens
        .unwrap_or(DEFAULT_WINDOW_TOKENS.min(max_position));
    let name = || {
        let folder = checkpoint.folder().canonicalize().ok()?;
        Some(folder.file_name()?.to_string_lossy().into_owned())
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
        },
        policy: calibrate::uncalibrated(&categories),
        categories,
        limits: Limits {
            window_tokens,
            overlap_tokens: guard
                .overlap_tokens
                .unwrap_or(window_tokens / DEFAULT_OVERLAP_SHARE),
        },
        files,
        quantization: Value::Null,
        provenance: Value::Object(guard.provenance.clone()),
    };
    manifest.validate()?;
    Ok(manifest)
}

fn categories(checkpoint: &Checkpoint) -> Result<Vec<String>, ExportError> {
    let labels = checkpoint.labels();
    if let Some(categories) = &checkpoint.guard().categories {
        if categories.len() != labels {
            return Err(ExportError::checkpoint(
                &checkpoint.folder().join("duoguard.json"),
                format!(
                    "{} categories, but score.weight has {labels} rows",
                    categories.len()
                ),
            ));
        }
        return Ok(categories.clone());
    }
    let names = &checkpoint.config().labels;
    // `transformers` writes these names when it was given none.
    let is_named = !names.is_empty()
        && !names
            .iter()
            .enumerate()
            .all(|(i, name)| *name == format!("LABEL_{i}"));
    Ok(match labels {
        _ if is_named => names.clone(),
        12 => CATEGORIES.map(str::to_owned).to_vec(),
        _ => (0..labels).map(|label| format!("LABEL_{label}")).collect(),
    })
}
