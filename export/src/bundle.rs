//! Writing a bundle so that its folder appears whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::error::ExportError;

/// Names of staging folders begin with this; an export that was killed leaves its own beside the
/// bundle's place.
pub const STAGING_PREFIX: &str = ".duoguard-export-";

/// A folder beside the bundle's, on the same file system, that becomes it in the end. Dropping it
/// removes everything.
pub(crate) struct Staging {
    root: TempDir,
    target: PathBuf,
}

impl Staging {
    /// Checks that the place is free, or that `force` allows to replace what is there.
    pub(crate) fn new(target: &Path, force: bool) -> Result<Self, ExportError> {
        if let Some(found) = contents(target)?
            && !found.is_empty()
        {
            check_replaceable(target, &found, force)?;
        }
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let root = tempfile::Builder::new()
            .prefix(STAGING_PREFIX)
            .tempdir_in(parent)
            .map_err(ExportError::io("create a temporary folder in", parent))?;
        Ok(Self {
            root,
            target: target.to_owned(),
        })
    }

    /// Makes a folder in the staging area.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, ExportError> {
        let folder = self.root.path().join(name);
        fs::create_dir(&folder).map_err(ExportError::io("create", &folder))?;
        Ok(folder)
    }

    /// Puts `folder`, one of the staging area, in the bundle's place.
    ///
    /// Files beside those of the old bundle, such as a README.md, stay where they are.
    pub(crate) fn publish(self, folder: &Path) -> Result<(), ExportError> {
        let target = &self.target;
        let old = contents(target)?;
        for name in old.iter().flatten() {
            let (from, to) = (target.join(name), folder.join(name));
            if !to.exists() {
                fs::copy(&from, &to).map_err(ExportError::io("keep", &from))?;
            }
        }
        sync(folder)?;
        let aside = self.root.path().join("old");
        if old.is_some() {
            fs::rename(target, &aside).map_err(ExportError::io("replace", target))?;
        }
        if let Err(cause) = fs::rename(folder, target) {
            if old.is_some() {
                // The old bundle is better than none; if even that fails, the first error tells
                // more.
                let _ = fs::rename(&aside, target);
            }
            return Err(ExportError::io("create", target)(cause));
        }
        sync(self.root.path().parent().unwrap_or(Path::new(".")))
    }
}

/// The names in a folder; `None` if there is no such folder.
fn contents(folder: &Path) -> Result<Option<Vec<std::ffi::OsString>>, ExportError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(ExportError::io("write the bundle to", folder)(cause)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.collect::<Result<_, _>>();
    names.map(Some).map_err(ExportError::io("list", folder))
}

fn check_replaceable(
    target: &Path,
    found: &[std::ffi::OsString],
    force: bool,
) -> Result<(), ExportError> {
    let refused = |message: String| ExportError::Destination {
        path: target.to_owned(),
        message,
    };
    if !force {
        return Err(refused(
            "the folder is not empty; export with --force to replace the bundle in it".to_owned(),
        ));
    }
    if !found.iter().any(|name| name == "manifest.json") {
        return Err(refused(
            "the folder is not empty and has no manifest.json: it is no bundle, and is not replaced".to_owned(),
        ));
    }
    // Whatever has folders in it is more than a bundle.
    match found.iter().find(|name| !target.join(name).is_file()) {
        Some(name) => Err(refused(format!(
            "the folder also holds {}, which is not a file; it is not replaced",
            name.display()
        ))),
        None => Ok(()),
    }
}

/// Writes a file through to the disk and returns its SHA-256 and its size.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut Hashing) -> std::io::Result<()>,
) -> Result<(String, u64), ExportError> {
    let run = || -> std::io::Result<(String, u64)> {
        let mut out = Hashing {
            file: BufWriter::new(File::create_new(path)?),
            hash: Sha256::new(),
            bytes: 0,
        };
        write(&mut out)?;
        let file = out
            .file
            .into_inner()
            .map_err(|failed| failed.into_error())?;
        file.sync_all()?;
        let hash = out
            .hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok((hash, out.bytes))
    };
    run().map_err(ExportError::io("write", path))
}

/// A file that hashes what is written to it.
pub(crate) struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Makes the entries of a folder last. Only Unix knows how, and needs, to do that.
fn sync(folder: &Path) -> Result<(), ExportError> {
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(ExportError::io("write", folder))?;
    }
    Ok(())
}
