//! Compares the metrics of the evaluation with scikit-learn's.

use std::path::Path;
use std::process::Command;

use crate::process::finish;
use crate::transformers::virtual_environment;

const PACKAGES: [&str; 1] = ["scikit-learn==1.9.1"];
const SCRIPT: &str = "eval/examples/metrics.py";

/// Compares constructed cases, or the files of a run: its scores and its report as JSON.
pub fn compare(root: &Path, files: &[&str]) -> Result<(), String> {
    let python = virtual_environment(&root.join("target/scikit-learn"), &PACKAGES)?;
    let mut command = Command::new(python);
    command.arg(root.join(SCRIPT));
    if files.is_empty() {
        let folder = root.join("target/metric-cases");
        std::fs::create_dir_all(&folder)
            .map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
        let path = folder.to_string_lossy();
        let example = [
            "-p",
            "duoguard-eval",
            "--example",
            "metric_cases",
            "--",
            &path,
        ];
        crate::cargo(
            root,
            &[&["run", "--release"], &example[..]].concat(),
            "cargo",
        )?;
        command.args(["scores.jsonl", "report.json"].map(|name| folder.join(name)));
    } else {
        command.args(files);
    }
    finish(command, SCRIPT)
}
