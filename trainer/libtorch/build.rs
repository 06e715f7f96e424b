//! Fails in one line where libtorch is missing.

use std::env;
use std::path::Path;

fn main() {
    for name in ["LIBTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_USE_PYTORCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        return;
    }
    let folder = env::var("LIBTORCH_INCLUDE").or_else(|_| env::var("LIBTORCH"));
    let folder = folder.unwrap_or_default();
    let header = Path::new(&folder).join("include/torch/csrc/api/include/torch/torch.h");
    println!("cargo::rerun-if-changed={}", header.display());
    if !header.exists() {
        println!("cargo::error=there is no libtorch in {folder:?}; run: cargo xtask torch");
    }
}
