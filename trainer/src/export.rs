//! The checkpoint and the bundle of a trained classifier.

use std::fs;
use std::path::Path;

use duoguard_export::{ExportError, ExportOptions, Quantize, STAGING_PREFIX};
use serde_json::json;

use crate::data::rows::{CATEGORIES, Corpus};
use crate::error::TrainError;
use crate::model::network::Classifier;
use crate::setup::{Setup, classifier_labels};

/// Lengths in tokens of the sequences whose logits the exporter must reproduce.
const GOLDEN_LENGTHS: [usize; 4] = [1, 7, 33, 128];

/// The schemes of the bundle, of which the first is taken whose certificate passes; the last one
/// always does. The order is fixed, where `auto` would take the time of each: a run that was
/// resumed must write the same bundle.
const SCHEMES: [Quantize; 3] = [Quantize::Int8, Quantize::Int8Weights, Quantize::None];

/// Writes the checkpoint and the bundle of a classifier that was trained on `data`, into
/// `folder`. The first process does, while others go on.
///
/// # Errors
/// Full disk, or an export that fails for another reason than its certificate.
pub(crate) fn export_classifier<N: Classifier + Clone>(
    setup: &Setup<'_, N>,
    folder: &Path,
    classifier: &N,
    data: &Corpus,
    round: usize,
) -> Result<(), TrainError> {
    let (checkpoint, bundle) = (folder.join("checkpoint"), folder.join("bundle"));
    if !setup.group.is_first() || bundle.is_dir() {
        return Ok(());
    }
    remove_unfinished_exports(folder)?;
    classifier.save(
        &checkpoint,
        &classifier_labels(setup.recipe),
        &setup.run.join("tokenizer.json"),
        &golden_inputs(setup),
        &guard_description(setup, data, round),
    )?;
    for quantize in SCHEMES {
        let options = ExportOptions {
            quantize,
            calibration: Some(setup.run.join("validation.jsonl")),
            ..ExportOptions::default()
        };
        match duoguard_export::export(&checkpoint, &bundle, &options) {
            Err(ExportError::Certificate { .. }) => {}
            exported => {
                exported?;
                break;
            }
        }
    }
    Ok(())
}

/// Token sequences of the golden lengths, cut from the first training texts laid end to end.
fn golden_inputs<N>(setup: &Setup<'_, N>) -> Vec<Vec<i32>> {
    let rows = setup.training.rows.iter();
    let mut tokens = rows
        .flat_map(|row| setup.tokenizer.encode(&row.text))
        .map(|id| id as i32);
    GOLDEN_LENGTHS
        .iter()
        .map(|&length| {
            tokens
                .by_ref()
                .take(length.min(setup.recipe.classifier.window_tokens))
                .collect()
        })
        .filter(|ids: &Vec<i32>| !ids.is_empty())
        .map(|ids| setup.tokenizer.window(ids))
        .collect()
}

/// What the manifest takes over from training.
fn guard_description<N>(setup: &Setup<'_, N>, data: &Corpus, round: usize) -> serde_json::Value {
    let recipe = setup.recipe;
    let mut guard = json!({
        "name": recipe.name,
        "window_tokens": recipe.classifier.window_tokens,
        "overlap_tokens": recipe.classifier.overlap_tokens,
        "categories": CATEGORIES,
        "provenance": {
            "recipe_sha256": recipe.sha256(),
            "recipe": recipe.text,
            "round": round,
            "sources": data.sources,
            "licences": setup.licences,
            "languages": recipe.data.languages,
            "training_rows": data.rows.len(),
            "validation_rows": setup.validation.rows.len(),
            "trainer_version": env!("CARGO_PKG_VERSION"),
        },
    });
    if let Some(prefix) = recipe.start.encoder().and_then(|e| e.prefix_text.as_ref()) {
        guard["prefix_text"] = json!(prefix);
    }
    if let Some(head) = &recipe.classifier.language_head {
        guard["languages"] = json!(head.languages);
    }
    guard
}

/// An export that is killed leaves its staging folder behind.
fn remove_unfinished_exports(folder: &Path) -> Result<(), TrainError> {
    let io = |e| TrainError::io("read", folder, e);
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(STAGING_PREFIX) {
            fs::remove_dir_all(&path).map_err(|e| TrainError::io("remove", &path, e))?;
        }
    }
    Ok(())
}
