//! What can go wrong: small limits, lost devices, no memory, strange bundles, drivers that
//! complain.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use super::{DECODER, SAMPLE, TOLERANCE, agrees, encoders, gpu, ids};
use crate::bundle::Weights;
use crate::engine::batch::TokenBatch;
use crate::engine::entry::Engine;
use crate::engine::wgpu::adapter;
use crate::engine::wgpu::gpu::Gpu;
use crate::engine::wgpu::made_up::MadeUp;
use crate::engine::wgpu::plan::{Plan, most_tokens};
use crate::engine::wgpu::resident::Resident;
use crate::engine::wgpu::shaders::{Format, Products};
use crate::error::ErrorKind;
use crate::graph::{Graph, Origin};
use crate::network::sample::{EPSILON, Sample};

/// A graph that has a sample's weights, and of an ONNX model as much as this engine looks at: the
/// epsilon of a norm.
fn graph(sample: &Sample) -> Graph {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let value = [&[2 << 3 | 5], &EPSILON.to_le_bytes()[..]].concat();
    let attribute = [field(1, b"epsilon"), value].concat();
    let onnx = field(7, &field(1, &field(5, &attribute)));
    let weights = Weights::from_bytes(&sample.file()).unwrap();
    Graph::from_parts(onnx.into(), Arc::new(weights))
}

fn open(graph: &Graph) -> crate::Result<Box<dyn Engine>> {
    crate::engine::wgpu::open(graph, NonZeroUsize::MIN)
}

fn resident(graph: &Graph) -> Arc<Resident> {
    graph.shared(|_| true, || panic!("not loaded")).unwrap()
}

fn batch(ids: &[u32], tokens: usize) -> TokenBatch<'_> {
    TokenBatch {
        ids,
        rows: ids.len() / tokens,
        tokens,
    }
}

fn error(result: crate::Result<impl Sized>) -> String {
    let error = result.err().expect("it fails");
    assert_eq!(error.kind(), ErrorKind::Engine, "{error}");
    error.to_string()
}

#[test]
fn tensors_are_split_where_bindings_are_small() {
    if gpu().is_none() {
        return;
    }
    let limits = wgpu::Limits {
        max_storage_buffer_binding_size: 4096,
        ..wgpu::Limits::defaults()
    };
    let small = Gpu::with_limits(&adapter::best().unwrap(), limits).unwrap();
    for (embedding, matrices) in [(Format::Int8, Format::Int8), (Format::F32, Format::F32)] {
        // The positions of an encoder are not split.
        for (made_up, max_position) in [(DECODER, 100), (encoders()[0], 16)] {
            let sample = Sample {
                embedding,
                matrices,
                vocabulary: 201,
                max_position,
                ..made_up.sample
            };
            let made_up = MadeUp { sample, ..made_up };
            let file = made_up.file();
            let network = made_up.read(&file).unwrap();
            let steps = |bytes| network.schedule(bytes, Products::F32).unwrap().len();
            assert!(steps(4096) > steps(1 << 27));
            agrees(&small, &made_up, &[(1, 1), (1, 5), (2, 2)]);
        }
    }
}

#[test]
fn a_batch_that_is_too_large_for_a_binding_runs_in_parts() {
    if gpu().is_none() {
        return;
    }
    let graph = graph(&SAMPLE);
    let limits = wgpu::Limits {
        max_storage_buffer_binding_size: 16384,
        ..wgpu::Limits::defaults()
    };
    let small = || {
        let gpu = Gpu::with_limits(&adapter::best().unwrap(), limits.clone())?;
        Resident::new(gpu, &DECODER.read(graph.weights())?, Products::F32)
    };
    let resident = graph.shared(|_| true, small).unwrap();
    let most = most_tokens(&resident);
    let mut engine = open(&graph).unwrap();
    let ids = ids(7, 5, SAMPLE.vocabulary);
    assert!(most < ids.len(), "{most}");
    let mut logits = vec![0.0; 7 * SAMPLE.categories];
    engine.run(&batch(&ids, 5), &mut logits).unwrap();
    let network = DECODER.read(graph.weights()).unwrap();
    let expected = ids
        .chunks(5)
        .flat_map(|ids| network.expected(Products::F32, ids));
    for (found, expected) in logits.iter().zip(expected) {
        assert!((found - expected).abs() <= TOLERANCE);
    }
    let long = super::ids(1, most + 1, SAMPLE.vocabulary);
    let refused = error(engine.run(&batch(&long, most + 1), &mut logits[..SAMPLE.categories]));
    assert!(refused.contains("shorter windows"), "{refused}");
}

#[test]
fn a_lost_device_is_an_error_once_and_then_opened_again() {
    if gpu().is_none() {
        return;
    }
    let graph = graph(&SAMPLE);
    let mut engine = open(&graph).unwrap();
    let ids = ids(1, 9, SAMPLE.vocabulary);
    let mut logits = vec![0.0; SAMPLE.categories];
    engine.run(&batch(&ids, 9), &mut logits).unwrap();
    let before = std::mem::take(&mut logits);
    logits.resize(SAMPLE.categories, 0.0);

    let first = resident(&graph);
    let mut plan = Plan::new(Arc::clone(&first), &batch(&ids, 9)).unwrap();
    first.gpu.device.destroy();
    let lost = error(plan.run(&batch(&ids, 9)));
    assert!(
        lost.contains("was lost") && lost.contains("not checked"),
        "{lost}"
    );
    assert!(error(Plan::new(Arc::clone(&first), &batch(&ids, 9))).contains("was lost"));

    engine.run(&batch(&ids, 9), &mut logits).unwrap();
    assert_eq!(logits, before);
    assert!(!Arc::ptr_eq(&first, &resident(&graph)));
}

#[test]
fn an_error_on_the_device_is_told_and_does_not_stay() {
    let Some(gpu) = gpu() else { return };
    let too_large = || {
        gpu.buffer("a test", usize::MAX & !3, wgpu::BufferUsages::STORAGE);
        Ok(())
    };
    let refused = error(gpu.guarded("make a buffer", too_large));
    assert!(refused.contains("cannot make a buffer"), "{refused}");
    // Outside every scope, where it would end the process if nobody took note.
    gpu.buffer("a test", usize::MAX & !3, wgpu::BufferUsages::STORAGE);
    let noted = error(gpu.guarded("do nothing", || Ok(())));
    assert!(noted.contains("cannot do nothing"), "{noted}");
    gpu.guarded("do nothing", || Ok(())).unwrap();
}

/// Runs an ignored test in a process of its own, and returns what it printed.
fn in_a_process(command: &mut std::process::Command, case: &str) -> String {
    let case = format!("engine::wgpu::tests::trouble::{case}");
    let output = command
        .args([&case, "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    text
}

#[test]
fn without_memory_there_is_an_error_and_the_device_lives_on() {
    let Some(gpu) = gpu() else { return };
    if !cfg!(target_os = "linux") || gpu.info.device_type != wgpu::DeviceType::Cpu {
        eprintln!("SKIPPED: only a process's own memory can be limited, not that of a real GPU");
        return;
    }
    let limited = "ulimit -v 16000000 && exec \"$0\" \"$@\"";
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new("sh");
    in_a_process(
        command.args(["-c", limited]).arg(program),
        "fills_the_memory",
    );
}

#[test]
#[ignore = "run by without_memory_there_is_an_error_and_the_device_lives_on, in a process with \
            little memory"]
fn fills_the_memory() {
    let gpu = gpu().expect("the parent found one");
    let mut buffers = Vec::new();
    let full = gpu.guarded("fill the memory", || {
        buffers.extend((0..32).map(|_| gpu.buffer("a test", 1 << 30, wgpu::BufferUsages::STORAGE)));
        Ok(())
    });
    let full = error(full);
    assert!(
        full.contains("no memory left") && full.contains("another engine"),
        "{full}"
    );
    drop(buffers);
    agrees(&gpu, &DECODER, &[(1, 9)]);
}

#[test]
fn what_the_shaders_would_trust_is_checked() {
    if gpu().is_none() {
        return;
    }
    let mut engine = open(&graph(&SAMPLE)).unwrap();
    let mut logits = vec![0.0; SAMPLE.categories];
    let outside = [1, SAMPLE.vocabulary as u32];
    assert!(error(engine.run(&batch(&outside, 2), &mut logits)).contains("token id 61"));
    let long = ids(1, SAMPLE.max_position + 1, SAMPLE.vocabulary);
    let refused = error(engine.run(&batch(&long, long.len()), &mut logits));
    assert!(
        refused.contains("151") && refused.contains("150"),
        "{refused}"
    );
}

#[test]
fn a_scheme_or_network_that_it_does_not_know_is_refused() {
    if gpu().is_none() {
        return;
    }
    let open = |model_type: &str, scheme: Option<&str>| {
        open(&graph(&SAMPLE).with_origin(Origin {
            files: String::new(),
            max_position: SAMPLE.max_position,
            categories: SAMPLE.categories,
            model_type: model_type.to_owned(),
            scheme: scheme.map(str::to_owned),
        }))
    };
    for known in [None, Some("int8-dynamic"), Some("none")] {
        open("llama", known).unwrap();
    }
    let refused = |model_type, scheme, words: [&str; 2]| {
        let refused = open(model_type, scheme).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        let refused = refused.to_string();
        assert!(words.iter().all(|word| refused.contains(word)), "{refused}");
    };
    refused(
        "qwen2",
        Some("int4-blocks"),
        ["int4-blocks", "int8-dynamic"],
    );
    refused("qwen2", Some("int3"), ["\"int3\"", "int8-dynamic"]);
    refused("gemma", None, ["gemma", "qwen2, llama"]);
}

/// The driver's own validation layers, in a process of their own: they are chosen when the drivers
/// are loaded.
#[test]
fn validation_layers_stay_silent() {
    if gpu().is_none() {
        return;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let text = in_a_process(
        command.env(adapter::VALIDATION_VARIABLE, "1"),
        "runs_under_validation",
    );
    match text.lines().find(|line| line.contains("SKIPPED")) {
        Some(line) => eprintln!("{line}"),
        None => assert!(text.contains("validated in silence"), "{text}"),
    }
}

#[test]
#[ignore = "run by validation_layers_stay_silent, in a process of its own"]
fn runs_under_validation() {
    struct Listener(Mutex<Vec<String>>);
    impl log::Log for Listener {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.level() <= log::Level::Warn
        }
        fn log(&self, record: &log::Record<'_>) {
            if self.enabled(record.metadata()) {
                self.0
                    .lock()
                    .unwrap()
                    .push(format!("{}: {}", record.target(), record.args()));
            }
        }
        fn flush(&self) {}
    }
    static LISTENER: Listener = Listener(Mutex::new(Vec::new()));
    log::set_logger(&LISTENER).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let gpu = gpu().expect("the parent found one");
    agrees(&gpu, &DECODER, &[(1, 1), (2, 19)]);
    drop(gpu);
    let heard = LISTENER.0.lock().unwrap().clone();
    let missing = heard
        .iter()
        .find(|line| line.contains("unable to find layer"));
    if let Some(missing) = missing {
        println!("SKIPPED, the validation layers are not installed: {missing}");
        return;
    }
    assert_eq!(heard, Vec::<String>::new());
    println!("validated in silence");
}
