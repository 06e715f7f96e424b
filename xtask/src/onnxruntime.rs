//! Fetches the pinned ONNX Runtime library out of its Python wheel.
//!
//! The wheel is the one form in which a package registry carries the library. Only the
//! shared library inside is used, so one wheel serves whatever Python is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// The pinned version; the `ort` crate asks for an API level that it has.
const VERSION: &str = "1.32.0";
/// (operating system, architecture, wheel, its sha256).
const WHEELS: &[(&str, &str, &str, &str)] = &[(
    "linux",
    "x86_64",
    "onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
)];

/// Where the library is once it was fetched.
pub fn library(root: &Path) -> PathBuf {
    root.join("target/onnxruntime/libonnxruntime.so")
}

/// Makes sure that the library is there, and returns its path.
pub fn fetch(root: &Path) -> Result<PathBuf, String> {
    let library = library(root);
    if library.exists() {
        return Ok(library);
    }
    let (os, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    let Some((_, _, wheel, sha256)) = WHEELS.iter().find(|w| w.0 == os && w.1 == architecture)
    else {
        return Err(format!(
            "no ONNX Runtime {VERSION} wheel is pinned for {os} {architecture}: add its name and sha256 to WHEELS in xtask/src/onnxruntime.rs"
        ));
    };
    let folder = root.join("target/onnxruntime");
    fs::create_dir_all(&folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
    download(&folder)?;
    let path = folder.join(wheel);
    let bytes =
        fs::read(&path).map_err(|e| format!("pip did not leave {}: {e}", path.display()))?;
    let found: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found != *sha256 {
        return Err(format!(
            "{wheel}: sha256 is {found}, expected {sha256}; remove it and try again, and trust neither until you know why"
        ));
    }
    unpack(&path, &folder)?;
    let inside = folder.join(format!("onnxruntime/capi/libonnxruntime.so.{VERSION}"));
    fs::rename(&inside, &library).map_err(|e| {
        format!(
            "cannot move {} to {}: {e}",
            inside.display(),
            library.display()
        )
    })?;
    Ok(library)
}

fn download(folder: &Path) -> Result<(), String> {
    python(
        &[
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--implementation",
            "cp",
            "--python-version",
            "3.11",
            "--platform",
            "manylinux_2_28_x86_64",
            "--dest",
            &folder.to_string_lossy(),
            &format!("onnxruntime=={VERSION}"),
        ],
        "Python 3 with pip and a package index that it can reach (Debian: apt install python3-pip)",
    )
}

fn unpack(wheel: &Path, folder: &Path) -> Result<(), String> {
    python(
        &[
            "-m",
            "zipfile",
            "-e",
            &wheel.to_string_lossy(),
            &folder.to_string_lossy(),
        ],
        "Python 3",
    )
}

fn python(arguments: &[&str], needs: &str) -> Result<(), String> {
    let output = Command::new("python3")
        .args(arguments)
        .output()
        .map_err(|e| format!("cannot run python3 ({e}); this step needs {needs}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "python3 {} failed; this step needs {needs}\n{}",
        arguments[..2].join(" "),
        String::from_utf8_lossy(&output.stderr)
    ))
}
