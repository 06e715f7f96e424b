//! Writing files that are whole or absent, and JSON in them.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::error::TrainError;

/// Writes `bytes` to `path` so that a reader sees the old file or the new one, never a part.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".partial");
    let temporary = Path::new(&temporary);
    let written = fs::File::create(temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(temporary, path)
    });
    written.map_err(|e| {
        let _ = fs::remove_file(temporary);
        TrainError::io("write", path, e)
    })
}

/// Writes indented JSON, atomically.
pub(crate) fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), TrainError> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|e| TrainError::invalid(path, e.to_string()))?;
    bytes.push(b'\n');
    write_atomically(path, &bytes)
}

/// `values` as JSON Lines, one value a line.
///
/// # Errors
/// A value that has no JSON form; the message names `path`, which the lines are for.
pub(crate) fn json_lines<T: Serialize>(path: &Path, values: &[T]) -> Result<Vec<u8>, TrainError> {
    let mut bytes = Vec::new();
    for value in values {
        serde_json::to_writer(&mut bytes, value)
            .map_err(|e| TrainError::invalid(path, e.to_string()))?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}
