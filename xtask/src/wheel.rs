//! Fetches Python wheels by pip. A wheel is the form in which a package registry carries a native
//! library; each is pinned by its file's name and its sha256.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use xshell::{Shell, cmd};

/// A pinned wheel, for whatever Python and machine its name says.
#[derive(Debug)]
pub struct Wheel {
    /// `NAME-VERSION-PYTHON-ABI-PLATFORM.whl`, as the binary distribution format has it.
    pub file: &'static str,
    /// Of the file, in lower-case hexadecimal digits.
    pub sha256: &'static str,
}

/// Downloads a wheel into `folder` and unpacks it there, if its bytes are those that are pinned.
pub fn fetch(sh: &Shell, wheel: &Wheel, folder: &Path) -> Result<()> {
    let Wheel { file, sha256 } = wheel;
    let path = folder.join(file);
    if !path.exists() {
        download(sh, file, folder)?;
    }
    let bytes = std::fs::read(&path).with_context(|| {
        format!(
            "pip left no {}, which is the wheel expected",
            path.display()
        )
    })?;
    let digest = Sha256::digest(&bytes);
    let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(
        found == *sha256,
        "{}: the sha256 is {found}, expected {sha256}; remove the file and try again, and trust \
         neither until you know why",
        path.display()
    );
    cmd!(sh, "python3 -m zipfile -e {path} {folder}")
        .run()
        .with_context(|| format!("cannot unpack {file}; this needs Python 3"))
}

/// Asks pip for what the file's name says.
fn download(sh: &Shell, file: &str, folder: &Path) -> Result<()> {
    let parts: Vec<&str> = file.trim_end_matches(".whl").split('-').collect();
    let [name, version, python, abi, platforms] = parts[..] else {
        bail!("{file}: expected NAME-VERSION-PYTHON-ABI-PLATFORM.whl");
    };
    let (implementation, python) = python.split_at(2);
    let platforms = platforms.split('.').flat_map(|one| ["--platform", one]);
    cmd!(
        sh,
        "python3 -m pip download --quiet --disable-pip-version-check --no-deps
         --only-binary=:all: --implementation {implementation} --python-version {python}
         --abi {abi} {platforms...} --dest {folder} {name}=={version}"
    )
    .run()
    .with_context(|| {
        format!(
            "cannot download {file}; this needs Python 3 with pip, and a package index that it can \
             reach (Debian: apt-get install python3-pip)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_of_other_bytes_is_refused() {
        let sh = Shell::new().unwrap();
        let folder = sh.create_temp_dir().unwrap();
        let wheel = Wheel {
            file: "a-1.0-py3-none-any.whl",
            sha256: "00",
        };
        std::fs::write(folder.path().join(wheel.file), "abc").unwrap();
        let reason = fetch(&sh, &wheel, folder.path()).unwrap_err().to_string();
        assert!(
            reason.contains("the sha256 is ba7816bf") && reason.contains("expected 00"),
            "{reason}"
        );
    }
}
