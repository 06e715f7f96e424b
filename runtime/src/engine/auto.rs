//! What [`EngineChoice::Auto`](super::EngineChoice::Auto) takes.
//!
//! The first engine on the CPU that knows the network, unless this machine has a real GPU and has
//! measured, once for a bundle, that its engine is faster.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::batch::TokenBatch;
use super::entry::{Device, Engine, EngineEntry};
use super::speed::{self, Key, Speed};
use super::table::ENGINES;
use crate::clock::Instant;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Origin};

/// Tokens of the texts that are timed: a short one and a long one, as far as the network takes
/// them.
const LENGTHS: [usize; 2] = [16, 128];
/// The fastest of so many counts, after one that is not counted.
const RUNS: usize = 5;

/// What [`EngineChoice::Auto`](super::EngineChoice::Auto) takes for a model on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoEngine {
    /// The engine's name.
    pub name: &'static str,
    /// Why this one: a sentence, with the times if any were measured.
    pub reason: String,
}

/// The engine to take for a graph, and why.
pub(crate) fn choose(graph: &Graph, threads: NonZeroUsize) -> Result<AutoEngine> {
    choose_among(ENGINES, graph, threads, speed::file().as_deref())
}

/// The same, of some engines. What is measured is remembered in the file `speeds`.
fn choose_among(
    engines: &[EngineEntry],
    graph: &Graph,
    threads: NonZeroUsize,
    speeds: Option<&Path>,
) -> Result<AutoEngine> {
    let (cpu, refusals) = first_on_cpu(engines, graph)?;
    let chosen = against_gpus(engines, graph, cpu, threads, speeds);
    Ok(AutoEngine {
        reason: refusals
            .into_iter()
            .chain([chosen.reason])
            .collect::<Vec<_>>()
            .join("; "),
        ..chosen
    })
}

/// The first engine for CPUs that is available and knows the network, and why those before it do
/// not.
fn first_on_cpu<'a>(
    engines: &'a [EngineEntry],
    graph: &Graph,
) -> Result<(&'a EngineEntry, Vec<String>)> {
    let (mut refusals, mut missing) = (Vec::new(), Vec::new());
    for engine in engines {
        if !matches!(engine.device, Device::Cpu) {
            continue;
        }
        if let Err(reason) = (engine.available)() {
            missing.push(format!("{}: {reason}", engine.name));
            continue;
        }
        match (engine.knows)(graph) {
            Ok(()) => return Ok((engine, refusals)),
            Err(why) if why.kind() == ErrorKind::Unsupported => refusals.push(why.to_string()),
            Err(damaged) => return Err(damaged),
        }
    }
    refusals.push("no engine is left that could run it on this CPU".to_owned());
    refusals.extend(missing);
    Err(Error::unsupported(refusals.join("; ")))
}

/// An engine for CPUs, or one on a real GPU that is faster.
fn against_gpus(
    engines: &[EngineEntry],
    graph: &Graph,
    cpu: &EngineEntry,
    threads: NonZeroUsize,
    speeds: Option<&Path>,
) -> AutoEngine {
    let mut reason = None;
    for engine in engines {
        let Device::Gpu { real } = engine.device else {
            continue;
        };
        match real() {
            Ok(adapter) => return race(graph, cpu, (engine, &adapter), threads, speeds),
            Err(none) => reason = reason.or(Some(none)),
        }
    }
    let first = || "the first of the engines that is available and knows the network".to_owned();
    keep(cpu, reason.unwrap_or_else(first))
}

fn keep(cpu: &EngineEntry, reason: String) -> AutoEngine {
    AutoEngine {
        name: cpu.name,
        reason,
    }
}

/// Takes an engine on a real GPU, which is `adapter`, if it is faster than `cpu`.
fn race(
    graph: &Graph,
    cpu: &EngineEntry,
    (gpu, adapter): (&EngineEntry, &str),
    threads: NonZeroUsize,
    speeds: Option<&Path>,
) -> AutoEngine {
    let Some(origin) = graph.origin() else {
        return keep(cpu, "the graph is not part of a bundle".to_owned());
    };
    let key = Key::new(&origin.files, (cpu.name, gpu.name), adapter, threads);
    let measured = recalled(&key, speeds, || measure(graph, origin, cpu, gpu, threads));
    match measured {
        Ok(speed) => decide((cpu.name, gpu.name), adapter, &speed),
        Err(reason) => keep(cpu, format!("{adapter} cannot be used: {reason}")),
    }
}

fn decide((cpu, gpu): (&'static str, &'static str), adapter: &str, speed: &Speed) -> AutoEngine {
    let is_faster = speed.gpu_ms < speed.cpu_ms;
    AutoEngine {
        name: if is_faster { gpu } else { cpu },
        reason: format!(
            "a text of {} and one of {} tokens take {:.2} ms on {cpu} and {:.2} ms on {adapter}, \
             as measured here once",
            LENGTHS[0], LENGTHS[1], speed.cpu_ms, speed.gpu_ms
        ),
    }
}

/// What was measured before, by this process or an earlier one, or is measured now. What fails is
/// tried again by the next process.
fn recalled(
    key: &Key,
    speeds: Option<&Path>,
    measure: impl FnOnce() -> Result<Speed>,
) -> std::result::Result<Speed, String> {
    type Known = HashMap<Key, std::result::Result<Speed, String>>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    // Held while measuring: two measurements at once would disturb each other.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(speed) = known.get(key) {
        return speed.clone();
    }
    let speed = match speeds.and_then(|file| speed::read(file, key)) {
        Some(speed) => Ok(speed),
        None => measure()
            .inspect(|speed| {
                if let Some(file) = speeds {
                    speed::write(file, key, *speed);
                }
            })
            .map_err(|error| error.to_string()),
    };
    known.insert(key.clone(), speed.clone());
    speed
}

fn measure(
    graph: &Graph,
    origin: &Origin,
    cpu: &EngineEntry,
    gpu: &EngineEntry,
    threads: NonZeroUsize,
) -> Result<Speed> {
    // Of its own, so that the network leaves the GPU's memory when it is slower.
    let gpu_ms = time(&mut *(gpu.open)(&graph.apart(), threads)?, origin)?;
    let cpu_ms = time(&mut *(cpu.open)(graph, threads)?, origin)?;
    Ok(Speed { cpu_ms, gpu_ms })
}

/// Milliseconds that a short and a long text take together.
fn time(engine: &mut dyn Engine, origin: &Origin) -> Result<f64> {
    let mut logits = vec![0.0; origin.categories];
    let mut total = 0.0;
    for length in LENGTHS {
        // Every vocabulary has a first token.
        let ids = vec![0; length.min(origin.max_position)];
        let batch = TokenBatch::one(&ids);
        let mut fastest = f64::INFINITY;
        engine.run(&batch, &mut logits)?;
        for _ in 0..RUNS {
            let started = Instant::now();
            engine.run(&batch, &mut logits)?;
            fastest = fastest.min(started.elapsed().as_secs_f64() * 1e3);
        }
        total += fastest;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;
    use crate::bundle::Bundle;
    use crate::engine::fake;

    const ONE: NonZeroUsize = NonZeroUsize::MIN;

    /// A CPU's engine, and a GPU's on an adapter that plays a real one.
    const BOTH: [EngineEntry; 2] = [
        fake::slower("cpu", Device::Cpu),
        fake::faster(
            "gpu",
            Device::Gpu {
                real: || Ok("a GPU".to_owned()),
            },
        ),
    ];

    /// A bundle in a folder, as far as it matters here.
    fn bundle(folder: &Path) -> Bundle {
        let weights = [&2_u64.to_le_bytes()[..], b"{}"].concat();
        let files = [
            ("tokenizer.json", &b"{}"[..]),
            ("model.onnx", b"not looked at"),
            ("weights.data", &weights),
        ];
        let hash = |bytes: &[u8]| -> String {
            use sha2::{Digest, Sha256};
            let hash = Sha256::digest(bytes);
            hash.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let hashes: BTreeMap<_, _> = files.map(|(name, bytes)| (name, hash(bytes))).into();
        let manifest = serde_json::json!({
            "format_version": 1,
            "name": "fake",
            "architecture": {
                "model_type": "qwen2", "layers": 1, "hidden": 1, "heads": 1, "kv_heads": 1,
                "intermediate": 1, "vocabulary": 1, "max_position": 8
            },
            "categories": ["violence"],
            "policy": { "default_thresholds": { "violence": 0.5 } },
            "limits": { "window_tokens": 8, "overlap_tokens": 0 },
            "files": hashes,
        });
        let manifest = manifest.to_string();
        for (name, bytes) in files
            .into_iter()
            .chain([("manifest.json", manifest.as_bytes())])
        {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        Bundle::open(folder).unwrap()
    }

    /// All that is in a folder.
    fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect()
    }

    #[test]
    fn a_faster_gpu_is_taken_and_nothing_written_beside_the_bundle() {
        let (folder, caches) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let graph = Graph::of_bundle(&bundle(folder.path()));
        let before = contents(folder.path());
        let speeds = caches.path().join("duoguard/engine-speed.json");
        let chosen = choose_among(&BOTH, &graph, ONE, Some(&speeds)).unwrap();
        assert_eq!(chosen.name, "gpu", "{}", chosen.reason);
        assert!(chosen.reason.contains("a GPU"), "{}", chosen.reason);
        assert_eq!(contents(folder.path()), before);
        assert!(speeds.is_file());
        // Measured once: a slower one in its place is not looked at any more.
        let slower = [
            fake::slower("cpu", Device::Cpu),
            fake::slower("gpu", BOTH[1].device),
        ];
        let again = choose_among(&slower, &graph, ONE, Some(&speeds)).unwrap();
        assert_eq!(again, chosen);
    }

    #[test]
    fn the_first_engine_for_cpus_is_taken_where_no_gpu_can_be() {
        let graph = fake::graph();
        let alone = choose_among(&BOTH[..1], &graph, ONE, None).unwrap();
        assert_eq!((alone.name, &alone.reason[..9]), ("cpu", "the first"));
        let no_bundle = choose_among(&BOTH, &graph, ONE, None).unwrap();
        assert_eq!(no_bundle.name, "cpu");
        assert!(no_bundle.reason.contains("bundle"), "{}", no_bundle.reason);
        let real = || Err("it is a program".to_owned());
        let played = [
            fake::slower("cpu", Device::Cpu),
            fake::faster("gpu", Device::Gpu { real }),
        ];
        let kept = choose_among(&played, &graph, ONE, None).unwrap();
        assert_eq!((kept.name, &kept.reason[..]), ("cpu", "it is a program"));
        let error = choose_among(&BOTH[1..], &graph, ONE, None).unwrap_err();
        assert!(error.to_string().contains("no engine"), "{error}");
    }

    #[test]
    fn an_engine_that_does_not_know_the_network_is_passed_over_and_auto_says_so() {
        let graph = fake::graph();
        let unknown = EngineEntry {
            knows: |_| Err(Error::unsupported("a network of another kind")),
            ..fake::faster("picky", Device::Cpu)
        };
        let missing = EngineEntry {
            available: || Err("not installed: install it".to_owned()),
            ..fake::faster("missing", Device::Cpu)
        };
        let both = [unknown, fake::slower("other", Device::Cpu)];
        let chosen = choose_among(&both, &graph, ONE, None).unwrap();
        assert_eq!(chosen.name, "other");
        assert!(
            chosen.reason.starts_with("a network of another kind; "),
            "{}",
            chosen.reason
        );
        let [unknown, _] = both;
        let error = choose_among(&[unknown, missing], &graph, ONE, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        for part in ["of another kind", "missing: not installed: install it"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        let damaged = EngineEntry {
            knows: |_| Err(Error::model("damaged")),
            ..fake::faster("first", Device::Cpu)
        };
        let engines = [damaged, fake::faster("second", Device::Cpu)];
        let error = choose_among(&engines, &graph, ONE, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidModel);
    }

    #[test]
    fn equal_speeds_stay_on_the_cpu() {
        let speed = |cpu_ms, gpu_ms| Speed { cpu_ms, gpu_ms };
        let name = |speed| decide(("cpu", "gpu"), "a GPU", &speed).name;
        assert_eq!(name(speed(1.0, 1.0)), "cpu");
        assert_eq!(name(speed(1.0, 0.9)), "gpu");
    }

    #[test]
    fn a_failure_to_measure_is_told_and_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("speeds.json");
        let key = Key::new("a failure", ("cpu", "gpu"), "a GPU", ONE);
        let failed = recalled(&key, Some(&file), || {
            Err(Error::unsupported("no such thing"))
        });
        assert_eq!(failed, Err("no such thing".to_owned()));
        assert!(!file.exists());
    }
}
