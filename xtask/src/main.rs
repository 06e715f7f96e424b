//! What people and CI run alike: `cargo xtask test`, and its parts.

mod cross;
mod ctest;
#[cfg(unix)]
mod cuda;
mod examples;
mod figures;
mod library;
mod metrics;
mod onnxruntime;
mod packages;
mod process;
mod record;
mod tables;
mod transformers;
mod vulkan;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

const USAGE: &str = "\
usage: cargo xtask <command>

  test    everything below, in this order
  ort     fetch the pinned ONNX Runtime into target/onnxruntime
  vulkan  make sure of a Vulkan driver: as root on Debian, install Mesa's
  browser install Chromium, which the tests of pages need
  fmt     check the formatting
  clippy  lint all targets, warnings are errors
  docs    build the documentation, warnings are errors
  tests   run all tests
  ctest   test the C library from C, with the examples (installs clang, valgrind and the like where it can);
          --full lets the loop that watches memory go on for 100,000 checks
  metrics [SCORES.jsonl REPORT.json]
          compare the metrics with scikit-learn's: of constructed cases, or of a run of duoguard eval

  install --prefix DIR
          build the C library small, and install it with its header, pkg-config and CMake files
  cross arm64|wasm32
          build for another machine, with Debian's compilers: arm64 Linux is run under emulation, wasm32 is compiled
  size    print what the C library weighs, with each feature
  cuda    build the trainer with CUDA into target/cuda; on Debian, makes sure of the LLVM that this needs (docs/cuda.md)
  quality BENCHMARKS [DATA]
          judge the bundled model on both engines, and the linear model on the training data, and record it
  tables [MACHINE]
          write the figures that a machine recorded, this one or another, into README.md and docs/measuring.md

Not part of test, for they install PyTorch from PyPI (6 GB, into target/transformers), and peers and figures build llama.cpp:
  peers [BUNDLE [CHECKPOINT]]
          time checks beside those of transformers, of llama.cpp and of ONNX Runtime in Python, and record them
  figures [BENCHMARKS [DATA]]
          measure every figure of README.md and docs/measuring.md again, and write them there: speed, memory, size, peers; with the folder
          of the benchmarks, quality; with that of the training data, the linear model's
  golden  make the golden checkpoints of export/tests/golden again, with transformers
  real-shape SHAPE TOKENIZER.json [SCHEME]
          measure the export of a random checkpoint of a real shape: qwen2.5-0.5b or llama-3.2-1b
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["test"] => [
            "ort", "vulkan", "browser", "fmt", "clippy", "docs", "tests", "metrics", "ctest",
        ]
        .iter()
        .try_for_each(|part| run(part)),
        [
            part @ ("ort" | "vulkan" | "browser" | "fmt" | "clippy" | "docs" | "tests" | "metrics"
            | "ctest" | "size"),
        ] => run(part),
        ["ctest", "--full"] => root().and_then(|root| ctest::run(&root, true)),
        ["install", "--prefix", prefix] => {
            root().and_then(|root| library::install_shipped(&root, Path::new(prefix)))
        }
        ["cross", "arm64"] => root().and_then(|root| cross::arm64(&root)),
        ["cross", "wasm32"] => root().and_then(|root| cross::wasm32(&root)),
        #[cfg(unix)]
        ["cuda"] => root().and_then(|root| cuda::build(&root)),
        ["metrics", scores, report] => {
            root().and_then(|root| metrics::compare(&root, &[scores, report]))
        }
        ["peers", ref rest @ ..] if rest.len() <= 2 => {
            root().and_then(|root| transformers::peers(&root, rest))
        }
        ["figures", ref rest @ ..] if rest.len() <= 2 => root().and_then(|root| {
            let [benchmarks, data] = [0, 1].map(|at| rest.get(at).copied());
            figures::measure(&root, benchmarks, data)
        }),
        ["quality", benchmarks, ref rest @ ..] if rest.len() <= 1 => {
            root().and_then(|root| figures::quality(&root, benchmarks, rest.first().copied()))
        }
        ["tables"] => root().and_then(|root| tables::fill(&root, &record::machine())),
        ["tables", machine] => root().and_then(|root| tables::fill(&root, machine)),
        ["golden"] => root().and_then(|root| transformers::golden(&root)),
        ["real-shape", ref rest @ ..] if (2..=3).contains(&rest.len()) => {
            root().and_then(|root| transformers::real_shape(&root, rest))
        }
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one part and says how long it took.
fn run(part: &str) -> Result<(), String> {
    eprintln!("== {part}");
    let started = Instant::now();
    let root = root()?;
    match part {
        "ort" => onnxruntime::fetch(&root).map(|library| eprintln!("{}", library.display()))?,
        "vulkan" => vulkan::install().map(|driver| eprintln!("{driver}"))?,
        "browser" => packages::ensure(&[("chromium", "chromium")])?,
        "metrics" => metrics::compare(&root, &[])?,
        "fmt" => cargo(
            &root,
            &["fmt", "--all", "--check"],
            "the rustup component rustfmt",
        )?,
        "clippy" => cargo(
            &root,
            &[
                "clippy",
                "--release",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
            "the rustup component clippy",
        )?,
        "docs" => cargo(
            &root,
            &["doc", "--release", "--workspace", "--no-deps"],
            "cargo",
        )?,
        "ctest" => ctest::run(&root, false)?,
        "size" => library::size(&root)?,
        _ => {
            // The cross-crate tests drive the programs, which `cargo test` does not build for them.
            cargo(
                &root,
                &["build", "--release", "--workspace", "--bins"],
                "cargo",
            )?;
            cargo(&root, &["test", "--release", "--workspace"], "cargo")?;
        }
    }
    eprintln!("== {part}: {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Runs cargo in the workspace, with ONNX Runtime where the tests look for it, and no test skipped
/// for want of a Vulkan driver.
pub(crate) fn cargo(root: &Path, arguments: &[&str], needs: &str) -> Result<(), String> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        .args(arguments)
        .env("ORT_DYLIB_PATH", onnxruntime::library(root))
        .env("DUOGUARD_REQUIRE_WGPU", "1")
        .env("RUSTDOCFLAGS", "-D warnings")
        .status()
        .map_err(|e| format!("cannot run cargo {}: {e}", arguments.join(" ")))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!(
            "cargo {} failed ({status}); where cargo itself refused, install {needs}",
            arguments.join(" ")
        ))
    }
}

/// The workspace's folder.
fn root() -> Result<PathBuf, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .map(Path::to_owned)
        .ok_or_else(|| format!("{} has no parent folder", here.display()))
}
