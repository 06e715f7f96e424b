//! The pinned libtorch, out of PyTorch's wheel: what the trainer computes with.
//!
//! The wheel is PyTorch for CUDA. For a CPU, only the libraries that need no CUDA are kept, beside
//! two small ones of NVIDIA's that `libtorch_cpu.so` names; `libtorch.so`, which only ties the
//! others together, is linked anew without CUDA.

use std::env::consts::{ARCH, OS};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::wheel::{self, Wheel};

/// The pinned version: the one that the crate `torch-sys` is written for.
const VERSION: &str = "2.11.0";
/// The machine that the wheels are for.
const MACHINE: (&str, &str) = ("linux", "x86_64");

const TORCH: Wheel = Wheel {
    file: "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
};
/// The versions that PyTorch's wheel names; newer ones have other sonames.
const CUDA_RUNTIME: Wheel = Wheel {
    file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
};
const CUPTI: Wheel = Wheel {
    file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
    sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
};

/// Libraries of PyTorch that run without CUDA.
const CPU_LIBRARIES: [&str; 3] = ["libtorch_cpu.so", "libc10.so", "libgomp.so.1"];
/// Libraries that compute on GPUs; NVIDIA's own, which these need, come with a PyTorch that is
/// installed where they run.
const CUDA_LIBRARIES: [&str; 6] = [
    "libtorch.so",
    "libtorch_cuda.so",
    "libc10_cuda.so",
    "libtorch_cuda_linalg.so",
    "libtorch_nvshmem.so",
    "libcaffe2_nvrtc.so",
];

/// Where libtorch is once it was fetched: one folder for CPUs, one with CUDA.
pub fn folder(root: &Path, cuda: bool) -> PathBuf {
    root.join(match cuda {
        false => "target/libtorch",
        true => "target/libtorch-cuda",
    })
}

/// Makes sure that libtorch is there, and returns its folder: `LIBTORCH` for `torch-sys`.
pub fn fetch(sh: &Shell, root: &Path, cuda: bool) -> Result<PathBuf> {
    let folder = folder(root, cuda);
    // Written last: a set-up that was stopped begins again.
    if folder.join("build-version").is_file() {
        return Ok(folder);
    }
    ensure!(
        (OS, ARCH) == MACHINE,
        "no libtorch {VERSION} wheel is pinned for {OS} {ARCH}: install PyTorch {VERSION} and set \
         LIBTORCH_USE_PYTORCH=1, or name a libtorch {VERSION} in LIBTORCH"
    );
    // Its own folder on the same disk, so that files are moved and not copied.
    let unpacked = sh.create_dir(root.join("target/libtorch-wheels"))?;
    for wheel in [&TORCH, &CUDA_RUNTIME, &CUPTI] {
        wheel::fetch(sh, wheel, &unpacked)?;
    }
    sh.remove_path(&folder)?;
    let lib = sh.create_dir(folder.join("lib"))?;
    let cuda_libraries: &[&str] = if cuda { &CUDA_LIBRARIES } else { &[] };
    let torch = unpacked.join("torch/lib");
    for name in CPU_LIBRARIES.iter().chain(cuda_libraries) {
        rename(&torch.join(name), &lib.join(name))?;
    }
    let nvidia = unpacked.join("nvidia/cu13/lib");
    for name in ["libcudart.so.13", "libcupti.so.13"] {
        rename(&nvidia.join(name), &lib.join(name))?;
    }
    rename(&unpacked.join("torch/include"), &folder.join("include"))?;
    if !cuda {
        link_without_cuda(sh, &lib)?;
    }
    sh.remove_path(&unpacked)?;
    sh.write_file(folder.join("build-version"), VERSION)?;
    Ok(folder)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to)
        .with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
}

/// Makes `libtorch.so`, which has no code and ties the libraries for CPUs together.
fn link_without_cuda(sh: &Shell, lib: &Path) -> Result<()> {
    let output = lib.join("libtorch.so");
    cmd!(
        sh,
        "cc -shared -fPIC -x c /dev/null -o {output} -Wl,-soname,libtorch.so -Wl,--no-as-needed
         -L{lib} -ltorch_cpu -lc10 -Wl,-rpath,$ORIGIN"
    )
    .run()
    .with_context(|| format!("cannot link {}; this needs a C compiler", output.display()))
}
