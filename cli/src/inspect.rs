//! `duoguard inspect`: what a bundle says about itself, and whether its files are the ones it
//! names.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use duoguard::{MAX_MANIFEST_BYTES, Manifest, Model};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Outcome;
use crate::certificate;
use crate::cli::InspectArgs;
use crate::failure::Failure;

const MANIFEST: &str = "manifest.json";
const STREAM_GRAPH: &str = "stream.onnx";
const READ_BYTES: usize = 1 << 20;

pub(crate) fn run(arguments: &InspectArgs) -> Result<Outcome, Failure> {
    inspect(&arguments.bundle, &mut anstream::stdout().lock())?;
    Ok(Outcome::Safe)
}

/// Prints what there is before failing over what is wrong with it.
fn inspect(bundle: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let mut print = |text: &str| {
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(Failure::output)
    };
    let manifest = read_manifest(bundle)?;
    let files: Vec<_> = manifest
        .files
        .iter()
        .map(|(name, expected)| FileState::of(bundle, name, expected))
        .collect();
    let mut text = describe(&manifest);
    describe_files(&mut text, &files);
    print(&text)?;
    if let Some(bad) = files.iter().find(|file| !file.is_whole()) {
        return Err(Failure::message(format!(
            "{}: {}; get the bundle again or export the model again",
            bundle.join(&bad.name).display(),
            bad.problem()
        )));
    }
    Model::open(bundle)?;
    print("opens      yes\n")
}

fn read_manifest(bundle: &Path) -> Result<Manifest, Failure> {
    let path = bundle.join(MANIFEST);
    let failed =
        |cause: io::Error| Failure::message(format!("{}: cannot read: {cause}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(&path).map_err(failed)?;
    file.take(MAX_MANIFEST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(Manifest::from_json(&bytes)?)
}

/// A file of the bundle, compared with what the manifest says of it.
struct FileState {
    name: String,
    found: io::Result<Found>,
    expected: String,
}

struct Found {
    bytes: u64,
    sha256: String,
}

impl FileState {
    fn of(bundle: &Path, name: &str, expected: &str) -> Self {
        // A manifest may name any path; only files of the bundle itself are opened.
        let found = match Path::new(name).file_name().is_some_and(|file| file == name) {
            true => hash(&bundle.join(name)),
            false => Err(io::Error::other("not a plain file name")),
        };
        Self {
            name: name.to_owned(),
            found,
            expected: expected.to_owned(),
        }
    }

    fn is_whole(&self) -> bool {
        let same = |found: &Found| found.sha256.eq_ignore_ascii_case(&self.expected);
        self.found.as_ref().is_ok_and(same)
    }

    fn problem(&self) -> String {
        match &self.found {
            Ok(found) => format!(
                "SHA-256 is {}; the manifest says {}",
                found.sha256, self.expected
            ),
            Err(cause) => format!("cannot read: {cause}"),
        }
    }
}

fn hash(path: &Path) -> io::Result<Found> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = 0;
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        hasher.update(&buffer[..length]);
        bytes += length as u64;
    }
    let sha256 = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(Found { bytes, sha256 })
}

fn describe(manifest: &Manifest) -> String {
    let a = &manifest.architecture;
    let mut text = format!(
        "name       {} (bundle format {})\n\
         network    {}: {} layers of {}, {} heads ({} for keys and values), feed-forward {}, vocabulary {}\n\
         windows    {} tokens, {} shared with the next\n\
         streams    {}\n\
         languages  {}\n\
         categories and thresholds: a score above its threshold is unsafe\n",
        manifest.name,
        manifest.format_version,
        a.model_type,
        a.layers,
        a.hidden,
        a.heads,
        a.kv_heads,
        a.intermediate,
        a.vocabulary,
        manifest.limits.window_tokens,
        manifest.limits.overlap_tokens,
        streams(manifest),
        languages(manifest),
    );
    thresholds(&mut text, manifest);
    section(&mut text, "quantization", &manifest.quantization);
    certificate::describe(&mut text, &manifest.certificate);
    section(&mut text, "provenance", &manifest.provenance);
    text
}

fn streams(manifest: &Manifest) -> &'static str {
    match manifest.files.contains_key(STREAM_GRAPH) {
        true => "a verdict on the way costs what is new, with the engines that can",
        false => "a verdict on the way costs a window: there is no stream.onnx",
    }
}

fn languages(manifest: &Manifest) -> String {
    let tags: Vec<_> = manifest
        .policy
        .language_thresholds
        .keys()
        .map(String::as_str)
        .collect();
    match tags.is_empty() {
        true => "the same thresholds for all".to_owned(),
        false => format!(
            "own thresholds for {}; the default ones for all others",
            tags.join(", ")
        ),
    }
}

/// A table: a line per category, a column per language that has thresholds of its own.
fn thresholds(text: &mut String, manifest: &Manifest) {
    let categories = &manifest.categories;
    let tags = manifest.policy.language_thresholds.keys();
    let columns: Vec<_> = std::iter::once("default")
        .chain(tags.map(String::as_str))
        .map(|tag| {
            // "und" is no one's language: it takes the default thresholds.
            let language = if tag == "default" { "und" } else { tag };
            (tag, manifest.policy.thresholds(categories, language))
        })
        .collect();
    let width = categories.iter().map(String::len).max().unwrap_or(0);
    let _ = write!(text, "  {:width$}", "");
    for (tag, _) in &columns {
        let _ = write!(text, "  {tag:>7}");
    }
    text.push('\n');
    for (index, category) in categories.iter().enumerate() {
        let _ = write!(text, "  {category:width$}");
        for (_, values) in &columns {
            let _ = write!(text, "  {:>7.3}", values[index]);
        }
        text.push('\n');
    }
}

/// A free-form part of the manifest, as indented JSON.
pub(crate) fn section(text: &mut String, title: &str, value: &Value) {
    if value.is_null() {
        let _ = writeln!(text, "{title}: not stated");
        return;
    }
    let json = serde_json::to_string_pretty(value).unwrap_or_default();
    let _ = writeln!(text, "{title}:");
    for line in json.lines() {
        let _ = writeln!(text, "  {line}");
    }
}

fn describe_files(text: &mut String, files: &[FileState]) {
    text.push_str("files\n");
    let width = files.iter().map(|f| f.name.len()).max().unwrap_or(0);
    for file in files {
        let _ = write!(text, "  {:width$}", file.name);
        let _ = match &file.found {
            Ok(found) if file.is_whole() => {
                writeln!(text, "  {:>12} bytes  sha256 ok", found.bytes)
            }
            Ok(found) => writeln!(text, "  {:>12} bytes  sha256 WRONG", found.bytes),
            Err(cause) => writeln!(text, "  CANNOT READ: {cause}"),
        };
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
