//! A page in a real browser. The trainer's and the server's tests take this file by its path.

use std::path::Path;
use std::process::Command;

/// What Chromium makes of an address, and of what scripts there do within ten seconds: (the
/// console's lines, the document). Its own files lie in `profile`.
///
/// # Panics
/// When it cannot be run, with the command that installs it, or fails.
pub fn shown(profile: &Path, url: &str) -> (Vec<String>, String) {
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args([
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(url)
        .output()
        .unwrap_or_else(|e| {
            panic!("cannot run chromium ({e}): `scripts/debian.sh browser` installs it")
        });
    assert!(output.status.success(), "chromium: {}", output.status);
    let log = String::from_utf8_lossy(&output.stderr);
    let console = log.lines().filter(|line| line.contains("CONSOLE"));
    let document = String::from_utf8_lossy(&output.stdout).into_owned();
    (console.map(str::to_owned).collect(), document)
}
