//! Runs programs, and says what was wrong with them.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs a program to its end; `what` names it in the error.
pub fn finish(mut command: Command, what: &str) -> Result<(), String> {
    let status = command
        .status()
        .map_err(|e| format!("cannot run {what}: {e}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{what} failed ({status})")),
    }
}

/// Runs a program and returns what it printed; its stderr goes to ours.
pub fn printed(mut command: Command, what: &str) -> Result<String, String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot run {what}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{what} failed ({})", output.status));
    }
    text(output, what)
}

/// What a program printed, as text.
pub fn text(output: Output, what: &str) -> Result<String, String> {
    String::from_utf8(output.stdout).map_err(|e| format!("{what} printed what is not UTF-8: {e}"))
}

/// A command of words, run in the workspace.
pub fn words<'a>(root: &Path, line: impl IntoIterator<Item = &'a str>) -> Command {
    let mut words = line.into_iter();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).current_dir(root);
    command
}
