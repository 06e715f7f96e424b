//! Makes sure that the programs that a check needs are there.

use std::path::Path;
use std::process::Command;

use crate::process::{finish, printed, words};

/// (program, the Debian packages that have it and what it needs).
pub type Needed = (&'static str, &'static str);

/// Installs what is missing where that is possible, on Debian as root, and says what to install
/// where it is not.
pub fn ensure(needed: &[Needed]) -> Result<(), String> {
    let missing: Vec<_> = needed
        .iter()
        .filter(|(program, _)| !found(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|(_, packages)| packages.split(' '))
        .collect();
    install(&packages)?;
    match missing.iter().find(|(program, _)| !found(program)) {
        None => Ok(()),
        Some((program, package)) => Err(format!(
            "{program} is still missing after the Debian package {package} was installed"
        )),
    }
}

/// Installs Debian packages that may be there already.
pub fn install(packages: &[&str]) -> Result<(), String> {
    let refused = |why: &str| {
        let packages = packages.join(" ");
        format!("{why}: install what these Debian packages have: apt-get install {packages}")
    };
    if !found("apt-get") {
        return Err(refused("programs are missing, and this is no Debian"));
    }
    if printed(words(Path::new("/"), ["id", "-u"]), "id")?.trim() != "0" {
        return Err(refused(
            "programs are missing, and only root may install them",
        ));
    }
    // Another installation may hold the lock.
    let patient = ["-o", "DPkg::Lock::Timeout=300"];
    let mut update = Command::new("apt-get");
    update.args(patient).args(["update", "--quiet"]);
    finish(update, "apt-get update")?;
    let mut install = Command::new("apt-get");
    install
        .args(patient)
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    finish(install, "apt-get install").map_err(|failed| refused(&failed))
}

fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
