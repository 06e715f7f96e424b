//! From a checkpoint to a bundle.

use std::path::{Path, PathBuf};

use duoguard::{Manifest, Model};
use serde_json::json;

use crate::bundle::Staging;
use crate::calibrate::{CalibrationReport, Material};
use crate::certify::{Certificate, Tolerance};
use crate::checkpoint::Checkpoint;
use crate::error::ExportError;
use crate::judge::Judge;
use crate::measure::{self, LogitError};
use crate::rows;
use crate::scheme::Quantize;
use crate::texts::{self, Text};
use crate::trial::Trials;
use crate::write::rewrite_manifest;

const DEFAULT_CERTIFY_ROWS: usize = 400;
const DEFAULT_BENIGN_ROWS: usize = 1000;
/// What a certificate calls the texts that are part of this crate.
const BUILT_IN: &str = "built-in";

/// How [`export`] writes a bundle.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// How weights are stored.
    pub quantize: Quantize,
    /// Labelled texts, JSONL or gzipped JSONL with the fields `text`, `lang` and `unsafe` (0 or 1),
    /// on which thresholds are found. Without them every threshold is 0.5.
    pub calibration: Option<PathBuf>,
    /// Texts on which the certificate compares the quantised guard with the fp32 one, JSONL or
    /// gzipped JSONL with the fields `text`, `lang` and, where known, `unsafe` and `categories`.
    /// Without them: those of the calibration, or else a few built-in ones.
    pub certify: Option<PathBuf>,
    /// How many texts of a language the certificate takes at most, evenly.
    pub certify_rows: usize,
    /// How much quantising may change before the export refuses.
    pub tolerance: Tolerance,
    /// The categories, in the order of the logits; those that the checkpoint names when absent.
    pub labels: Option<Vec<String>>,
    /// The name of the label that stands for harmless text, where labels exclude each other; found
    /// by its name when absent.
    pub safe_label: Option<String>,
    /// Replace a bundle that is already there, and write one even if its fp32 graph fails the
    /// parity check or its certificate fails.
    pub force: bool,
    /// The false positive rate that thresholds are to stay within, per language, on the calibration
    /// texts that are labelled safe.
    pub target_fpr: f64,
    /// Harmless everyday texts, JSONL or gzipped JSONL with the fields `text` and `lang`, which
    /// thresholds must not flag either.
    pub benign: Option<PathBuf>,
    /// How many harmless texts of a language are taken at most, evenly.
    pub benign_rows: usize,
    /// The false positive rate that thresholds are to stay within, per language, on the harmless
    /// texts.
    pub benign_fpr: f64,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            quantize: Quantize::Int8,
            calibration: None,
            certify: None,
            certify_rows: DEFAULT_CERTIFY_ROWS,
            tolerance: Tolerance::default(),
            labels: None,
            safe_label: None,
            force: false,
            target_fpr: 0.10,
            benign: None,
            benign_rows: DEFAULT_BENIGN_ROWS,
            benign_fpr: 0.02,
        }
    }
}

/// What an export did and measured.
#[derive(Clone, Debug)]
pub struct ExportReport {
    /// Size of the files together.
    pub bundle_bytes: u64,
    /// The largest difference between the logits of the fp32 graph and of its judges, the reference
    /// and the golden values.
    pub fp32_parity_max_error: f64,
    /// How far the bundle's logits are from the fp32 graph's; `None` if it was not quantised.
    pub logit_error: Option<LogitError>,
    /// What quantising changed; `None` if it was not quantised.
    pub certificate: Option<Certificate>,
    /// What calibration found, if there were texts for it.
    pub calibration: Option<CalibrationReport>,
    /// The manifest, as read back from the bundle.
    pub manifest: Manifest,
}

/// Exports the checkpoint in the folder `checkpoint` to a bundle in the folder `bundle`, whose
/// parent must exist.
///
/// The bundle appears whole, or not at all: it is made in a temporary folder beside its place and
/// renamed. Where a folder cannot be renamed, as a mount point, its files are replaced one by one,
/// the manifest last. A folder that is there and not empty is an error unless
/// [`force`](ExportOptions::force) is set and it holds a bundle, which is then replaced; files in
/// it that are not the bundle's own are kept.
pub fn export(
    checkpoint: &Path,
    bundle: &Path,
    options: &ExportOptions,
) -> Result<ExportReport, ExportError> {
    let material = material(options)?;
    let (texts, source) = certified_texts(options)?;
    // Where it goes is checked before anything is computed.
    let staging = Staging::new(bundle, options.force)?;
    let checkpoint = Checkpoint::open_with_safe_label(checkpoint, options.safe_label.as_deref())?;
    let parity = measure::parity(&checkpoint, options.force)?;

    let mut trials = Trials {
        checkpoint: &checkpoint,
        staging: &staging,
        options,
        material: material.as_ref(),
        judge: Judge::new(&checkpoint, texts, source, options.tolerance),
        log: Vec::new(),
    };
    let chosen = trials.choose()?;
    let log = std::mem::take(&mut trials.log);
    if let Some(failed) = chosen.certificate.as_ref().filter(|c| !c.passed)
        && !options.force
    {
        return Err(ExportError::Certificate {
            scheme: failed.scheme.clone(),
            violations: failed.violations.clone(),
        });
    }
    let logit_error = chosen.certificate.as_ref().map(|c| c.all.logit_error);
    let mut manifest = chosen.written.manifest;
    manifest.quantization = json!({
        "scheme": chosen.plan.quantize.name(),
        "texts": chosen.certificate.as_ref().map_or(0, |c| c.all.texts),
        "logit_error": logit_error,
        "fp32_parity_max_error": parity,
    });
    if !chosen.plan.exceptions.is_empty() {
        manifest.quantization["kept"] = json!(chosen.plan.exceptions.keys().collect::<Vec<_>>());
    }
    if !log.is_empty() {
        manifest.quantization["tried"] = json!(log);
    }
    manifest.certificate = json!(chosen.certificate);
    if let Some((policy, report)) = &chosen.calibration {
        manifest.policy = policy.clone();
        manifest.provenance["calibration"] = json!(report);
    }
    let manifest_bytes = rewrite_manifest(&chosen.folder, &manifest)?;
    let manifest = Model::open(&chosen.folder)?.manifest().clone();
    drop(trials);
    staging.publish(&chosen.folder)?;
    Ok(ExportReport {
        bundle_bytes: chosen.written.bytes + manifest_bytes,
        fp32_parity_max_error: parity,
        logit_error,
        certificate: chosen.certificate,
        calibration: chosen.calibration.map(|(_, report)| report),
        manifest,
    })
}

/// Certifies a bundle that is already there: compares it with the checkpoint it was exported from,
/// on the texts of the options and at the bundle's own thresholds. Nothing is written.
pub fn certify(
    checkpoint: &Path,
    bundle: &Path,
    options: &ExportOptions,
) -> Result<Certificate, ExportError> {
    let (texts, source) = certified_texts(options)?;
    let checkpoint = Checkpoint::open_with_safe_label(checkpoint, options.safe_label.as_deref())?;
    let model = Model::open(bundle)?;
    let manifest = model.manifest();
    if manifest.outputs() != checkpoint.labels() {
        return Err(ExportError::Option(format!(
            "the bundle has {} categories and languages, but the checkpoint {} labels: they are of different models",
            manifest.outputs(),
            checkpoint.labels()
        )));
    }
    let scheme = manifest.quantization["scheme"]
        .as_str()
        .unwrap_or("unknown");
    Judge::new(&checkpoint, texts, source, options.tolerance).certify(
        &model,
        &manifest.policy,
        scheme,
    )
}

/// The texts that calibration goes by, if there are any.
fn material(options: &ExportOptions) -> Result<Option<Material<'_>>, ExportError> {
    for (name, rate) in [
        ("target", options.target_fpr),
        ("benign", options.benign_fpr),
    ] {
        if !(0.0..1.0).contains(&rate) {
            return Err(ExportError::Option(format!(
                "the {name} false positive rate is {rate}; expected at least 0 and less than 1"
            )));
        }
    }
    let benign = match options.benign.as_deref() {
        Some(path) => Some((path, texts::read(path, options.benign_rows)?)),
        None => None,
    };
    match (options.calibration.as_deref(), benign) {
        (Some(path), benign) => Ok(Some(Material {
            path,
            rows: rows::read(path)?,
            benign,
            target_fpr: options.target_fpr,
            benign_fpr: options.benign_fpr,
        })),
        (None, Some(_)) => Err(ExportError::Option(
            "harmless texts are given without calibration texts; thresholds are found on both together".to_owned(),
        )),
        (None, None) => Ok(None),
    }
}

/// The texts of the certificate, and what it calls them.
fn certified_texts(options: &ExportOptions) -> Result<(Vec<Text>, String), ExportError> {
    if options.certify_rows == 0 {
        return Err(ExportError::Option(
            "the certificate is to take 0 texts of a language; expected at least 1".to_owned(),
        ));
    }
    let Some(path) = options.certify.as_ref().or(options.calibration.as_ref()) else {
        return Ok((texts::built_in(), BUILT_IN.to_owned()));
    };
    let name = path.file_name().unwrap_or(path.as_os_str());
    let texts = texts::read(path, options.certify_rows)?;
    Ok((texts, name.to_string_lossy().into_owned()))
}
