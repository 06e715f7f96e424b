//! The bytes of `weights.data`, in memory or mapped.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;

#[cfg(not(target_family = "wasm"))]
pub(crate) use memmap2::MmapMut;
#[cfg(not(target_family = "wasm"))]
use memmap2::{Mmap, MmapOptions};

use super::files::{MAX_READ_WEIGHTS_BYTES, WEIGHTS};
#[cfg(target_family = "wasm")]
pub(crate) use super::pages::MmapMut;
#[cfg(target_family = "wasm")]
use super::pages::{Mmap, MmapOptions};
use crate::error::{Error, ErrorKind, Result};

/// The bytes of `weights.data`: memory with the alignment of a mapped file, or one.
#[derive(Debug)]
pub struct Weights {
    map: Mmap,
    len: usize,
}

/// How [`Weights::open`] takes the bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Residence {
    /// Up to [`MAX_READ_WEIGHTS_BYTES`] they are read.
    Read,
    /// The file is mapped, where the system can.
    Mapped,
}

impl Weights {
    /// The name under which a graph refers to them.
    pub(crate) const FILE: &str = WEIGHTS;

    /// Copies bytes into memory that starts on a page, so that tensors in it are aligned as they
    /// are in the file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut map = memory(bytes.len())?;
        map[..bytes.len()].copy_from_slice(bytes);
        Self::finished(map, bytes.len())
    }

    /// Takes the bytes of a file.
    pub(crate) fn open(path: &Path, residence: Residence) -> Result<Self> {
        let failed = |cause| Error::io(path, "read", cause);
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::model(format!(
                "{}: expected a regular file",
                path.display()
            )));
        }
        let size = metadata.len();
        if size > 0 && (residence == Residence::Mapped || size > MAX_READ_WEIGHTS_BYTES) {
            // SAFETY: the map is only read. `Bundle::open` and `ModelOptions::map_weights` tell
            // callers that the file must not be changed in place while it is in use, which is the
            // one thing that cannot be checked here.
            match unsafe { MmapOptions::new().map_copy_read_only(&file) } {
                Ok(map) => {
                    let len = map.len();
                    return Ok(Self { map, len });
                }
                Err(cause) if is_unsupported(&cause) => {}
                Err(cause) => return Err(Error::io(path, "map into memory", cause)),
            }
        }
        let len = usize::try_from(size).map_err(|_| too_large(size))?;
        let mut map = memory(len)?;
        file.read_exact(&mut map[..len]).map_err(failed)?;
        Self::finished(map, len)
    }

    fn finished(map: MmapMut, len: usize) -> Result<Self> {
        let map = map.make_read_only().map_err(|cause| {
            Error::new(
                ErrorKind::OutOfMemory,
                format!("{WEIGHTS}: cannot protect {len} bytes: {cause}"),
            )
        })?;
        Ok(Self { map, len })
    }
}

/// Memory of at least `len` bytes, all 0, that starts on a page.
pub(crate) fn memory(len: usize) -> Result<MmapMut> {
    // An empty map is an error on some systems.
    let map = MmapMut::map_anon(len.max(1)).map_err(|cause| {
        Error::new(
            ErrorKind::OutOfMemory,
            format!("{WEIGHTS}: cannot allocate {len} bytes: {cause}"),
        )
    })?;
    // All of it will be written: a page of 2 MB takes one fault, where small ones take 512. A
    // system that has none does without.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(map)
}

fn too_large(size: u64) -> Error {
    Error::new(
        ErrorKind::OutOfMemory,
        format!("{WEIGHTS}: {size} bytes, more than this machine can address"),
    )
}

/// Whether a file system has no maps: some that are shared between machines have none.
fn is_unsupported(cause: &io::Error) -> bool {
    #[cfg(unix)]
    {
        const NO_SUCH_DEVICE: i32 = 19;
        const INVALID: i32 = 22;
        const UNSUPPORTED: i32 = 95;
        let code = cause.raw_os_error();
        code.is_some_and(|code| [NO_SUCH_DEVICE, INVALID, UNSUPPORTED].contains(&code))
    }
    #[cfg(not(unix))]
    {
        cause.kind() == io::ErrorKind::Unsupported
    }
}

impl Deref for Weights {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(WEIGHTS);
        for bytes in [&b""[..], b"abc", &[7; 10_000]] {
            std::fs::write(&path, bytes).unwrap();
            for residence in [Residence::Read, Residence::Mapped] {
                let weights = Weights::open(&path, residence).unwrap();
                assert_eq!(&*weights, bytes);
                assert_eq!(weights.as_ptr().align_offset(64), 0);
            }
        }
        let error = Weights::open(folder.path(), Residence::Read).unwrap_err();
        assert!(error.to_string().contains("regular file"), "{error}");
    }

    #[test]
    fn bytes_that_were_read_do_not_depend_on_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(WEIGHTS);
        std::fs::write(&path, [7_u8; 10_000]).unwrap();
        let weights = Weights::open(&path, Residence::Read).unwrap();
        File::create(&path).unwrap();
        assert_eq!(&*weights, &[7_u8; 10_000]);
    }
}
