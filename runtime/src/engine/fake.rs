//! An engine for tests, and the example of how one is added: all that it needs is in this file, and
//! its row in the table is [`ENTRY`].

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{TokenBatch, check_batch, take_logits};
use super::entry::{Device, Engine, EngineEntry};
use crate::bundle::Weights;
use crate::error::Result;
use crate::graph::Graph;

const NAME: &str = "fake";

pub(super) const ENTRY: EngineEntry = faster(NAME, Device::Cpu);

/// A row of an engine that takes no time.
pub(super) const fn faster(name: &'static str, device: Device) -> EngineEntry {
    EngineEntry {
        name,
        device,
        available: || Ok("for tests".to_owned()),
        knows: |_| Ok(()),
        open: |graph, threads| open(graph, threads, Duration::ZERO),
        open_stream: None,
    }
}

/// A row of an engine that takes a millisecond for a run.
pub(super) const fn slower(name: &'static str, device: Device) -> EngineEntry {
    EngineEntry {
        open: |graph, threads| open(graph, threads, Duration::from_millis(1)),
        ..faster(name, device)
    }
}

/// A graph that only this engine can run.
pub(super) fn graph() -> Graph {
    let weights = Weights::from_bytes(&[]).unwrap();
    Graph::from_parts(b"a graph of 19 bytes"[..].into(), Arc::new(weights))
}

fn open(graph: &Graph, _threads: NonZeroUsize, takes: Duration) -> Result<Box<dyn Engine>> {
    let load = || Ok(Loaded(graph.onnx().len()));
    Ok(Box::new(Fake {
        loaded: graph.shared(|_| true, load)?,
        file: graph.file(),
        takes,
    }))
}

/// What is kept of a graph.
struct Loaded(usize);

struct Fake {
    loaded: Arc<Loaded>,
    file: &'static str,
    takes: Duration,
}

impl Engine for Fake {
    fn name(&self) -> &str {
        NAME
    }

    /// The logit of a row is its first token plus the length of the graph.
    fn run(&mut self, batch: &TokenBatch<'_>, logits: &mut [f32]) -> Result<()> {
        check_batch(NAME, batch)?;
        std::thread::sleep(self.takes);
        let rows = batch.ids.chunks(batch.tokens);
        let found: Vec<f32> = rows
            .map(|row| row[0] as f32 + self.loaded.0 as f32)
            .collect();
        take_logits(
            (NAME, self.file),
            batch.rows,
            &[batch.rows, 1],
            &found,
            logits,
        )
    }
}

mod tests {
    use super::*;
    use crate::engine::{EngineChoice, engine_info, engine_names, engines, open};

    #[test]
    fn a_file_and_a_row_are_an_engine() {
        assert!(engine_names().any(|name| name == NAME));
        let listed = engines().into_iter().find(|engine| engine.name == NAME);
        assert_eq!(listed, engine_info(NAME));
        assert_eq!(listed.unwrap().detail, "for tests");

        let graph = graph();
        let mut engine = graph.open_engine(NAME, NonZeroUsize::MIN).unwrap();
        assert_eq!((engine.name(), engine.rows_at_once(8)), (NAME, 1));
        let batch = TokenBatch {
            ids: &[1, 2, 3, 4],
            rows: 2,
            tokens: 2,
        };
        let mut logits = [0.0; 2];
        engine.run(&batch, &mut logits).unwrap();
        assert_eq!(logits, [20.0, 22.0]);
        let error = engine.run(&batch, &mut logits[..1]).unwrap_err();
        assert!(error.to_string().contains("model.onnx"), "{error}");
        let unknown = EngineChoice::Named("fakes".to_owned());
        let error = open(&graph, &unknown, NonZeroUsize::MIN).err().unwrap();
        assert!(error.to_string().contains(NAME), "{error}");
    }
}
