//! What [`EngineChoice::Auto`](super::EngineChoice::Auto) takes.
//!
//! An engine on the CPU, unless this machine has a real GPU and has measured, once for a bundle,
//! that its engine is faster.

use std::num::NonZeroUsize;

use super::{ENGINES, EngineEntry};
use crate::error::{Error, Result};
use crate::graph::Graph;

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
    let on_cpu = ENGINES.iter().filter(|entry| !is_gpu(entry));
    let first = on_cpu
        .into_iter()
        .find(|entry| (entry.available)().is_ok())
        .ok_or_else(|| {
            let names: Vec<_> = ENGINES.iter().map(|entry| entry.name).collect();
            let names = names.join(", ");
            Error::unsupported(format!("none of the engines is available: {names}"))
        })?;
    #[cfg(feature = "wgpu")]
    return Ok(gpu::race(graph, first, threads));
    #[cfg(not(feature = "wgpu"))]
    {
        let _ = (graph, threads);
        Ok(AutoEngine {
            name: first.name,
            reason: "the first of the engines that is available".to_owned(),
        })
    }
}

fn is_gpu(entry: &EngineEntry) -> bool {
    #[cfg(feature = "wgpu")]
    return entry.name == super::wgpu::NAME;
    #[cfg(not(feature = "wgpu"))]
    {
        let _ = entry;
        false
    }
}

#[cfg(feature = "wgpu")]
mod gpu {
    use std::collections::HashMap;
    use std::sync::{Arc, LazyLock, Mutex, PoisonError};
    use std::time::Instant;

    use super::*;
    use crate::engine::speed::{self, Key, Speed};
    use crate::engine::{Engine, TokenBatch, wgpu};

    /// Tokens of the texts that are timed: a short one and a long one, as far as the network takes
    /// them.
    const LENGTHS: [usize; 2] = [16, 128];
    /// The fastest of so many counts, after one that is not counted.
    const RUNS: usize = 5;

    /// Takes the GPU's engine if it is there and faster than `cpu`.
    pub(super) fn race(graph: &Graph, cpu: &EngineEntry, threads: NonZeroUsize) -> AutoEngine {
        let keep = |reason: String| AutoEngine {
            name: cpu.name,
            reason,
        };
        let adapter = match wgpu::real_gpu() {
            Ok(adapter) => adapter,
            Err(reason) => return keep(reason),
        };
        let Some(origin) = graph.origin() else {
            return keep("the graph is not part of a bundle".to_owned());
        };
        let key = Key::new(origin, &adapter, cpu.name, threads);
        match recalled(&key, origin.folder.as_deref(), || {
            measure(graph, cpu, threads)
        }) {
            Ok(speed) => decide(cpu.name, &adapter, &speed),
            Err(reason) => keep(format!("{adapter} cannot be used: {reason}")),
        }
    }

    fn decide(cpu: &'static str, adapter: &str, speed: &Speed) -> AutoEngine {
        let is_faster = speed.gpu_ms < speed.cpu_ms;
        AutoEngine {
            name: if is_faster { wgpu::NAME } else { cpu },
            reason: format!(
                "a text of {} and one of {} tokens take {:.2} ms on {cpu} and {:.2} ms on {adapter}, as measured here once",
                LENGTHS[0], LENGTHS[1], speed.cpu_ms, speed.gpu_ms
            ),
        }
    }

    /// What was measured before, by this process or an earlier one, or is measured now. What fails
    /// is tried again by the next process.
    fn recalled(
        key: &Key,
        folder: Option<&std::path::Path>,
        measure: impl FnOnce() -> Result<Speed>,
    ) -> std::result::Result<Speed, String> {
        type Known = HashMap<Key, std::result::Result<Speed, String>>;
        static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
        // Held while measuring: two measurements at once would disturb each other.
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(speed) = known.get(key) {
            return speed.clone();
        }
        let places = speed::places(folder);
        let speed = match speed::read(&places, key) {
            Some(speed) => Ok(speed),
            None => measure()
                .inspect(|speed| speed::write(&places, key, *speed))
                .map_err(|error| error.to_string()),
        };
        known.insert(key.clone(), speed.clone());
        speed
    }

    fn measure(graph: &Graph, cpu: &EngineEntry, threads: NonZeroUsize) -> Result<Speed> {
        // Of its own, so that the network leaves the GPU's memory when it is slower.
        let apart = Graph::from_parts(graph.onnx().into(), Arc::clone(graph.weights()));
        let mut gpu = wgpu::open(&apart, threads)?;
        let shape = wgpu::shape(&apart)?;
        let gpu_ms = time(&mut *gpu, shape)?;
        let mut cpu = (cpu.open)(graph, threads)?;
        let cpu_ms = time(&mut *cpu, shape)?;
        Ok(Speed { cpu_ms, gpu_ms })
    }

    /// Milliseconds that a short and a long text take together, of a network that takes so many
    /// tokens and gives so many logits.
    pub(super) fn time(engine: &mut dyn Engine, shape: (usize, usize)) -> Result<f64> {
        let (max_position, categories) = shape;
        let mut logits = vec![0.0; categories];
        let mut total = 0.0;
        for length in LENGTHS {
            let tokens = length.min(max_position);
            // Every vocabulary has a first token.
            let ids = vec![0; tokens];
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
        use super::*;
        use crate::graph::Origin;

        struct Slow(u64);

        impl Engine for Slow {
            fn name(&self) -> &str {
                "slow"
            }

            fn run(&mut self, batch: &TokenBatch<'_>, _: &mut [f32]) -> Result<()> {
                let micros = self.0 * batch.tokens as u64;
                std::thread::sleep(std::time::Duration::from_micros(micros));
                Ok(())
            }
        }

        #[test]
        fn the_faster_engine_is_taken() {
            let time = |speed| time(&mut Slow(speed), (64, 3)).unwrap();
            let (fast, slow) = (time(1), time(50));
            assert!(fast < slow, "{fast} {slow}");
            let speed = |cpu_ms, gpu_ms| Speed { cpu_ms, gpu_ms };
            let decided = decide("rten", "a GPU", &speed(slow, fast));
            assert_eq!(decided.name, "wgpu");
            assert!(decided.reason.contains("a GPU"), "{}", decided.reason);
            assert_eq!(decide("rten", "a GPU", &speed(1.0, 1.0)).name, "rten");
        }

        #[test]
        fn a_speed_is_measured_once_and_a_failure_told() {
            let folder = tempfile::tempdir().unwrap();
            let origin = Origin {
                folder: Some(folder.path().to_owned()),
                files: "once".to_owned(),
                model_type: "qwen2".to_owned(),
                scheme: None,
            };
            let key = Key::new(&origin, "a GPU", "rten", NonZeroUsize::MIN);
            let speed = Speed {
                cpu_ms: 2.0,
                gpu_ms: 1.0,
            };
            let folder = origin.folder.as_deref();
            assert_eq!(recalled(&key, folder, || Ok(speed)), Ok(speed));
            let again = recalled(&key, folder, || panic!("measured twice"));
            assert_eq!(again, Ok(speed));
            assert_eq!(speed::read(&speed::places(folder), &key), Some(speed));

            let other = Key::new(&origin, "another GPU", "rten", NonZeroUsize::MIN);
            let failed = recalled(&other, folder, || Err(Error::unsupported("no such thing")));
            assert_eq!(failed, Err("no such thing".to_owned()));
            assert_eq!(speed::read(&speed::places(folder), &other), None);
        }
    }
}
