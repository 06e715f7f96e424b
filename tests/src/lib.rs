//! What the cross-crate tests share: where the bundled model and the built program are.

pub mod browser;

use std::path::{Path, PathBuf};
use std::process::Command;

use duoguard::{EngineChoice, Model, Session, SessionOptions};

/// The smaller of the bundled models.
pub fn mini() -> PathBuf {
    root().join("models/mini")
}

/// The better of the bundled models.
pub fn base() -> PathBuf {
    root().join("models/base")
}

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A session on a named engine; `wgpu` runs under Debian's `mesa-vulkan-drivers` where there is no
/// GPU.
///
/// # Panics
/// When the engine cannot be used, with the commands that fetch what engines need.
pub fn session_on(model: &Model, engine: &str) -> Session {
    let options = SessionOptions {
        engine: EngineChoice::Named(engine.to_owned()),
        ..SessionOptions::default()
    };
    match model.session(&options) {
        Ok(session) => session,
        Err(error) => {
            panic!(
                "{error}; `cargo xtask ort` and `scripts/debian.sh vulkan` fetch what engines need"
            )
        }
    }
}

/// The `duoguard` program; see [`program`].
pub fn duoguard() -> Command {
    program("duoguard")
}

/// A program of the workspace, as `cargo xtask tests` builds it before the tests run.
///
/// # Panics
/// When it is not there, with the command that builds it.
pub fn program(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test knows its own path");
    let program = test
        .ancestors()
        .nth(2)
        .expect("tests lie in <target>/<profile>/deps")
        .join(name);
    assert!(
        program.exists(),
        "{} is missing: run `cargo build --release --workspace --bins`",
        program.display()
    );
    Command::new(program)
}
