//! Memory that starts on a page, where there is no system to ask for it: WebAssembly. It stands for
//! the types of the crate memmap2 that `weights.rs` uses.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::ops::{Deref, DerefMut};
use std::slice;

const PAGE: usize = 4096;

#[derive(Clone, Debug)]
#[repr(C, align(4096))]
struct Page([u8; PAGE]);

/// Memory that is being filled.
#[derive(Debug)]
pub(crate) struct MmapMut {
    pages: Vec<Page>,
}

impl MmapMut {
    /// At least `len` bytes, all 0.
    pub(super) fn map_anon(len: usize) -> Result<Self> {
        let count = len.div_ceil(PAGE);
        let mut pages = Vec::new();
        let room = pages.try_reserve_exact(count);
        room.map_err(|cause| Error::new(ErrorKind::OutOfMemory, cause))?;
        pages.resize(count, Page([0; PAGE]));
        Ok(Self { pages })
    }

    pub(super) fn make_read_only(self) -> Result<Mmap> {
        Ok(Mmap(self))
    }
}

impl Deref for MmapMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let len = self.pages.len() * PAGE;
        // SAFETY: pages are bytes without padding, one behind the other, borrowed with `self`.
        unsafe { slice::from_raw_parts(self.pages.as_ptr().cast(), len) }
    }
}

impl DerefMut for MmapMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.pages.len() * PAGE;
        // SAFETY: as in `deref`, and borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.pages.as_mut_ptr().cast(), len) }
    }
}

/// Memory that is only read.
#[derive(Debug)]
pub(super) struct Mmap(MmapMut);

/// How a file is mapped.
pub(super) struct MmapOptions;

impl MmapOptions {
    pub(super) fn new() -> Self {
        Self
    }

    /// There are no files to map.
    ///
    /// # Safety
    /// Nothing is asked of the caller; it is declared as in memmap2.
    pub(super) unsafe fn map_copy_read_only(&self, _file: &File) -> Result<Mmap> {
        Err(ErrorKind::Unsupported.into())
    }
}

impl Deref for Mmap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
