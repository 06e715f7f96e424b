//! Tests the C library from C: what `cargo xtask ctest` runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::examples;
use crate::library::{self, Recipe};
use crate::onnxruntime;
use crate::packages;
use crate::process::{finish, printed, words};

const NEEDED: &[packages::Needed] = &[
    ("gcc", "gcc"),
    ("g++", "g++"),
    // With the libraries of its sanitizers.
    ("clang", "clang libclang-rt-dev"),
    ("nm", "binutils"),
    ("valgrind", "valgrind"),
    ("pkg-config", "pkg-config"),
    ("cmake", "cmake"),
    ("python3", "python3"),
];
const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];
const SANITIZED: [&str; 4] = [
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-g",
];
/// What shows that a program was built with [`SANITIZED`].
const SANITIZERS: [&str; 2] = ["__asan_init", "__ubsan_handle"];
const THREAD_CHECKS: &str = "1000";
/// In every run, and where time does not matter.
const MEMORY_CHECKS: [&str; 2] = ["10000", "100000"];
pub const BUNDLE: &str = "models/mini";

/// Where the tests work, and the library that they test.
pub struct Bench {
    pub root: PathBuf,
    /// The installed library.
    pub prefix: PathBuf,
    /// Where programs and their files go.
    pub work: PathBuf,
    /// The linker's arguments for the static library.
    pub native: Vec<String>,
}

/// How a program gets the library.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Shared,
    Static,
}

/// The files of the C test suite, in `ffi/tests/c`.
pub const SUITE: [&str; 4] = ["suite", "model", "session", "stream"];

/// Runs all tests; `full` lets the loop that watches memory go on for ten times as long.
pub fn run(root: &Path, full: bool) -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err(
            "the C tests use nm, valgrind and /proc as Linux has them: run them there".to_owned(),
        );
    }
    packages::ensure(NEEDED)?;
    onnxruntime::fetch(root)?;
    let recipe = Recipe {
        profile: "release",
        onnxruntime: true,
        target: None,
    };
    let built = library::build(root, recipe)?;
    let rust_scores = rust_scores(root)?;
    let work = root.join("target/ctest");
    let prefix = work.join("prefix");
    library::install(root, &prefix, &built)?;
    let bench = Bench {
        root: root.to_owned(),
        prefix,
        work,
        native: built.native.clone(),
    };
    header_compiles_alone(&bench)?;
    exported_symbols(&bench)?;
    panics_must_unwind(&bench)?;
    suite(&bench)?;
    same_scores(&bench, &rust_scores)?;
    threads_and_memory(&bench, MEMORY_CHECKS[usize::from(full)])?;
    examples::run(&bench)
}

/// The program that prints verdicts through the Rust API.
pub fn rust_scores(root: &Path) -> Result<PathBuf, String> {
    let package = ["--package", "duoguard-ffi", "--example", "scores"];
    crate::cargo(
        root,
        &[&["build", "--release"], &package[..]].concat(),
        "cargo",
    )?;
    Ok(library::target_folder(root).join("release/examples/scores"))
}

impl Bench {
    /// Compiles a program with all warnings, which are errors.
    pub fn compile(
        &self,
        compiler: &str,
        flags: &[&str],
        sources: &[&str],
        link: Link,
        name: &str,
    ) -> Result<PathBuf, String> {
        let program = self.work.join(name);
        let mut command = Command::new(compiler);
        command.current_dir(&self.root).args(STRICT).args(flags);
        command
            .arg("-I")
            .arg(self.prefix.join("include"))
            .args(sources)
            .arg("-o")
            .arg(&program);
        let folder = self.prefix.join("lib");
        match link {
            Link::Shared => {
                command.arg("-L").arg(&folder).arg("-lduoguard");
                command.arg(format!("-Wl,-rpath,{}", folder.display()));
            }
            Link::Static => {
                command.arg(folder.join("libduoguard.a")).args(&self.native);
            }
        }
        command.arg("-pthread");
        finish(command, &format!("{compiler} {}", sources.join(" ")))?;
        Ok(program)
    }

    /// A program to run in the workspace, on the bundled model.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).arg(BUNDLE);
        command.env("ORT_DYLIB_PATH", onnxruntime::library(&self.root));
        command
    }

    fn programs(&self, source: &str) -> String {
        format!("ffi/tests/c/{source}.c")
    }
}

/// The header needs no other before it, can be included twice, and is C99, C11, C++11 and C++20.
fn header_compiles_alone(bench: &Bench) -> Result<(), String> {
    let languages = [
        ("c", "c99", ["gcc", "clang"]),
        ("c", "c11", ["gcc", "clang"]),
        ("c++", "c++11", ["g++", "clang++"]),
        ("c++", "c++20", ["g++", "clang++"]),
    ];
    let source = bench.work.join("twice.h");
    library::write(&source, "#include <duoguard.h>\n#include <duoguard.h>\n")?;
    let include = bench.prefix.join("include");
    for (language, standard, compilers) in languages {
        for compiler in compilers {
            let mut command = Command::new(compiler);
            command.args(STRICT).args([
                "-x",
                language,
                &format!("-std={standard}"),
                "-fsyntax-only",
                "-I",
            ]);
            command.arg(&include).arg(&source);
            finish(
                command,
                &format!("the header as {standard} with {compiler}"),
            )?;
        }
    }
    eprintln!("header: compiles as C99, C11, C++11 and C++20 with gcc and clang, alone and twice");
    Ok(())
}

/// The library exports the functions that the header declares and nothing else, under the name of
/// its ABI version.
fn exported_symbols(bench: &Bench) -> Result<(), String> {
    let header = library::read(&bench.root.join("include/duoguard.h"))?;
    let mut declared: Vec<&str> = header
        .lines()
        .filter_map(|line| line.strip_prefix("DUOGUARD_API "))
        .filter_map(|line| line.split('(').next())
        .filter_map(|before| before.rfind("duoguard_").map(|start| &before[start..]))
        .collect();
    declared.sort_unstable();
    let library = bench.prefix.join("lib/libduoguard.so");
    let library = library.to_string_lossy();
    let nm = printed(
        words(&bench.root, ["nm", "-D", "--defined-only", &library]),
        "nm",
    )?;
    let mut exported: Vec<&str> = nm
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    exported.sort_unstable();
    if declared != exported {
        return Err(format!(
            "the library exports {exported:?}\nbut the header declares {declared:?}"
        ));
    }
    let abi = library::defined(&header, "DUOGUARD_ABI_VERSION")?;
    let name = format!("libduoguard.so.{abi}");
    let dynamic = printed(words(&bench.root, ["objdump", "-p", &library]), "objdump")?;
    let soname = dynamic
        .lines()
        .find_map(|line| line.trim().strip_prefix("SONAME"));
    if soname.map(str::trim) != Some(&name) {
        return Err(format!(
            "the library's soname is {soname:?}, expected {name}"
        ));
    }
    eprintln!(
        "symbols: {} exported, as the header declares; soname {name}",
        exported.len()
    );
    Ok(())
}

/// The file that catches panics does not compile where panics abort, so no such library can be
/// built.
fn panics_must_unwind(bench: &Bench) -> Result<(), String> {
    let compile = |strategy: &str| {
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.current_dir(&bench.root).args([
            "--edition=2024",
            "--crate-type=lib",
            "--emit=metadata",
            "-Awarnings",
        ]);
        rustc
            .args(["-C", &format!("panic={strategy}"), "--out-dir"])
            .arg(&bench.work)
            .arg("ffi/src/unwind.rs");
        rustc.output().map_err(|e| format!("cannot run rustc: {e}"))
    };
    let (unwind, abort) = (compile("unwind")?, compile("abort")?);
    let why = String::from_utf8_lossy(&abort.stderr);
    if !unwind.status.success()
        || abort.status.success()
        || !why.contains("build it with panic = \"unwind\"")
    {
        return Err(format!(
            "ffi/src/unwind.rs must compile with panic=unwind and not with panic=abort; rustc said\n{why}"
        ));
    }
    eprintln!("panics: the library refuses to be compiled with panic=abort");
    Ok(())
}

/// The suite with two compilers, shared and static, under sanitizers and valgrind.
fn suite(bench: &Bench) -> Result<(), String> {
    let sources = SUITE.map(|name| bench.programs(name));
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let files = bench.work.join("files");
    fs::create_dir_all(&files).map_err(|e| format!("cannot create {}: {e}", files.display()))?;
    let run = |program: &Path, before: &[&str]| {
        let mut command = match before.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        // Its engine is tried elsewhere; valgrind finds much in it that is not ours.
        command.env("ORT_DYLIB_PATH", bench.work.join("no-onnxruntime.so"));
        command.current_dir(&bench.root).arg(BUNDLE).arg(&files);
        finish(
            command,
            &format!("{} {}", before.join(" "), program.display()),
        )
    };
    for compiler in ["gcc", "clang"] {
        let name = format!("suite-{compiler}");
        let plain = bench.compile(
            compiler,
            &["-std=c99", "-O2", "-g"],
            &sources,
            Link::Shared,
            &name,
        )?;
        run(&plain, &[])?;
        let flags = [&["-std=c99"][..], &SANITIZED].concat();
        let sanitized = bench.compile(
            compiler,
            &flags,
            &sources,
            Link::Shared,
            &format!("{name}-sanitized"),
        )?;
        sanitizers_are_in(bench, &sanitized)?;
        run(&sanitized, &[])?;
        eprintln!(
            "suite: passes with {compiler}, plain and with AddressSanitizer and UBSan (seen in it by nm)"
        );
    }
    let fixed = bench.compile(
        "gcc",
        &["-std=c99", "-O2"],
        &sources,
        Link::Static,
        "suite-static",
    )?;
    run(&fixed, &[])?;
    eprintln!("suite: passes with the static library");
    // The static library, because valgrind misreads what the loader does with paths. "Possibly
    // lost" is what hash tables and threads that live as long as the process look like from
    // outside.
    let valgrind = [
        "valgrind",
        "--quiet",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect",
    ];
    let valgrind = [
        &valgrind[..],
        &[
            "--errors-for-leak-kinds=definite,indirect",
            "--error-exitcode=9",
        ],
    ]
    .concat();
    run(&fixed, &valgrind)?;
    eprintln!("suite: passes under valgrind: no leak, no error");
    Ok(())
}

pub fn sanitizers_are_in(bench: &Bench, program: &Path) -> Result<(), String> {
    let symbols = printed(words(&bench.root, ["nm", &program.to_string_lossy()]), "nm")?;
    match SANITIZERS.iter().find(|name| !symbols.contains(*name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "{} has no {name}: the sanitizers are not in it",
            program.display()
        )),
    }
}

/// Scores and verdicts through C are those of the Rust API, to the last bit, with every engine.
fn same_scores(bench: &Bench, rust: &Path) -> Result<(), String> {
    let c = bench.compile(
        "gcc",
        &["-std=c99", "-O2"],
        &[&bench.programs("scores")],
        Link::Shared,
        "scores",
    )?;
    let texts = bench.root.join("tests/data/texts.tsv");
    for engine in ["rten", "onnxruntime"] {
        let print = |program: &Path| {
            let mut command = bench.command(program);
            let file =
                File::open(&texts).map_err(|e| format!("cannot read {}: {e}", texts.display()))?;
            command.arg(engine).stdin(file);
            printed(command, &program.display().to_string())
        };
        let (c, rust) = (print(&c)?, print(rust)?);
        if let Some((c, rust)) = c.lines().zip(rust.lines()).find(|(c, rust)| c != rust) {
            return Err(format!("engine {engine}: C says\n{c}\nbut Rust\n{rust}"));
        }
        let (lines, expected) = (c.lines().count(), rust.lines().count());
        if lines != expected || lines < 10 {
            return Err(format!(
                "engine {engine}: C gave {lines} verdicts, Rust {expected}"
            ));
        }
        eprintln!("scores: {lines} verdicts with {engine} are bit for bit those of the Rust API");
    }
    Ok(())
}

fn threads_and_memory(bench: &Bench, memory_checks: &str) -> Result<(), String> {
    for (name, checks) in [("threads", THREAD_CHECKS), ("memory", memory_checks)] {
        let program = bench.compile(
            "gcc",
            &["-std=c99", "-O2"],
            &[&bench.programs(name)],
            Link::Shared,
            name,
        )?;
        let mut command = bench.command(&program);
        command.arg(checks);
        finish(command, name)?;
    }
    Ok(())
}
