//! `duoguard inspect`: what a bundle says about itself, and whether its files are the ones it
//! names.

mod files;
mod summary;
mod thresholds;
mod verbose;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use duoguard::{MAX_MANIFEST_BYTES, Manifest, Model, ModelOptions};

use self::files::FileState;
use crate::Outcome;
use crate::cli::InspectArgs;
use crate::failure::Failure;
use crate::model_path;

const MANIFEST: &str = "manifest.json";
const STREAM_GRAPH: &str = "stream.onnx";

pub(crate) fn run(arguments: &InspectArgs) -> Result<Outcome, Failure> {
    let out = &mut anstream::stdout().lock();
    let options = model_path::options(arguments.public_key.as_deref())?;
    inspect(&arguments.bundle, (arguments.verbose, &options), out)?;
    Ok(Outcome::Safe)
}

/// Prints what there is before failing over what is wrong with it.
fn inspect(
    bundle: &Path,
    (verbose, options): (bool, &ModelOptions),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut print = |text: &str| {
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(Failure::output)
    };
    let manifest = read_manifest(bundle)?;
    let files = FileState::all(bundle, &manifest);
    print(&match verbose {
        true => verbose::describe(&manifest, &files),
        false => summary::describe(&manifest, &files),
    })?;
    if let Some(bad) = files.iter().find(|file| !file.is_whole()) {
        return Err(Failure::message(format!(
            "{}: {}; get the bundle again or export the model again",
            bundle.join(&bad.name).display(),
            bad.problem()
        )));
    }
    Model::open_with(bundle, options)?;
    if options.public_key.is_some() {
        print("signed       by the given key\n")?;
    }
    print("opens        yes\n")
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

/// The network, in one line.
fn network(manifest: &Manifest) -> String {
    let a = &manifest.architecture;
    format!(
        "{}: {} layers of {}, {} heads ({} for keys and values), feed-forward {}, vocabulary {}",
        a.model_type, a.layers, a.hidden, a.heads, a.kv_heads, a.intermediate, a.vocabulary
    )
}

fn windows(manifest: &Manifest) -> String {
    let limits = &manifest.limits;
    format!(
        "{} tokens, {} shared with the next",
        limits.window_tokens, limits.overlap_tokens
    )
}

fn streams(manifest: &Manifest) -> &'static str {
    match manifest.files.contains_key(STREAM_GRAPH) {
        true => "a verdict on the way costs what is new, with the engines that can",
        false => "a verdict on the way costs a window: there is no stream.onnx",
    }
}

#[cfg(test)]
mod tests;
