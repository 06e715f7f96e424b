//! The pinned ONNX Runtime library, out of its Python wheel. Only the shared library inside is
//! used, so one wheel serves whatever Python is installed.

use std::env::consts::{ARCH, OS};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::Shell;

use crate::wheel::{self, Wheel};

/// The pinned version; the `ort` crate asks for an API level that it has.
const VERSION: &str = "1.32.0";
/// (operating system, architecture, wheel).
const WHEELS: &[(&str, &str, Wheel)] = &[(
    "linux",
    "x86_64",
    Wheel {
        file: "onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        sha256: "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
    },
)];

/// Where the library is once it was fetched.
pub fn library(root: &Path) -> PathBuf {
    root.join("target/onnxruntime/libonnxruntime.so")
}

/// Makes sure that the library is there, and returns its path.
pub fn fetch(sh: &Shell, root: &Path) -> Result<PathBuf> {
    let library = library(root);
    if library.exists() {
        return Ok(library);
    }
    let fitting = WHEELS
        .iter()
        .find(|(os, arch, _)| (*os, *arch) == (OS, ARCH));
    let (_, _, wheel) = fitting.with_context(|| {
        format!(
            "no ONNX Runtime {VERSION} wheel is pinned for {OS} {ARCH}: add its name and sha256 to \
             WHEELS in xtask/src/onnxruntime.rs"
        )
    })?;
    let folder = sh.create_dir(root.join("target/onnxruntime"))?;
    wheel::fetch(sh, wheel, &folder)?;
    let inside = folder.join(format!("onnxruntime/capi/libonnxruntime.so.{VERSION}"));
    std::fs::rename(&inside, &library)
        .with_context(|| format!("cannot move {} to {}", inside.display(), library.display()))?;
    Ok(library)
}
