//! What the source tree promises of itself: widths, lengths, and imports that run one way.
//!
//! `cargo test --release -p duoguard-tests --test tree` says what breaks a promise, and where.

mod imports;
mod lines;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's folder.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The files that git tracks, relative to the root, whose extension is one of these.
///
/// A tree without git (an archive of the sources) has nothing to ask: the test fails and says so.
fn tracked(extensions: &[&str]) -> Vec<PathBuf> {
    let listing = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .expect("these tests ask `git ls-files` which files there are; install git");
    assert!(
        listing.status.success(),
        "git ls-files: {}; run these tests in a git checkout",
        String::from_utf8_lossy(&listing.stderr)
    );
    let names = String::from_utf8(listing.stdout).expect("file names in UTF-8");
    let fits = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        // A file that is removed and not yet committed is still listed.
        extension.is_some_and(|extension| extensions.contains(&extension))
            && root().join(path).is_file()
    };
    let files: Vec<_> = names.split('\0').map(PathBuf::from).filter(fits).collect();
    assert!(!files.is_empty(), "git lists no file of {extensions:?}");
    files
}

fn read(path: &Path) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}
