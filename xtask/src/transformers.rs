//! Runs the scripts that compare with `transformers`, in a virtual environment of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::finish;
use crate::{onnxruntime, record};

/// Pinned, so that golden values can be made again to the last bit.
const PACKAGES: [&str; 3] = [
    "torch==2.15.0",
    "transformers==5.23.0",
    "onnxruntime==1.32.0",
];
/// What the comparison of peers needs besides. llama.cpp is built from source, for this machine, so
/// that it uses what the processor has.
const PEERS: [&str; 2] = ["llama-cpp-python==0.3.36", "gguf==0.19.0"];
/// The library alone, without its tools.
const LLAMA_CPP: &str = "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DMTMD_BUILD=OFF -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF \
                         -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF";
const LIBRARY: &str = match cfg!(target_os = "macos") {
    true => "libduoguard.dylib",
    false => "libduoguard.so",
};
const SCRIPTS: &str = "export/tests/golden";

/// Makes the golden checkpoints again.
pub fn golden(root: &Path) -> Result<(), String> {
    run(root, "make.py", &[])
}

/// Measures a checkpoint of a real shape: the shape, its tokenizer and perhaps a scheme.
pub fn real_shape(root: &Path, arguments: &[&str]) -> Result<(), String> {
    onnxruntime::fetch(root)?;
    crate::cargo(root, &["build", "--release", "-p", "duoguard-cli"], "cargo")?;
    let work = root.join("target/real");
    std::fs::create_dir_all(&work).map_err(|e| format!("cannot create {}: {e}", work.display()))?;
    let program = root.join("target/release/duoguard");
    let (program, work) = (program.to_string_lossy(), work.to_string_lossy());
    let mut all = vec![arguments[0], arguments[1], &program, &work];
    all.extend(&arguments[2..]);
    run(root, "real.py", &all)
}

/// Times checks beside those of `transformers`, llama.cpp and ONNX Runtime in Python: perhaps of
/// another bundle and of its checkpoint.
pub fn peers(root: &Path, arguments: &[&str]) -> Result<(), String> {
    const SCRIPT: &str = "benches/peers/peers.py";
    let onnxruntime = onnxruntime::fetch(root)?;
    crate::cargo(root, &["build", "--release", "-p", "duoguard-ffi"], "cargo")?;
    let mut command = Command::new(environment(root, &PEERS)?);
    command
        .arg(root.join(SCRIPT))
        .args(arguments)
        .env("DUOGUARD_MACHINE", record::machine())
        .env(
            "DUOGUARD_LIBRARY",
            root.join("target/release").join(LIBRARY),
        )
        .env("ORT_DYLIB_PATH", onnxruntime);
    finish(command, SCRIPT)
}

fn run(root: &Path, script: &str, arguments: &[&str]) -> Result<(), String> {
    let python = environment(root, &[])?;
    let mut command = Command::new(&python);
    command
        .arg(root.join(SCRIPTS).join(script))
        .args(arguments)
        .env("ORT_DYLIB_PATH", onnxruntime::library(root));
    finish(command, &format!("{SCRIPTS}/{script}"))
}

/// Python with the packages, and some more. `DUOGUARD_PYTHON` may name one that has them already.
fn environment(root: &Path, more: &[&str]) -> Result<PathBuf, String> {
    if let Some(python) = std::env::var_os("DUOGUARD_PYTHON") {
        return Ok(python.into());
    }
    virtual_environment(
        &root.join("target/transformers"),
        &[&PACKAGES, more].concat(),
    )
}

/// The Python of a virtual environment with these packages, which is made where it is not yet.
pub(crate) fn virtual_environment(folder: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    let python = folder.join("bin/python");
    let installed = folder.join("installed");
    let found = std::fs::read_to_string(&installed).unwrap_or_default();
    let mut all: Vec<&str> = found.lines().collect();
    if packages.iter().all(|package| all.contains(package)) {
        return Ok(python);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(folder);
    finish(make, "python3 -m venv (Debian: apt install python3-venv)")?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--disable-pip-version-check"]);
    install.args(packages).env("CMAKE_ARGS", LLAMA_CPP);
    finish(
        install,
        "pip install, which needs a package index it can reach,",
    )?;
    let name = |package: &str| package.split("==").next().map(str::to_owned);
    all.retain(|old| packages.iter().all(|new| name(new) != name(old)));
    all.extend(packages);
    std::fs::write(&installed, all.join("\n"))
        .map_err(|e| format!("cannot write {}: {e}", installed.display()))?;
    Ok(python)
}
