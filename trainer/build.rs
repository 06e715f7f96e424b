//! Links the programs of this package to libtorch, so that they find it where it was linked.

use std::env;

fn main() {
    // Where torch-sys found the library: LIBTORCH, or the PyTorch of a Python.
    println!("cargo::rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let Ok(folder) = env::var("DEP_TCH_LIBTORCH_LIB") else {
        println!("cargo::error=there is no libtorch here; run: cargo xtask torch");
        return;
    };
    println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    // Without this the linker drops libraries that no symbol asks for by name.
    println!("cargo::rustc-link-arg=-Wl,--no-as-needed");
    println!("cargo::rustc-link-arg=-ltorch_cpu");
    println!("cargo::rustc-link-arg=-lc10");
}
