//! A Vulkan driver for machines without a GPU: Mesa's lavapipe, which the tests of the engine `wgpu` run on.

use std::path::Path;
use std::process::{Command, Stdio};

/// Debian's packages: the driver, and the validation layers that one test listens to.
const PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "vulkan-validationlayers"];
/// Where drivers and layers describe themselves.
const DRIVERS: [&str; 2] = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

/// Makes sure that there is a driver, and says which.
pub fn install() -> Result<String, String> {
    if !cfg!(target_os = "linux") {
        return Ok("the system's own graphics driver".to_owned());
    }
    if let Some(driver) = driver() {
        return Ok(driver);
    }
    let how = format!(
        "no Vulkan driver is installed; the tests of the engine wgpu need one. On Debian, as root: apt-get install {}",
        PACKAGES.join(" ")
    );
    if !is_root() || !has_apt() {
        return Err(how);
    }
    apt(&["update"]).map_err(|failed| format!("{how} ({failed})"))?;
    let install = [&["install", "-y", "--no-install-recommends"], &PACKAGES[..]].concat();
    apt(&install).map_err(|failed| format!("{how} ({failed})"))?;
    driver().ok_or(how)
}

/// A driver that describes itself, if there is any.
fn driver() -> Option<String> {
    let folders = DRIVERS
        .iter()
        .filter_map(|folder| Path::new(folder).read_dir().ok());
    let mut files = folders
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    files
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| path.display().to_string())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn has_apt() -> bool {
    let version = Command::new("apt-get")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("apt-get {}: {status}", arguments.join(" "))),
        Err(cause) => Err(format!("cannot run apt-get: {cause}")),
    }
}
