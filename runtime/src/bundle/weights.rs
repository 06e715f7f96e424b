//! The bytes of `weights.data`, mapped or in memory.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

#[cfg(not(target_family = "wasm"))]
use memmap2::{Mmap, MmapMut};

use super::files::WEIGHTS;
#[cfg(target_family = "wasm")]
use super::pages::{Mmap, MmapMut};
use crate::error::{Error, ErrorKind, Result};

/// The bytes of `weights.data`: a mapped file, or memory with the alignment of one.
#[derive(Debug)]
pub struct Weights {
    map: Mmap,
    len: usize,
}

impl Weights {
    /// The name under which a graph refers to them.
    pub(crate) const FILE: &str = WEIGHTS;

    /// Copies bytes into memory that starts on a page, so that tensors in it are aligned as they
    /// are in the file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let len = bytes.len();
        let failed = |cause| {
            Error::new(
                ErrorKind::OutOfMemory,
                format!("{WEIGHTS}: cannot allocate {len} bytes: {cause}"),
            )
        };
        // An empty map is an error on some systems.
        let mut map = MmapMut::map_anon(len.max(1)).map_err(failed)?;
        map[..len].copy_from_slice(bytes);
        let map = map.make_read_only().map_err(failed)?;
        Ok(Self { map, len })
    }

    /// Maps a file.
    pub(crate) fn map(path: &Path) -> Result<Self> {
        let failed = |cause| Error::io(path, "read", cause);
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::model(format!(
                "{}: expected a regular file",
                path.display()
            )));
        }
        if metadata.len() == 0 {
            return Self::from_bytes(&[]);
        }
        // SAFETY: the map is only read. `Bundle::open` tells callers that the file must not be
        // changed in place while it is in use, which is the one thing that cannot be checked here.
        let map = unsafe { Mmap::map(&file) }
            .map_err(|cause| Error::io(path, "map into memory", cause))?;
        let len = map.len();
        Ok(Self { map, len })
    }
}

impl Deref for Weights {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map[..self.len]
    }
}
