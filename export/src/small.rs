//! The files of a checkpoint that are not weights.

use std::path::Path;

use duoguard::without_byte_order_mark;
use serde::Deserialize;

use crate::error::ExportError;

const MAX_EXTRA_BYTES: u64 = 64 << 20;

/// Reads a JSON file that may be absent.
pub(crate) fn read_extra<T: for<'a> Deserialize<'a>>(
    path: &Path,
) -> Result<Option<T>, ExportError> {
    if !path.exists() {
        return Ok(None);
    }
    serde_json::from_slice(&read_small(path)?)
        .map(Some)
        .map_err(|cause| ExportError::checkpoint(path, format!("not as expected: {cause}")))
}

/// Reads a file that is not weights, and is refused if it is as large as such.
pub(crate) fn read_small(path: &Path) -> Result<Vec<u8>, ExportError> {
    let size = std::fs::metadata(path)
        .map_err(ExportError::io("read", path))?
        .len();
    if size > MAX_EXTRA_BYTES {
        return Err(ExportError::checkpoint(
            path,
            format!("{size} bytes, more than the {MAX_EXTRA_BYTES} allowed"),
        ));
    }
    let bytes = std::fs::read(path).map_err(ExportError::io("read", path))?;
    Ok(without_byte_order_mark(&bytes).to_vec())
}
