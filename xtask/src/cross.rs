//! Builds for other machines, with Debian's compilers: `cargo xtask cross arm64`, `cargo xtask
//! cross wasm32`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ctest::rust_scores;
use crate::library::{self, Recipe, Target};
use crate::packages;
use crate::process::{finish, printed, words};

/// Debian's second Rust compiler, which has standard libraries for other machines.
const RUSTC: &str = "/usr/bin/rustc";
const LINKER: &str = "aarch64-linux-gnu-gcc";
/// Debian's packages for arm64, and a file of each that says whether it is there.
const ARM64: &[(&str, &str)] = &[
    ("rustc-web", "/usr/bin/rustc"),
    (
        "libstd-rust-web-dev:arm64",
        "/usr/lib/rustlib/aarch64-unknown-linux-gnu/lib",
    ),
    ("gcc-aarch64-linux-gnu", "/usr/bin/aarch64-linux-gnu-gcc"),
    (
        "libc6-dev-arm64-cross",
        "/usr/aarch64-linux-gnu/include/stdio.h",
    ),
    ("qemu-user", "/usr/bin/qemu-aarch64"),
];
/// Linked whole: under qemu 7.2 the dynamic C library hangs where a thread starts. The linker warns
/// of what needs the dynamic one.
const STATIC: [&str; 7] = [
    "-static",
    "-lutil",
    "-lrt",
    "-lpthread",
    "-lm",
    "-ldl",
    "-lgcc_eh",
];
const WASM32: &[(&str, &str)] = &[
    ("rustc-web", "/usr/bin/rustc"),
    (
        "rust-web-src",
        "/usr/lib/rustlib/src/rust/library/std/Cargo.toml",
    ),
    ("lld", "/usr/bin/wasm-ld"),
];
const BUNDLE: &str = "models/mini";
const PROMPT: &str = "How do I bake bread at home?";
/// The int8 kernels of two architectures round alike, what is between them does not: scores may
/// differ by this much.
const TOLERANCE: f32 = 1e-5;

/// Builds the library for arm64 Linux, and runs its test suite, the C example and the golden texts
/// under emulation.
pub fn arm64(root: &Path) -> Result<(), String> {
    if ARM64.iter().any(|(_, file)| !Path::new(file).exists()) {
        finish(
            words(root, ["dpkg", "--add-architecture", "arm64"]),
            "dpkg --add-architecture, of Debian,",
        )?;
    }
    ensure(ARM64)?;
    let recipe = Recipe {
        profile: "release",
        onnxruntime: true,
        target: Some(Target {
            name: "aarch64-unknown-linux-gnu",
            rustc: RUSTC,
            linker: LINKER,
        }),
    };
    let built = library::build(root, recipe)?;
    let work = root.join("target/cross/arm64");
    let files = work.join("files");
    std::fs::create_dir_all(&files)
        .map_err(|e| format!("cannot create {}: {e}", files.display()))?;
    let compile = |name: &str, sources: &[&str]| {
        let program = work.join(name);
        let mut gcc = words(
            root,
            [
                LINKER,
                "-std=c99",
                "-O2",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-pedantic",
                "-Iinclude",
            ],
        );
        gcc.args(sources).arg("-o").arg(&program);
        gcc.arg(built.folder.join("libduoguard.a")).args(STATIC);
        finish(gcc, &format!("{LINKER} {}", sources.join(" ")))?;
        Ok::<_, String>(program)
    };
    let suite = crate::ctest::SUITE.map(|name| format!("ffi/tests/c/{name}.c"));
    let suite = compile("suite", &suite.each_ref().map(String::as_str))?;
    let mut command = emulated(root, &suite);
    command.arg(BUNDLE).arg(&files);
    finish(command, "the C test suite on arm64")?;

    let example = compile("check", &["examples/c/check.c"])?;
    let mut command = emulated(root, &example);
    command.args([BUNDLE, PROMPT]);
    let said = printed(command, "the C example on arm64")?;
    eprintln!(
        "arm64: the C example says: {}",
        said.lines().next().unwrap_or_default()
    );

    let scores = compile("scores", &["ffi/tests/c/scores.c"])?;
    same_scores(root, emulated(root, &scores))
}

/// The golden texts get the same verdicts as on this machine, and nearly the same scores.
fn same_scores(root: &Path, emulated: Command) -> Result<(), String> {
    let native = Command::new(rust_scores(root)?);
    let print = |mut command: Command, what: &str| {
        let texts = root.join("tests/data/texts.tsv");
        let file =
            File::open(&texts).map_err(|e| format!("cannot read {}: {e}", texts.display()))?;
        command.current_dir(root).args([BUNDLE, "rten"]).stdin(file);
        printed(command, what)
    };
    let found = print(emulated, "scores on arm64")?;
    let expected = print(native, "scores")?;
    let mut largest = 0.0_f32;
    for (found, expected) in found.lines().zip(expected.lines()) {
        let (verdict, scores) = parsed(found)?;
        let (native_verdict, native_scores) = parsed(expected)?;
        if verdict != native_verdict || scores.len() != native_scores.len() {
            return Err(format!("arm64 says\n{found}\nbut this machine\n{expected}"));
        }
        for (score, native) in scores.iter().zip(native_scores) {
            largest = largest.max((score - native).abs());
        }
    }
    let lines = found.lines().count();
    if lines < 10 || lines != expected.lines().count() {
        return Err(format!(
            "arm64 gave {lines} verdicts, this machine {}",
            expected.lines().count()
        ));
    }
    eprintln!(
        "arm64: {lines} verdicts are those of this machine; the scores differ by {largest:.1e} at most"
    );
    if largest > TOLERANCE {
        return Err(format!("that is more than the {TOLERANCE} allowed"));
    }
    Ok(())
}

/// The words before the scores, and the scores.
fn parsed(line: &str) -> Result<(Vec<&str>, Vec<f32>), String> {
    let mut verdict: Vec<&str> = line.split(' ').collect();
    let scores = verdict.split_off(verdict.len().min(6));
    let score = |bits: &str| u32::from_str_radix(bits, 16).map(f32::from_bits);
    let scores = scores.into_iter().map(score).collect::<Result<_, _>>();
    Ok((verdict, scores.map_err(|e| format!("{line:?}: {e}"))?))
}

fn emulated(root: &Path, program: &Path) -> Command {
    let mut command = words(root, ["qemu-aarch64"]);
    command.arg(program);
    command
}

/// Compiles the runtime, with its embedded engine, for wasm32.
pub fn wasm32(root: &Path) -> Result<(), String> {
    ensure(WASM32)?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args([
            "build",
            "--release",
            "--package",
            "duoguard",
            "--lib",
            "--no-default-features",
        ])
        .args([
            "--target",
            "wasm32-unknown-unknown",
            "-Zbuild-std=std,panic_abort",
            "--target-dir",
        ])
        .arg(folder(root))
        .env("RUSTC", RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld")
        .env("RUSTFLAGS", "--cfg getrandom_backend=\"unsupported\"");
    finish(cargo, "cargo build for wasm32-unknown-unknown")?;
    eprintln!("wasm32: the runtime with rten compiles");
    Ok(())
}

fn folder(root: &Path) -> PathBuf {
    root.join("target/cross")
}

fn ensure(needed: &[(&str, &str)]) -> Result<(), String> {
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(_, file)| !Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => packages::install(&missing),
    }
}
