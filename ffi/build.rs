//! Names the library after its ABI version, which the header states.

use std::path::Path;
use std::{env, fs};

const HEADER: &str = "../include/duoguard.h";

fn main() {
    println!("cargo::rerun-if-changed={HEADER}");
    let version = abi_version(Path::new(HEADER));
    println!("cargo::rustc-env=DUOGUARD_ABI_VERSION={version}");
    let system = env::var("CARGO_CFG_TARGET_OS").expect("cargo sets it");
    for argument in link_arguments(&system, &version) {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}

fn abi_version(header: &Path) -> String {
    let text = fs::read_to_string(header).expect("the header is part of the source");
    text.lines()
        .find_map(|line| line.strip_prefix("#define DUOGUARD_ABI_VERSION "))
        .expect("the header defines DUOGUARD_ABI_VERSION")
        .trim()
        .to_owned()
}

fn link_arguments(system: &str, version: &str) -> Vec<String> {
    match system {
        // An app ships its own copy under its plain name; the system may use pages of 16 KiB.
        "android" => vec![
            "-Wl,-soname,libduoguard.so".to_owned(),
            "-Wl,-z,max-page-size=16384".to_owned(),
        ],
        "linux" | "freebsd" => vec![format!("-Wl,-soname,libduoguard.so.{version}")],
        "macos" => vec![format!(
            "-Wl,-install_name,@rpath/libduoguard.{version}.dylib"
        )],
        "ios" => vec!["-Wl,-install_name,@rpath/libduoguard.dylib".to_owned()],
        _ => Vec::new(),
    }
}
