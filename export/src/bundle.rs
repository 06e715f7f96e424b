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

/// A folder beside the bundle's, or within it, that becomes it in the end. Dropping it removes
/// everything.
pub(crate) struct Staging {
    root: TempDir,
    target: PathBuf,
    /// Whether the bundle's folder stays, and its files are replaced one by one.
    is_inside: bool,
}

impl Staging {
    /// Checks that the place is free, or that `force` allows to replace what is there, and that it
    /// can be written to.
    ///
    /// A folder that cannot be replaced by another keeps its place: a mount point, the current
    /// folder, one in a folder that may not be written to. Of a symbolic link it is the folder that
    /// it leads to that is replaced.
    pub(crate) fn new(target: &Path, force: bool) -> Result<Self, ExportError> {
        let target = &followed(target)?;
        let found = contents(target)?;
        if let Some(found) = &found
            && !found.is_empty()
        {
            check_replaceable(target, found, force)?;
        }
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let staging_in = |folder: &Path| {
            let mut builder = tempfile::Builder::new();
            builder.prefix(STAGING_PREFIX).tempdir_in(folder)
        };
        let beside = match found.is_some() && is_fixed(target, parent) {
            true => None,
            false => Some(staging_in(parent)),
        };
        let failed = |cause| ExportError::io("create a temporary folder in", parent)(cause);
        let (root, is_inside) = match beside {
            Some(Ok(root)) => (root, false),
            Some(Err(cause)) if found.is_none() => return Err(failed(cause)),
            // The folder itself may be writable where its parent is not.
            None | Some(Err(_)) => {
                let root = staging_in(target);
                let failed = ExportError::io("create a temporary folder in", target);
                (root.map_err(failed)?, true)
            }
        };
        Ok(Self {
            root,
            target: target.to_owned(),
            is_inside,
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
        if self.is_inside {
            return replace_files(folder, target);
        }
        let old = contents(target)?;
        for name in old.iter().flatten() {
            let (from, to) = (target.join(name), folder.join(name));
            if !to.exists() {
                fs::copy(&from, &to).map_err(ExportError::io("keep", &from))?;
            }
        }
        sync(folder)?;
        let aside = self.root.path().join("old");
        if old.is_some() && fs::rename(target, &aside).is_err() {
            // A mount of a folder of the same file system looks like any other until it is moved.
            let inside = tempfile::Builder::new()
                .prefix(STAGING_PREFIX)
                .tempdir_in(target)
                .map_err(ExportError::io("create a temporary folder in", target))?;
            for name in contents(folder)?.iter().flatten() {
                let (from, to) = (folder.join(name), inside.path().join(name));
                fs::copy(&from, &to).map_err(ExportError::io("write", &to))?;
                let synced = File::open(&to).and_then(|file| file.sync_all());
                synced.map_err(ExportError::io("write", &to))?;
            }
            return replace_files(inside.path(), target);
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

impl Drop for Staging {
    /// Removes what is there. Where the system fails in it, the folder's own end tries again:
    /// nobody looks there afterwards.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.root.path());
    }
}

/// The name of the file that tells the hashes of the others.
const MANIFEST: &str = "manifest.json";

/// Moves the files of `folder`, which is within `target`, over those of `target`, the manifest
/// last. Whoever opens the bundle meanwhile finds files that do not fit their manifest and refuses
/// them; none is ever half written.
fn replace_files(folder: &Path, target: &Path) -> Result<(), ExportError> {
    let names = contents(folder)?.unwrap_or_default();
    let (manifest, others): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| *name == MANIFEST);
    for name in others.iter().chain(&manifest) {
        let to = target.join(name);
        fs::rename(folder.join(name), &to).map_err(ExportError::io("replace", &to))?;
    }
    sync(target)
}

/// Where a path leads, if it is a symbolic link or ends in dots.
fn followed(target: &Path) -> Result<PathBuf, ExportError> {
    let is_link = fs::symlink_metadata(target).is_ok_and(|found| found.is_symlink());
    match fs::canonicalize(target) {
        Ok(real) if is_link || target.file_name().is_none() => Ok(real),
        Err(_) if is_link => Err(ExportError::Destination {
            path: target.to_owned(),
            message: "a symbolic link that leads nowhere; create the folder that it is to lead to"
                .to_owned(),
        }),
        _ => Ok(target.to_owned()),
    }
}

/// Whether a folder cannot be renamed, or somebody would notice: it is a mount point or the current
/// folder.
fn is_fixed(folder: &Path, parent: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
        if device(folder) != device(parent) {
            return true;
        }
    }
    #[cfg(not(unix))]
    let _ = parent;
    let real = |path: &Path| fs::canonicalize(path).ok();
    real(folder) == real(Path::new("."))
}

/// The names in a folder; `None` if there is no such folder.
fn contents(folder: &Path) -> Result<Option<Vec<std::ffi::OsString>>, ExportError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(ExportError::io("write the bundle to", folder)(cause)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let names: Vec<_> = names
        .collect::<Result<_, _>>()
        .map_err(ExportError::io("list", folder))?;
    // What the system puts into every new file system, and staging folders, are no contents.
    let is_own = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        !name.starts_with(STAGING_PREFIX) && name != "lost+found"
    };
    Ok(Some(names.into_iter().filter(is_own).collect()))
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
    if !found.iter().any(|name| name == MANIFEST) {
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
