//! Builds the trainer with CUDA: `cargo xtask cuda`.
//!
//! The framework's CUDA compiler links LLVM, an archive of which its build script downloads. Where
//! it cannot, Debian's `llvm-22-dev` takes its place: installed, or (without touching the system)
//! fetched from Debian 13 and unpacked below `target/llvm`. A GPU or NVIDIA's toolkit are not
//! needed to build; the driver's library is opened when the program runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{finish, printed};

/// Debian's LLVM, and the release that has it.
const LLVM: &str = "llvm-22";
const PACKAGE: &str = "llvm-22-dev";
const RELEASE: &str = "trixie";
/// What the driver must offer at least, where nothing else is said.
const CUDA_VERSION: &str = "13000";
/// Archives that hold programs or need further libraries, and that nothing here calls.
const LEFT_OUT: [&str; 15] = [
    "BOLT",
    "Exegesis",
    "Debuginfod",
    "LineEditor",
    "Extensions",
    "CFIVerify",
    "LLVMDiff",
    "FileCheck",
    "OptDriver",
    "Fuzz",
    "TableGen",
    "SupportLSP",
    "DlltoolDriver",
    "LibDriver",
    "XRay",
];
/// Shared libraries that LLVM calls, by the names that a linker looks for; without a development
/// package only the numbered one is there.
const SHARED: [(&str, &str); 2] = [("libz.so", "libz.so.1"), ("libzstd.so", "libzstd.so.1")];
/// What a C library before 2.38 (Debian 12's) lacks of what Debian 13's LLVM calls.
const ISO_C23: &str = r"#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
long __isoc23_strtol(const char *s, char **end, int base) { return strtol(s, end, base); }
long long __isoc23_strtoll(const char *s, char **end, int base) { return strtoll(s, end, base); }
unsigned long __isoc23_strtoul(const char *s, char **end, int base) { return strtoul(s, end, base); }
unsigned long long __isoc23_strtoull(const char *s, char **end, int base) { return strtoull(s, end, base); }
int __isoc23_sscanf(const char *s, const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    int count = vsscanf(s, format, rest);
    va_end(rest);
    return count;
}
";

/// Builds the program and the examples that check and measure a GPU, into `target/cuda`.
pub fn build(root: &Path) -> Result<(), String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args([
        "build",
        "--release",
        "-p",
        "duoguard-trainer",
        "--features",
        "cuda",
        "--bins",
        "--example",
        "device_check",
        "--example",
        "throughput",
    ]);
    command.env("CARGO_TARGET_DIR", root.join("target/cuda"));
    if std::env::var_os("CUDARC_CUDA_VERSION").is_none() {
        command.env("CUDARC_CUDA_VERSION", CUDA_VERSION);
    }
    let name = format!(
        "tracel/tracel-llvm-{}",
        locked(root, "tracel-llvm-bundler")?
    );
    if !data_home().is_some_and(|home| home.join(&name).join(SENTINEL).exists()) {
        let home = root.join("target/llvm/share");
        // Written once: were it written anew, everything above LLVM would be compiled again.
        if !home.join(&name).join(SENTINEL).exists() {
            prepare(&root.join("target/llvm"), &home.join(&name))?;
        }
        command.env("XDG_DATA_HOME", home);
    }
    finish(command, "cargo build --features cuda")?;
    for made in [
        "duoguard-train",
        "examples/device_check",
        "examples/throughput",
    ] {
        println!("{}", root.join("target/cuda/release").join(made).display());
    }
    Ok(())
}

/// The file by which the build script knows that its LLVM is there.
const SENTINEL: &str = ".tracel-llvm-installed";

/// The version of a crate in `Cargo.lock`.
fn locked(root: &Path, name: &str) -> Result<String, String> {
    let path = root.join("Cargo.lock");
    let text =
        fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let mut lines = text
        .lines()
        .skip_while(|line| *line != format!("name = \"{name}\""));
    lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = \""))
        .map(|version| version.trim_end_matches('"').to_owned())
        .ok_or_else(|| format!("{} does not name {name}", path.display()))
}

/// Where programs of this user keep their data.
fn data_home() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    named.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".local/share")))
}

/// Makes a folder that looks like the archive of the build script, from Debian's LLVM.
fn prepare(work: &Path, prefix: &Path) -> Result<(), String> {
    let installed = Path::new("/usr/lib").join(LLVM);
    let is_installed = installed.join("lib/libLLVMCore.a").exists();
    let llvm = match is_installed {
        true => installed,
        false => fetched(work)?,
    };
    let libraries = prefix.join("lib");
    // What an attempt that was cut short has left.
    let _ = fs::remove_dir_all(prefix);
    let failed = |e: std::io::Error| format!("cannot prepare {}: {e}", prefix.display());
    fs::create_dir_all(prefix.join("bin")).map_err(failed)?;
    fs::create_dir_all(&libraries).map_err(failed)?;
    symlink(llvm.join("include"), prefix.join("include")).map_err(failed)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(llvm.join("lib")).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let Some(library) = name
            .strip_prefix("lib")
            .and_then(|name| name.strip_suffix(".a"))
        else {
            continue;
        };
        if library.starts_with("LLVM") && !LEFT_OUT.iter().any(|part| library.contains(part)) {
            symlink(&path, libraries.join(&name)).map_err(failed)?;
            names.push(format!("-l{library}"));
        }
    }
    names.sort();
    for (name, numbered) in SHARED {
        if let Some(found) = shared(numbered) {
            symlink(found, libraries.join(name)).map_err(failed)?;
        }
    }
    if !is_installed {
        names.push(iso_c23(work, &libraries)?);
    }
    let script = llvm_config(prefix, &names.join(" "));
    let program = prefix.join("bin/llvm-config");
    fs::write(&program, script).map_err(failed)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    fs::write(prefix.join(SENTINEL), "").map_err(failed)
}

/// Answers what build scripts ask. The real one lists Polly, which Debian packages apart, and does
/// not run on an older Debian.
fn llvm_config(prefix: &Path, libraries: &str) -> String {
    let prefix = prefix.display();
    format!(
        "#!/bin/sh
for asked in \"$@\"; do
    case \"$asked\" in
        --libs | --libnames) echo '{libraries}' ;;
        --system-libs) echo '-lrt -ldl -lm -lz -lzstd' ;;
        --libdir) echo '{prefix}/lib' ;;
        --includedir) echo '{prefix}/include' ;;
        --cflags) echo '-I{prefix}/include -D_GNU_SOURCE' ;;
        --cxxflags) echo '-I{prefix}/include -std=c++17 -fno-exceptions -funwind-tables -D_GNU_SOURCE' ;;
        --version) echo '{}' ;;
    esac
done
",
        LLVM.trim_start_matches("llvm-")
    )
}

/// A shared library of the system.
fn shared(name: &str) -> Option<PathBuf> {
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    [
        format!("/usr/lib/{machine}"),
        format!("/lib/{machine}"),
        "/usr/lib64".into(),
        "/usr/lib".into(),
    ]
    .iter()
    .map(|folder| Path::new(folder).join(name))
    .find(|path| path.exists())
}

fn iso_c23(work: &Path, libraries: &Path) -> Result<String, String> {
    let (source, object) = (work.join("isoc23.c"), work.join("isoc23.o"));
    fs::write(&source, ISO_C23).map_err(|e| format!("cannot write {}: {e}", source.display()))?;
    let mut compile = Command::new("cc");
    // gnu11: with a newer standard the headers would make these functions call themselves.
    compile
        .args(["-O2", "-std=gnu11", "-c"])
        .arg(&source)
        .arg("-o")
        .arg(&object);
    finish(compile, "cc (Debian: apt install gcc)")?;
    let mut archive = Command::new("ar");
    archive
        .arg("rcs")
        .arg(libraries.join("libisoc23.a"))
        .arg(&object);
    finish(archive, "ar (Debian: apt install binutils)")?;
    Ok("-lisoc23".to_owned())
}

/// Debian's package, unpacked below `work`: apt with lists of its own, so that nothing of the
/// system changes.
fn fetched(work: &Path) -> Result<PathBuf, String> {
    let llvm = work.join("root/usr/lib").join(LLVM);
    if llvm.join("lib/libLLVMCore.a").exists() {
        return Ok(llvm);
    }
    let missing = |reason: String| {
        format!(
            "the CUDA compiler needs LLVM at build time, and it could not be had: {reason}\n\
             Any of these helps: on Debian 13, `apt install {PACKAGE}`; elsewhere, a first `cargo build -p duoguard-trainer --features cuda` on a \
             machine that can reach the releases of tracel-llvm, whose build script fetches its own."
        )
    };
    let mirror =
        mirror().ok_or_else(|| missing("no Debian mirror is configured for apt".to_owned()))?;
    let apt = work.join("apt");
    let at = |part: &str| apt.join(part);
    let written = ["lists/partial", "cache/archives/partial"]
        .iter()
        .try_for_each(|folder| fs::create_dir_all(at(folder)))
        .and_then(|()| fs::write(at("status"), ""))
        .and_then(|()| {
            let line = format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {RELEASE} main\n");
            fs::write(at("sources.list"), line)
        });
    written.map_err(|e| missing(format!("cannot write {}: {e}", apt.display())))?;
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        for (option, part) in [
            ("Dir::State", ""),
            ("Dir::State::lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
            ("Dir::Etc::sourcelist", "sources.list"),
        ] {
            command
                .arg("-o")
                .arg(format!("{option}={}", at(part).display()));
        }
        command
            .args(["-o", "Dir::Etc::sourceparts=-"])
            .args(arguments)
            .current_dir(&apt);
        finish(command, &format!("apt-get {}", arguments.join(" ")))
    };
    apt_get(&["update", "-q"]).map_err(missing)?;
    apt_get(&["download", "-q", PACKAGE]).map_err(missing)?;
    let entries = fs::read_dir(&apt).map_err(|e| missing(e.to_string()))?;
    let package = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| missing(format!("{PACKAGE} is not in {RELEASE}")))?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(&package).arg(work.join("root"));
    finish(unpack, "dpkg-deb -x").map_err(missing)?;
    Ok(llvm)
}

/// The mirror that this system's own packages come from.
fn mirror() -> Option<String> {
    let mut policy = Command::new("apt-cache");
    policy.arg("policy");
    let text = printed(policy, "apt-cache policy").ok()?;
    text.split_whitespace()
        .find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
}
