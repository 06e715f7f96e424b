//! Runs the scripts that compare with `transformers`, in a virtual environment of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::onnxruntime;
use crate::process::finish;

/// Pinned, so that golden values can be made again to the last bit.
const PACKAGES: [&str; 3] = [
    "torch==2.15.0",
    "transformers==5.23.0",
    "onnxruntime==1.32.0",
];
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

/// Times checks beside those of `transformers` and of ONNX Runtime in Python: perhaps of another bundle and of its checkpoint.
pub fn peers(root: &Path, arguments: &[&str]) -> Result<(), String> {
    const SCRIPT: &str = "benches/peers/peers.py";
    let onnxruntime = onnxruntime::fetch(root)?;
    crate::cargo(root, &["build", "--release", "-p", "duoguard-ffi"], "cargo")?;
    let mut command = Command::new(environment(root)?);
    command
        .arg(root.join(SCRIPT))
        .args(arguments)
        .env(
            "DUOGUARD_LIBRARY",
            root.join("target/release").join(LIBRARY),
        )
        .env("ORT_DYLIB_PATH", onnxruntime);
    finish(command, SCRIPT)
}

fn run(root: &Path, script: &str, arguments: &[&str]) -> Result<(), String> {
    let python = environment(root)?;
    let mut command = Command::new(&python);
    command
        .arg(root.join(SCRIPTS).join(script))
        .args(arguments)
        .env("ORT_DYLIB_PATH", onnxruntime::library(root));
    finish(command, &format!("{SCRIPTS}/{script}"))
}

/// Python with the packages. `DUOGUARD_PYTHON` may name one that has them already.
fn environment(root: &Path) -> Result<PathBuf, String> {
    if let Some(python) = std::env::var_os("DUOGUARD_PYTHON") {
        return Ok(python.into());
    }
    virtual_environment(&root.join("target/transformers"), &PACKAGES)
}

/// The Python of a virtual environment with these packages, which is made where it is not yet.
pub(crate) fn virtual_environment(folder: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    let python = folder.join("bin/python");
    let installed = folder.join("installed");
    if std::fs::read_to_string(&installed).is_ok_and(|found| found == packages.join("\n")) {
        return Ok(python);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(folder);
    finish(make, "python3 -m venv (Debian: apt install python3-venv)")?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--disable-pip-version-check"]);
    install.args(packages);
    finish(
        install,
        "pip install, which needs a package index it can reach,",
    )?;
    std::fs::write(&installed, packages.join("\n"))
        .map_err(|e| format!("cannot write {}: {e}", installed.display()))?;
    Ok(python)
}
