//! Builds the C library, and lays it out for those who link it: `cargo xtask install`.

use std::env::consts::OS;
use std::fs;
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::InstallOptions;

/// The header, whose ABI version is part of the library's name.
const HEADER: &str = include_str!("../../include/duoguard.h");
/// What pkg-config and CMake read: where it is installed, and its template.
const PACKAGE: [(&str, &str); 3] = [
    (
        "lib/pkgconfig/duoguard.pc",
        include_str!("../../ffi/package/duoguard.pc.in"),
    ),
    (
        "lib/cmake/duoguard/duoguardConfig.cmake",
        include_str!("../../ffi/package/duoguardConfig.cmake.in"),
    ),
    (
        "lib/cmake/duoguard/duoguardConfigVersion.cmake",
        include_str!("../../ffi/package/duoguardConfigVersion.cmake.in"),
    ),
];

/// A library that was built.
struct Built {
    /// Where cargo leaves libraries.
    folder: PathBuf,
    /// The linker arguments that the static library needs, such as `-lm`.
    native: Vec<String>,
}

/// Where an operating system wants what: (cargo's name, the installed path).
struct Layout {
    shared: (&'static str, String),
    fixed: (&'static str, &'static str),
    import: Option<(&'static str, &'static str)>,
    /// A link, and what it points to.
    link: Option<(&'static str, String)>,
}

/// Builds the library and installs it, the header, and what pkg-config and CMake look for.
pub fn install(sh: &Shell, options: InstallOptions) -> Result<()> {
    let built = build(sh, &options)?;
    let layout = layout(OS, abi_version()?)?;
    let version = env!("CARGO_PKG_VERSION");
    let prefix = &path::absolute(&options.prefix)?;

    write(&prefix.join("include/duoguard.h"), HEADER)?;
    let (shared, fixed) = (prefix.join(&layout.shared.1), prefix.join(layout.fixed.1));
    copy(&built.folder.join(layout.shared.0), &shared)?;
    copy(&built.folder.join(layout.fixed.0), &fixed)?;
    if let Some((from, to)) = layout.import {
        copy(&built.folder.join(from), &prefix.join(to))?;
    }
    if let Some((link, target)) = &layout.link {
        symlink(target, &prefix.join(link))?;
    }
    strip(sh, options.target.as_deref(), &shared, &fixed)?;

    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"));
    for (path, template) in PACKAGE {
        let filled = template
            .replace("@VERSION@", version)
            .replace("@MAJOR@", major)
            .replace("@MINOR@", minor)
            .replace("@NATIVE_LIBRARIES@", &built.native.join(" "))
            .replace("@NATIVE_LIBRARIES_CMAKE@", &built.native.join(";"))
            .replace("@SHARED@", &layout.shared.1)
            .replace("@STATIC@", layout.fixed.1)
            .replace("@IMPORT_LIBRARY@", layout.import.map_or("", |(_, to)| to));
        write(&prefix.join(path), &filled)?;
    }
    println!("installed duoguard {version} into {}", prefix.display());
    Ok(())
}

/// Builds the shared and the static library.
fn build(sh: &Shell, options: &InstallOptions) -> Result<Built> {
    let profile = &options.profile;
    let features = options
        .no_default_features
        .then_some("--no-default-features");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let target = sh.current_dir().join(target);
    let target = target.join(options.target.as_deref().unwrap_or_default());
    // Next to the library that it belongs to: cargo builds neither again while both are fresh.
    let folder = sh.create_dir(target.join(profile))?;
    let native = folder.join("libduoguard.native");
    let machine = options
        .target
        .iter()
        .flat_map(|target| ["--target", target]);
    let print = format!("native-static-libs={}", native.display());
    cmd!(
        sh,
        "cargo rustc --package duoguard-ffi --lib --profile {profile} {features...}
         {machine...} -- --print {print}"
    )
    .run()
    .context("the C library was not built; this needs cargo and a C compiler")?;
    let text = fs::read_to_string(&native).with_context(|| {
        format!(
            "rustc left no {}: run `cargo clean --package duoguard-ffi --profile {profile}` and \
             try again",
            native.display()
        )
    })?;
    Ok(Built {
        folder,
        native: without_repeats(&text),
    })
}

fn layout(system: &str, abi: &str) -> Result<Layout> {
    Ok(match system {
        "linux" => Layout {
            shared: ("libduoguard.so", format!("lib/libduoguard.so.{abi}")),
            fixed: ("libduoguard.a", "lib/libduoguard.a"),
            import: None,
            link: Some(("lib/libduoguard.so", format!("libduoguard.so.{abi}"))),
        },
        "macos" => Layout {
            shared: ("libduoguard.dylib", format!("lib/libduoguard.{abi}.dylib")),
            fixed: ("libduoguard.a", "lib/libduoguard.a"),
            import: None,
            link: Some(("lib/libduoguard.dylib", format!("libduoguard.{abi}.dylib"))),
        },
        "windows" => Layout {
            shared: ("duoguard.dll", "bin/duoguard.dll".to_owned()),
            fixed: ("duoguard.lib", "lib/duoguard_static.lib"),
            import: Some(("duoguard.dll.lib", "lib/duoguard.lib")),
            link: None,
        },
        other => {
            bail!("no layout is known for {other}: add it to layout() in xtask/src/library.rs")
        }
    })
}

/// Takes debug information and local symbols off. On Windows they are files of their own.
fn strip(sh: &Shell, target: Option<&str>, shared: &Path, fixed: &Path) -> Result<()> {
    let [of_shared, of_fixed] = match OS {
        "windows" => return Ok(()),
        "macos" => ["-x", "-S"],
        _ => ["--strip-unneeded", "--strip-debug"],
    };
    const NEEDS: &str = "the library was not stripped; this needs strip, of binutils";
    // Debian's names of cross tools: aarch64-linux-gnu-strip for aarch64-unknown-linux-gnu.
    let program = target.map_or("strip".to_owned(), |target| {
        target.replace("-unknown-", "-") + "-strip"
    });
    cmd!(sh, "{program} {of_shared} {shared}")
        .run()
        .context(NEEDS)?;
    cmd!(sh, "{program} {of_fixed} {fixed}")
        .run()
        .context(NEEDS)
}

/// The linker's arguments, each once: the last place of each is the one that counts.
fn without_repeats(arguments: &str) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for argument in arguments.split_whitespace().rev() {
        if !kept.iter().any(|known| known == argument) {
            kept.push(argument.to_owned());
        }
    }
    kept.reverse();
    kept
}

fn abi_version() -> Result<&'static str> {
    let value = HEADER
        .lines()
        .find_map(|line| line.strip_prefix("#define DUOGUARD_ABI_VERSION "));
    value
        .map(str::trim)
        .context("include/duoguard.h does not define DUOGUARD_ABI_VERSION")
}

fn write(path: &Path, text: &str) -> Result<()> {
    make_parent(path)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    // A program that runs may have the old file mapped: it must not change in place.
    let _ = fs::remove_file(to);
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))
}

#[cfg(unix)]
fn symlink(target: &str, link: &Path) -> Result<()> {
    let _ = fs::remove_file(link);
    std::os::unix::fs::symlink(target, link)
        .with_context(|| format!("cannot make the link {}", link.display()))
}

#[cfg(not(unix))]
fn symlink(target: &str, link: &Path) -> Result<()> {
    bail!(
        "cannot make the link {} to {target}: this system is not Unix",
        link.display()
    )
}
