//! A Vulkan driver for machines without a GPU: Mesa's lavapipe, which the tests of the engine
//! `wgpu` run on.

use std::path::Path;

use crate::packages;

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
    packages::install(&PACKAGES)
        .map_err(|failed| format!("the tests of the engine wgpu need a Vulkan driver. {failed}"))?;
    driver().ok_or_else(|| {
        format!(
            "no Vulkan driver describes itself in {DRIVERS:?}, though {PACKAGES:?} are installed"
        )
    })
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
