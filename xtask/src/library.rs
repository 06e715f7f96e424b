//! Builds the C library, and lays it out for those who link it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The header, whose ABI version is part of the library's name.
const HEADER: &str = "include/duoguard.h";
const PC: &str = include_str!("../../ffi/package/duoguard.pc.in");
const CMAKE: &str = include_str!("../../ffi/package/duoguardConfig.cmake.in");
const CMAKE_VERSION: &str = include_str!("../../ffi/package/duoguardConfigVersion.cmake.in");

/// How the library is built.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// The cargo profile: `release` builds quickly, `ship` builds small.
    pub profile: &'static str,
    /// Whether the engine that loads ONNX Runtime is in it.
    pub onnxruntime: bool,
    /// The machine it is for; `None` is this one.
    pub target: Option<Target>,
}

/// Another machine to build for.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, as rustc has it.
    pub name: &'static str,
    /// A compiler that has its standard library.
    pub rustc: &'static str,
    pub linker: &'static str,
}

/// A library that was built.
#[derive(Debug)]
pub struct Built {
    /// Where cargo leaves libraries.
    pub folder: PathBuf,
    /// The linker arguments that the static library needs, such as `-lm`.
    pub native: Vec<String>,
}

/// Where an operating system wants what: (cargo's name, the installed path), the shared library
/// first, then the static one, then the import library, if there is one. The links are (link, what
/// it points to).
struct Layout {
    shared: (&'static str, String),
    fixed: (&'static str, &'static str),
    import: Option<(&'static str, &'static str)>,
    link: Option<(&'static str, String)>,
}

/// Builds the shared and the static library.
pub fn build(root: &Path, recipe: Recipe) -> Result<Built, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args([
            "rustc",
            "--package",
            "duoguard-ffi",
            "--lib",
            "--profile",
            recipe.profile,
        ])
        .stderr(Stdio::piped());
    if !recipe.onnxruntime {
        cargo.arg("--no-default-features");
    }
    let mut folder = target_folder(root);
    if let Some(target) = recipe.target {
        folder.push("cross");
        let linker = target.name.replace('-', "_").to_uppercase();
        cargo
            .env("RUSTC", target.rustc)
            .env(format!("CARGO_TARGET_{linker}_LINKER"), target.linker)
            .args(["--target", target.name, "--target-dir"])
            .arg(&folder);
        folder.push(target.name);
    }
    cargo.args(["--", "--print", "native-static-libs"]);
    let mut running = cargo
        .spawn()
        .map_err(|e| format!("cannot run cargo: {e}"))?;
    let mut native = None;
    let messages = running.stderr.take().ok_or("cargo has no stderr")?;
    for line in BufReader::new(messages).lines() {
        let line = line.map_err(|e| format!("cannot read what cargo says: {e}"))?;
        match line.split_once("native-static-libs:") {
            Some((_, libraries)) => native = Some(libraries.to_owned()),
            None if line.contains("link against the following native artifacts") => {}
            None => eprintln!("{line}"),
        }
    }
    let status = running
        .wait()
        .map_err(|e| format!("cannot wait for cargo: {e}"))?;
    if !status.success() {
        return Err(format!("cargo rustc -p duoguard-ffi failed ({status})"));
    }
    let native =
        native.ok_or("cargo did not say what the static library needs (native-static-libs)")?;
    Ok(Built {
        folder: folder.join(recipe.profile),
        native: without_repeats(&native),
    })
}

/// Installs the library, the header, and what pkg-config and CMake look for into `prefix`.
pub fn install(root: &Path, prefix: &Path, built: &Built) -> Result<(), String> {
    let header = read(&root.join(HEADER))?;
    let abi = defined(&header, "DUOGUARD_ABI_VERSION")?;
    let layout = layout(std::env::consts::OS, &abi)?;
    let version = env!("CARGO_PKG_VERSION");

    copy(&root.join(HEADER), &prefix.join("include/duoguard.h"))?;
    let shared = prefix.join(&layout.shared.1);
    copy(&built.folder.join(layout.shared.0), &shared)?;
    copy(
        &built.folder.join(layout.fixed.0),
        &prefix.join(layout.fixed.1),
    )?;
    if let Some((from, to)) = layout.import {
        copy(&built.folder.join(from), &prefix.join(to))?;
    }
    if let Some((link, target)) = &layout.link {
        symlink(target, &prefix.join(link))?;
    }
    strip(&shared, &prefix.join(layout.fixed.1))?;

    let mut numbers = version.split('.');
    let mut number = || numbers.next().unwrap_or("0");
    let filled = |template: &str, major: &str, minor: &str| {
        template
            .replace("@VERSION@", version)
            .replace("@MAJOR@", major)
            .replace("@MINOR@", minor)
            .replace("@NATIVE_LIBRARIES@", &built.native.join(" "))
            .replace("@NATIVE_LIBRARIES_CMAKE@", &built.native.join(";"))
            .replace("@SHARED@", &layout.shared.1)
            .replace("@STATIC@", layout.fixed.1)
            .replace("@IMPORT_LIBRARY@", layout.import.map_or("", |(_, to)| to))
    };
    let (major, minor) = (number(), number());
    for (path, template) in [
        ("lib/pkgconfig/duoguard.pc", PC),
        ("lib/cmake/duoguard/duoguardConfig.cmake", CMAKE),
        (
            "lib/cmake/duoguard/duoguardConfigVersion.cmake",
            CMAKE_VERSION,
        ),
    ] {
        write(&prefix.join(path), &filled(template, major, minor))?;
    }
    eprintln!("installed duoguard {version} into {}", prefix.display());
    Ok(())
}

/// `cargo xtask install --prefix DIR`.
pub fn install_shipped(root: &Path, prefix: &Path) -> Result<(), String> {
    let recipe = Recipe {
        profile: "ship",
        onnxruntime: true,
        target: None,
    };
    install(root, prefix, &build(root, recipe)?)
}

/// `cargo xtask size`: what the stripped shared library weighs, with each feature.
pub fn size(root: &Path) -> Result<(), String> {
    println!("| features | stripped shared library |\n|---|---|");
    for (features, onnxruntime) in [("rten alone", false), ("rten, onnxruntime (default)", true)] {
        let built = build(
            root,
            Recipe {
                profile: "ship",
                onnxruntime,
                target: None,
            },
        )?;
        let prefix = root
            .join("target/size")
            .join(if onnxruntime { "default" } else { "rten" });
        install(root, &prefix, &built)?;
        let abi = defined(&read(&root.join(HEADER))?, "DUOGUARD_ABI_VERSION")?;
        let library = prefix.join(layout(std::env::consts::OS, &abi)?.shared.1);
        let bytes = fs::metadata(&library)
            .map_err(|e| format!("{}: {e}", library.display()))?
            .len();
        println!("| {features} | {:.2} MB |", bytes as f64 / 1e6);
    }
    Ok(())
}

fn layout(system: &str, abi: &str) -> Result<Layout, String> {
    match system {
        "linux" => Ok(Layout {
            shared: ("libduoguard.so", format!("lib/libduoguard.so.{abi}")),
            fixed: ("libduoguard.a", "lib/libduoguard.a"),
            import: None,
            link: Some(("lib/libduoguard.so", format!("libduoguard.so.{abi}"))),
        }),
        "macos" => Ok(Layout {
            shared: ("libduoguard.dylib", format!("lib/libduoguard.{abi}.dylib")),
            fixed: ("libduoguard.a", "lib/libduoguard.a"),
            import: None,
            link: Some(("lib/libduoguard.dylib", format!("libduoguard.{abi}.dylib"))),
        }),
        "windows" => Ok(Layout {
            shared: ("duoguard.dll", "bin/duoguard.dll".to_owned()),
            fixed: ("duoguard.lib", "lib/duoguard_static.lib"),
            import: Some(("duoguard.dll.lib", "lib/duoguard.lib")),
            link: None,
        }),
        other => Err(format!(
            "no layout is known for {other}: add it to layout() in xtask/src/library.rs"
        )),
    }
}

/// Takes debug information and local symbols off. On Windows they are files of their own.
fn strip(shared: &Path, fixed: &Path) -> Result<(), String> {
    if cfg!(windows) {
        return Ok(());
    }
    let arguments: &[(&str, &Path)] = match cfg!(target_os = "macos") {
        true => &[("-x", shared), ("-S", fixed)],
        false => &[("--strip-unneeded", shared), ("--strip-debug", fixed)],
    };
    for (argument, file) in arguments {
        let mut strip = Command::new("strip");
        strip.arg(argument).arg(file);
        crate::process::finish(strip, "strip, of binutils,")?;
    }
    Ok(())
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

/// Where cargo builds.
pub fn target_folder(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// The value of a `#define`.
pub fn defined(header: &str, name: &str) -> Result<String, String> {
    let line = format!("#define {name} ");
    let value = header.lines().find_map(|l| l.strip_prefix(&line));
    value
        .map(|value| value.trim().to_owned())
        .ok_or_else(|| format!("{HEADER} does not define {name}"))
}

pub fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

pub fn write(path: &Path, text: &str) -> Result<(), String> {
    make_parent(path)?;
    fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    make_parent(to)?;
    // A program that runs may have the old file mapped: it must not change in place.
    let _ = fs::remove_file(to);
    fs::copy(from, to)
        .map_err(|e| format!("cannot copy {} to {}: {e}", from.display(), to.display()))?;
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &str, link: &Path) -> Result<(), String> {
    let _ = fs::remove_file(link);
    std::os::unix::fs::symlink(target, link)
        .map_err(|e| format!("cannot make the link {}: {e}", link.display()))
}

#[cfg(not(unix))]
fn symlink(target: &str, link: &Path) -> Result<(), String> {
    Err(format!(
        "cannot make the link {} to {target}: this system is not Unix",
        link.display()
    ))
}

fn make_parent(path: &Path) -> Result<(), String> {
    let parent = path
        .parent()
        .ok_or_else(|| format!("{} has no folder", path.display()))?;
    fs::create_dir_all(parent).map_err(|e| format!("cannot create {}: {e}", parent.display()))
}
