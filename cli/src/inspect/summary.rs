//! A bundle on one screen.

use std::fmt::Write as _;

use duoguard::Manifest;
use serde_json::Value;

use super::files::{self, FileState};
use super::{network, streams, thresholds, windows};
use crate::certificate;

/// The lines that whoever picks a bundle looks for; `--verbose` has all of them.
pub(super) fn describe(manifest: &Manifest, files: &[FileState]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "name         {}, bundle format {}\n\
         network      {}\n\
         windows      {}\n\
         streams      {}\n\
         weights      {}\n\
         certificate  {}\n\
         made from    {}",
        manifest.name,
        manifest.format_version,
        network(manifest),
        windows(manifest),
        streams(manifest),
        weights(&manifest.quantization),
        certificate::sentence(&manifest.certificate),
        origin(&manifest.provenance),
    );
    files::summarise(&mut text, files);
    thresholds::summarise(&mut text, manifest);
    text
}

fn weights(quantization: &Value) -> &str {
    let scheme = quantization.get("scheme").and_then(Value::as_str);
    scheme.unwrap_or("not stated")
}

/// What the model was trained on, as far as the manifest says it.
fn origin(provenance: &Value) -> String {
    let list = |name| provenance.get(name).and_then(Value::as_array);
    let number = |name| provenance.get(name).and_then(Value::as_u64);
    let words = |name| {
        let words: Vec<_> = list(name)?.iter().filter_map(Value::as_str).collect();
        Some(words.join(" "))
    };
    let parts: Vec<String> = [
        number("training_rows").map(|rows| format!("{rows} labelled texts")),
        list("sources").map(|sources| format!("of {} sources", sources.len())),
        words("languages").map(|languages| format!("in {languages}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    match parts.is_empty() {
        true => "not stated".to_owned(),
        false => parts.join(" "),
    }
}
