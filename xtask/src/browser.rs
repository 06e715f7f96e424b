//! Makes sure that there is a browser to test pages with.

use std::process::{Command, Stdio};

use crate::transformers::finish;

/// Installs Debian's Chromium unless it is there already.
pub fn install() -> Result<(), String> {
    let mut version = Command::new("chromium");
    version.arg("--version").stdout(Stdio::null());
    if version.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let what = "apt-get install chromium, which needs Debian and root (elsewhere, put a `chromium` on the path),";
    for arguments in [
        &["update"][..],
        &["install", "-y", "--no-install-recommends", "chromium"],
    ] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null());
        finish(apt, what)?;
    }
    Ok(())
}
