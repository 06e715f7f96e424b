//! The shape of Qwen2.5-0.5B, which DuoGuard-0.5B has, within what every WebGPU adapter grants.

use super::{agrees, agrees_in, gpu};
use crate::engine::wgpu::adapter;
use crate::engine::wgpu::cost::of_steps;
use crate::engine::wgpu::gpu::Gpu;
use crate::engine::wgpu::made_up::{Family, MadeUp};
use crate::engine::wgpu::shaders::{Format, Products};
use crate::network::sample::Sample;

const QWEN2_5_0_5B: Sample = Sample {
    layers: 24,
    heads: 14,
    kv_heads: 2,
    head_size: 64,
    intermediate: 4864,
    vocabulary: 151_936,
    max_position: 512,
    categories: 12,
    embedding: Format::Int8,
    matrices: Format::Int8,
    splits_query: true,
    outliers: None,
};

/// The embedding alone is 130 MiB, so that at least one tensor has to be split.
#[test]
#[ignore = "half a gigabyte of weights, and plain loops over them: \
            cargo test --release -p duoguard --features wgpu --lib -- --ignored qwen --nocapture"]
fn the_shape_of_qwen_runs_under_the_default_limits() {
    if gpu().is_none() {
        return;
    }
    let limits = wgpu::Limits::defaults();
    assert_eq!(limits.max_storage_buffer_binding_size, 128 << 20);
    let gpu = Gpu::with_limits(&adapter::best().unwrap(), limits).unwrap();
    let decoder = |sample| MadeUp {
        sample,
        family: Family::Decoder,
    };
    let qwen = decoder(QWEN2_5_0_5B);
    let file = qwen.file();
    let network = qwen.read(&file).unwrap();
    let steps = |bytes| network.schedule(bytes, Products::F32).unwrap().len();
    assert!(steps(128 << 20) > steps(1 << 30), "nothing was split");
    println!("{} bytes of weights", file.len());
    for tokens in [16, 64, 128, 512] {
        let steps = network.schedule(128 << 20, Products::F32).unwrap();
        let cost = of_steps(&steps, network.dimensions(), 1, tokens);
        println!("{tokens} tokens: {cost:?}");
    }
    let shapes = [(1, 1), (1, 16), (2, 5)];
    agrees(&gpu, &qwen, &shapes);
    // Rounding makes a network of noise chaotic: one value that falls on the other side of a tie
    // moves all that follow, until they differ by as much as rounding itself changes. So two layers
    // of the same width are judged, and wrong products alone are caught.
    let shallow = Sample {
        layers: 2,
        vocabulary: 100,
        ..QWEN2_5_0_5B
    };
    agrees_in(&gpu, &decoder(shallow), Products::Int8, 0.2, &shapes);
}
