//! The files of a bundle, compared with what its manifest says of them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use duoguard::Manifest;
use sha2::{Digest, Sha256};

const READ_BYTES: usize = 1 << 20;

/// A file of the bundle, compared with what the manifest says of it.
pub(super) struct FileState {
    pub(super) name: String,
    found: io::Result<Found>,
    expected: String,
}

struct Found {
    bytes: u64,
    sha256: String,
}

impl FileState {
    /// The files that the manifest lists.
    pub(super) fn all(bundle: &Path, manifest: &Manifest) -> Vec<Self> {
        let files = manifest.files.iter();
        files
            .map(|(name, expected)| Self::of(bundle, name, expected))
            .collect()
    }

    pub(super) fn of(bundle: &Path, name: &str, expected: &str) -> Self {
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

    pub(super) fn is_whole(&self) -> bool {
        let same = |found: &Found| found.sha256.eq_ignore_ascii_case(&self.expected);
        self.found.as_ref().is_ok_and(same)
    }

    pub(super) fn problem(&self) -> String {
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

/// One line: how many there are, their size, and whether they are whole.
pub(super) fn summarise(text: &mut String, files: &[FileState]) {
    let bytes: u64 = files
        .iter()
        .flat_map(|file| &file.found)
        .map(|found| found.bytes)
        .sum();
    let megabytes = bytes as f64 / 1e6;
    let wrong = files.iter().filter(|file| !file.is_whole()).count();
    let state = match wrong {
        0 => "all as the manifest says".to_owned(),
        _ => format!("{wrong} NOT as the manifest says"),
    };
    let _ = writeln!(
        text,
        "files        {}, {megabytes:.1} MB, {state}",
        files.len()
    );
}

/// A line for each.
pub(super) fn describe(text: &mut String, files: &[FileState]) {
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
