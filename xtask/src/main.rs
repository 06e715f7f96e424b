//! What people and CI run alike: `cargo xtask test`, and its parts. What drives Python or other
//! programs is a script in `scripts/`.

mod deny;
mod fuzz;
mod library;
mod libtorch;
mod onnxruntime;
mod record;
mod tables;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser};
use xshell::{Shell, cmd};

/// Set-up and checks that people and CI run alike; see scripts/ for what compares and measures.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Task {
    /// Run everything that CI runs: ort, torch, lint, deny, tests, ctest and bindings, with what
    /// they need of Debian, scripts/clients.sh and scripts/metrics.sh
    Test,
    /// Fetch the pinned ONNX Runtime into target/onnxruntime
    Ort,
    /// Fetch the pinned libtorch, which the trainer is built with, into target/libtorch
    Torch {
        /// With the libraries for GPUs, into target/libtorch-cuda; name it in LIBTORCH then
        #[arg(long)]
        cuda: bool,
    },
    /// Check the formatting, lint all targets and build the documentation; warnings are errors
    Lint,
    /// Check what the dependencies may be (deny.toml): licences, duplicate versions, sources
    Deny {
        /// Known faults and yanked versions, too; needs GitHub
        #[arg(long)]
        advisories: bool,
    },
    /// Run all Rust tests
    Tests,
    /// Test the C library from C, with the examples: scripts/ctest.py
    Ctest {
        /// Let the loop that watches memory go on for 100,000 checks
        #[arg(long)]
        full: bool,
    },
    /// Test the bindings to Python, Go, Java and JavaScript: scripts/bindings.sh
    Bindings,
    /// Fuzz the targets of fuzz/, and keep each corpus small; in target/fuzz
    Fuzz {
        /// One target; without it, all, one after the other
        target: Option<String>,
        /// How long each runs
        #[arg(long, default_value_t = 5.0)]
        minutes: f64,
    },
    /// Check texts of all kinds on four threads: memory must stay where it is, and verdicts what
    /// they were; tests/examples/soak.rs
    Soak {
        /// Which of the bundled models: mini or base
        #[arg(default_value = "mini")]
        model: String,
        /// How long
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
    },
    /// Train in several processes, with what that needs of Debian: the trainer's tests of its
    /// feature `distributed`, and its lints
    Distributed,
    /// Measure the trainer beside PyTorch, in turns: scripts/throughput.py
    Throughput {
        /// What to compute on: cpu, or cuda, where device_check runs first
        #[arg(long, default_value = "cpu")]
        device: String,
        /// Turns of each program
        #[arg(long, default_value_t = 7)]
        turns: usize,
        /// Threads of each program on a CPU
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// The cases whose names begin so; without it, all
        #[arg(long)]
        only: Option<String>,
    },
    /// Time checks beside those of other people's engines: scripts/peers.sh
    Peers {
        /// `openvino` or `transformers`, and then bundles; see the script
        arguments: Vec<String>,
    },
    /// Build the C library small, and install it with its header, pkg-config and CMake files
    Install(InstallOptions),
    /// Make the archive of a release, target/dist/duoguard-VERSION-TARGET.tar.gz: scripts/dist.sh
    Dist {
        /// For x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu; without it, this machine
        target: Option<String>,
    },
    /// Append the rows on stdin, CSV with a line of names, to a record of this machine
    Record {
        /// The record: benches/record/MACHINE/NAME.csv; without it, print the folder
        name: Option<String>,
    },
    /// Write the tables of the documents again, from the records
    Tables {
        /// Write nothing; fail where a document differs
        #[arg(long)]
        check: bool,
    },
}

/// How the C library is built, and where it goes.
#[derive(Args, Default)]
struct InstallOptions {
    /// The folder to install into
    #[arg(long)]
    prefix: PathBuf,
    /// The cargo profile: `ship` builds small, `release` builds quickly
    #[arg(long, default_value = "ship")]
    profile: String,
    /// Leave the engine out that loads ONNX Runtime
    #[arg(long)]
    no_default_features: bool,
    /// The machine that it is for, as rustc names it; without it, this one
    #[arg(long)]
    target: Option<String>,
}

fn main() -> ExitCode {
    match run(Task::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let root = root();
    let sh = Shell::new()?;
    sh.change_dir(&root);
    // Where the tests look for it; and no test is skipped for want of a Vulkan driver.
    sh.set_var("ORT_DYLIB_PATH", onnxruntime::library(&root));
    sh.set_var("DUOGUARD_REQUIRE_WGPU", "1");
    match task {
        Task::Test => test(&sh, &root),
        Task::Ort => say(onnxruntime::fetch(&sh, &root)?.display()),
        Task::Torch { cuda } => say(libtorch::fetch(&sh, &root, cuda)?.display()),
        Task::Lint => lint(&sh),
        Task::Deny { advisories } => deny::check(&sh, &root, advisories),
        Task::Fuzz { target, minutes } => fuzz::run(&sh, &root, target.as_deref(), minutes),
        Task::Soak { model, minutes } => {
            let (minutes, soak) = (minutes.to_string(), "target/release/examples/soak");
            // The whole workspace is named so that cargo takes what its other commands have built.
            cmd!(sh, "cargo build --release --workspace --example soak").run()?;
            Ok(cmd!(sh, "{soak} {model} --minutes {minutes}").run()?)
        }
        Task::Tests => tests(&sh),
        Task::Ctest { full } => ctest(&sh, &root, full),
        Task::Bindings => bindings(&sh, &root),
        Task::Distributed => distributed(&sh, &root),
        Task::Throughput {
            device,
            turns,
            threads,
            only,
        } => {
            torch(&sh, &root)?;
            let [turns, threads] = [turns, threads].map(|number| number.to_string());
            let only = only.map(|name| format!("--only={name}"));
            throughput(&sh, &device, &[turns, threads], only.as_deref())
        }
        Task::Peers { arguments } => Ok(cmd!(sh, "scripts/peers.sh {arguments...}").run()?),
        Task::Install(options) => library::install(&sh, options),
        Task::Dist { target } => Ok(cmd!(sh, "scripts/dist.sh {target...}").run()?),
        Task::Record { name: Some(name) } => record::append(&root, &name),
        Task::Record { name: None } => say(record::folder(&root).display()),
        Task::Tables { check } => say(format_args!("{} tables", tables::fill(&root, check)?)),
    }
}

fn say(what: impl std::fmt::Display) -> Result<()> {
    println!("{what}");
    Ok(())
}

/// A part of `test`, by name.
type Part<'a> = (&'a str, &'a dyn Fn() -> Result<()>);

/// Runs everything, and says how long each part took.
fn test(sh: &Shell, root: &Path) -> Result<()> {
    let parts: [Part<'_>; 10] = [
        ("ort", &|| onnxruntime::fetch(sh, root).map(drop)),
        ("torch", &|| torch(sh, root)),
        ("debian", &|| {
            Ok(cmd!(sh, "scripts/debian.sh vulkan browser").run()?)
        }),
        ("lint", &|| lint(sh)),
        ("deny", &|| deny::check(sh, root, false)),
        ("tests", &|| tests(sh)),
        // Fewer cases than the script makes by itself: CI's time is bounded.
        ("clients", &|| {
            Ok(cmd!(sh, "scripts/clients.sh").env("CASES", "550").run()?)
        }),
        ("metrics", &|| Ok(cmd!(sh, "scripts/metrics.sh").run()?)),
        ("ctest", &|| ctest(sh, root, false)),
        ("bindings", &|| bindings(sh, root)),
    ];
    for (name, part) in parts {
        eprintln!("== {name}");
        let started = Instant::now();
        part().with_context(|| format!("the part {name} failed"))?;
        eprintln!("== {name}: {:.0} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Fetches libtorch, unless the environment names another than `.cargo/config.toml` does.
fn torch(sh: &Shell, root: &Path) -> Result<()> {
    let ours = libtorch::folder(root, false);
    let named = sh.var_os("LIBTORCH").map(|folder| root.join(folder));
    if named.is_some_and(|folder| folder != ours) || sh.var_os("LIBTORCH_USE_PYTORCH").is_some() {
        eprintln!("libtorch is the one that LIBTORCH or LIBTORCH_USE_PYTORCH names");
        return Ok(());
    }
    libtorch::fetch(sh, root, false).map(drop)
}

fn lint(sh: &Shell) -> Result<()> {
    cmd!(sh, "cargo fmt --all --check").run().context(
        "run `cargo fmt --all`; where cargo has no fmt, install the rustup component rustfmt",
    )?;
    let all = ["--release", "--workspace", "--all-targets"];
    cmd!(sh, "cargo clippy {all...} -- -D warnings")
        .run()
        .context("where cargo has no clippy, install the rustup component clippy")?;
    let _warnings = sh.push_env("RUSTDOCFLAGS", "-D warnings");
    for private in [None, Some("--document-private-items")] {
        cmd!(sh, "cargo doc --release --workspace --no-deps {private...}").run()?;
    }
    Ok(())
}

fn tests(sh: &Shell) -> Result<()> {
    let _warnings = sh.push_env("RUSTDOCFLAGS", "-D warnings");
    // Tests drive the programs and link the C library, which `cargo test` does not build for them.
    cmd!(sh, "cargo build --release --workspace --bins --lib").run()?;
    Ok(cmd!(sh, "cargo test --release --workspace").run()?)
}

/// Trains with several processes. The whole workspace is named so that cargo takes what its other
/// commands have built.
fn distributed(sh: &Shell, root: &Path) -> Result<()> {
    torch(sh, root)?;
    cmd!(sh, "scripts/debian.sh mpi").run()?;
    let features = ["--features", "duoguard-trainer/distributed"];
    let test = ["--test", "distributed", "--", "--nocapture"];
    cmd!(sh, "cargo test -r --workspace {features...} {test...}").run()?;
    let all = ["--lib", "--bin", "duoguard-train", "--test", "distributed"];
    Ok(cmd!(
        sh,
        "cargo clippy --release --workspace {features...} {all...} -- -D warnings"
    )
    .run()?)
}

/// Measures beside PyTorch; `DUOGUARD_PYTHON` may name a Python that has it.
fn throughput(
    sh: &Shell,
    device: &str,
    [turns, threads]: &[String; 2],
    only: Option<&str>,
) -> Result<()> {
    let examples = ["--example", "throughput", "--example", "device_check"];
    cmd!(sh, "cargo build --release --workspace {examples...}").run()?;
    if device == "cuda" {
        cmd!(sh, "target/release/examples/device_check --device cuda").run()?;
    }
    let python = sh.var("DUOGUARD_PYTHON");
    let python = python.or_else(|_| cmd!(sh, "scripts/venv.sh torch torch").read())?;
    let python = ["--python", &python];
    let how = ["--device", device, "--turns", turns, "--threads", threads];
    Ok(cmd!(
        sh,
        "python3 scripts/throughput.py {python...} {how...} {only...}"
    )
    .run()?)
}

/// Installs the library that is tested from other languages, and returns where.
fn install_for_tests(sh: &Shell, root: &Path) -> Result<PathBuf> {
    let options = InstallOptions {
        prefix: root.join("target/ctest/prefix"),
        profile: "release".to_owned(),
        ..InstallOptions::default()
    };
    let prefix = options.prefix.clone();
    library::install(sh, options).map(|()| prefix)
}

/// Installs the library, and tests what was installed.
fn ctest(sh: &Shell, root: &Path, full: bool) -> Result<()> {
    ensure!(
        cfg!(target_os = "linux"),
        "the C tests use nm, valgrind and /proc as Linux has them: run them there"
    );
    cmd!(sh, "scripts/debian.sh ctest").run()?;
    onnxruntime::fetch(sh, root)?;
    let prefix = install_for_tests(sh, root)?;
    let scores = ["--package", "duoguard-ffi", "--example", "scores"];
    cmd!(sh, "cargo build --release {scores...}").run()?;
    let full = full.then_some("--full");
    Ok(cmd!(sh, "python3 scripts/ctest.py {prefix} {full...}").run()?)
}

/// Tests the languages whose tools Debian has. The library is the one that `ctest` has built.
fn bindings(sh: &Shell, root: &Path) -> Result<()> {
    let prefix = install_for_tests(sh, root)?;
    Ok(cmd!(sh, "scripts/bindings.sh {prefix} python go java js").run()?)
}

/// The workspace's folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
