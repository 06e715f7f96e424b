//! All that a bundle says of itself.

use std::fmt::Write as _;

use duoguard::Manifest;

use super::files::{self, FileState};
use super::{network, streams, thresholds, windows};
use crate::{certificate, section};

/// Every threshold, the certificate's tables, the provenance and every file.
pub(super) fn describe(manifest: &Manifest, files: &[FileState]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "name         {}\nformat       {}\nnetwork      {}\nwindows      {}\nstreams      {}",
        manifest.name,
        manifest.format_version,
        network(manifest),
        windows(manifest),
        streams(manifest),
    );
    thresholds::list(&mut text, manifest);
    section::describe(&mut text, "quantization", &manifest.quantization);
    certificate::describe(&mut text, &manifest.certificate);
    section::describe(&mut text, "provenance", &manifest.provenance);
    files::describe(&mut text, files);
    text
}
